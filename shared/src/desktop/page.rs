//! "What to do" and other longer texts, as a page that the browser shows from a file.
//!
//! A page rather than a window of our own or a notification: nothing is cut off, it stays beside the settings one goes
//! through, can be printed and read out, and its commands can be copied. Nothing in it runs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::notifications::escape;
use crate::{
    health::Action,
    overview::{PhoneOverview, Problem},
    paths,
};

/// A program that fails to show a page says so within this; one that shows it may go on for hours.
const FAILS_WITHIN: Duration = Duration::from_secs(3);

/// A page that was written so long ago has been read.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// A longer text for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The name of its file, without folder and ending; a newer page of this name replaces it.
    name: String,
    html: String,
}

impl Page {
    /// The whole story of a problem: why, what to do, commands, evidence. `phone` is the one that is meant.
    pub fn what_to_do(problem: &Problem, phone: Option<&PhoneOverview>) -> Self {
        let mut main = String::new();
        let about = phone.map_or_else(String::new, |phone| format!("{} \u{b7} ", escape(&phone.name)));
        let since = problem.since.with_timezone(&chrono::Local).format("%-d %B %Y, %H:%M");
        main.push_str(&format!("<p class=\"about\">{about}since {since}</p>\n<p>{}</p>\n", escape(&problem.why)));
        if !problem.steps.is_empty() {
            let steps: String = problem.steps.iter().map(|step| format!("<li>{}</li>\n", escape(step))).collect();
            main.push_str(&format!("<h2>What to do</h2>\n<ol>\n{steps}</ol>\n"));
        }
        main.push_str(&ways(problem, phone));
        main.push_str(&format!(
            "<details><summary>For support</summary>\n<pre>{}\n{}</pre></details>\n",
            problem.id,
            escape(&serde_json::to_string_pretty(&problem.evidence).unwrap_or_default()),
        ));
        Self::new(format!("what-to-do-{}", problem.id), &problem.title, &main)
    }

    /// A text as a terminal shows it.
    pub fn text(name: &str, title: &str, text: &str) -> Self {
        Self::new(name.to_owned(), title, &format!("<pre>{}</pre>\n", escape(text)))
    }

    fn new(name: String, title: &str, main: &str) -> Self {
        let title = escape(title);
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title} \u{2013} Backstay</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n{main}</main>\n</body>\n</html>\n"
        );
        Self { name, html }
    }

    /// Writes it where the browser can read it and has the desktop show it. Blocks until a program has been seen to work.
    ///
    /// # Errors
    /// When the file can't be written, or nothing on this computer shows pages.
    pub fn show(&self, private_folder: &Path) -> io::Result<()> {
        let file = self.write(&readable_folder(private_folder))?;
        open(file.as_ref())
    }

    fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        paths::make_own_folder(folder)?;
        remove_older_pages(folder);
        let file = folder.join(format!("{}.html", self.name));
        // Made anew, so that a link that stands in its place is not followed.
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        io::Write::write_all(&mut options.open(&file)?, self.html.as_bytes())?;
        Ok(file)
    }
}

/// Pages name phones: they are not left lying about. One that somebody reads is younger.
fn remove_older_pages(folder: &Path) {
    let is_old = |entry: &fs::DirEntry| {
        let is_page = entry.path().extension().is_some_and(|ending| ending == "html");
        let modified = entry.metadata().and_then(|facts| facts.modified());
        is_page && modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > KEPT_FOR))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(is_old) {
        if let Err(error) = fs::remove_file(entry.path()) {
            tracing::debug!(%error, "an older page stays");
        }
    }
}

/// Has the desktop show a file, a folder or a page of the web. Blocks for a moment: whatever shows things here may have
/// nothing to show them with.
///
/// # Errors
/// When nothing on this computer shows it.
pub fn open(what: &std::ffi::OsStr) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if std::env::var_os("INVOCATION_ID").is_some() && open_outside(what) {
        return Ok(());
    }
    open::that_detached_with_timeout(what, FAILS_WITHIN)
}

/// A browser started by a service of systemd would be held by what that denies itself, and end with it. So systemd
/// starts it beside. False when that did not work.
#[cfg(target_os = "linux")]
fn open_outside(what: &std::ffi::OsStr) -> bool {
    use std::process::{Command, Stdio};
    open::commands(what).into_iter().any(|opener| {
        let mut command = Command::new("systemd-run");
        // A browser goes on when the program that found it has ended.
        command.args(["--user", "--quiet", "--collect", "--wait", "--property=KillMode=process", "--"]);
        command.arg(opener.get_program());
        // systemd puts variables of the environment in, where a path has a `$`.
        command.args(opener.get_args().map(|argument| match argument.to_str() {
            Some(text) => text.replace('$', "$$").into(),
            None => argument.to_owned(),
        }));
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(mut opener) = started else { return false };
        let (sender, ended) = std::sync::mpsc::channel();
        // Also for when nobody listens any more: what ends is waited for.
        std::thread::spawn(move || sender.send(opener.wait().is_ok_and(|status| status.success())));
        ended.recv_timeout(FAILS_WITHIN).unwrap_or(true)
    })
}

/// What a command or a page can do about it. Clicks are in the menu; a page that could do more would be a door.
fn ways(problem: &Problem, phone: Option<&PhoneOverview>) -> String {
    let name = phone.map(|phone| phone.name.as_str());
    let way = |action: &Action| {
        let label = escape(&action.label());
        match (action, action.command(name)) {
            (Action::OpenUrl(url), _) => Some(format!("<li><a href=\"{}\">{}</a></li>\n", attribute(url), escape(url))),
            (Action::ShowPath(_), _) => Some(format!("<li>{label}</li>\n")),
            (_, Some(command)) => Some(format!("<li>{label}: <code>{}</code></li>\n", escape(&command))),
            (_, None) => None,
        }
    };
    let ways: String = problem.actions.iter().filter_map(way).collect();
    if ways.is_empty() { ways } else { format!("<h2>Ways to do it</h2>\n<ul>\n{ways}</ul>\n") }
}

fn attribute(text: &str) -> String {
    escape(text).replace('"', "&quot;")
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1.05rem/1.55 system-ui,sans-serif;margin:0}\
main{max-width:42rem;margin:3rem auto;padding:0 1.2rem}\
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .3rem}\
h2{font-size:1.1rem;margin:1.8rem 0 .4rem}\
.about{opacity:.7;margin-top:0}\
li{margin:.45rem 0}\
code,pre{font:.92em/1.5 ui-monospace,monospace}\
code{background:rgba(127,127,127,.16);border-radius:.3em;padding:.1em .35em;user-select:all}\
pre{background:rgba(127,127,127,.12);border-radius:.5em;padding:1rem;overflow-x:auto}\
summary{margin-top:2rem;opacity:.7;cursor:pointer}";

/// The private folder, unless the browser is a snap: those see neither hidden folders nor the run time folder, only
/// their own.
fn readable_folder(private_folder: &Path) -> PathBuf {
    #[cfg(target_os = "linux")]
    {
        let home = directories::UserDirs::new();
        let browser = std::process::Command::new("xdg-settings").args(["get", "default-web-browser"]).output();
        if let (Some(home), Ok(browser)) = (home, browser)
            && let Some(snap) = snap_of(&String::from_utf8_lossy(&browser.stdout))
        {
            let folder = home.home_dir().join("snap").join(snap).join("common");
            if folder.is_dir() {
                return folder.join("backstay");
            }
        }
    }
    private_folder.to_owned()
}

/// The snap behind a desktop entry, which is called `SNAP_APPLICATION.desktop`.
#[cfg(target_os = "linux")]
fn snap_of(desktop_entry: &str) -> Option<&str> {
    let (snap, _application) = desktop_entry.trim().strip_suffix(".desktop")?.split_once('_')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (!snap.is_empty() && snap.bytes().all(plain)).then_some(snap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desktop::fixtures::{phone, problem},
        health::FailureId,
    };

    #[test]
    fn the_page_has_the_whole_story_and_obeys_nothing_in_it() {
        let mut found = problem(FailureId::HostDiskFull);
        found.why = "<script>alert(1)</script> & more".into();
        found.actions.push(Action::OpenUrl("https://example.org/?a=\"b\"&c".into()));
        let mut anna = phone("Anna");
        anna.name = "Anna <b>'s".into();
        let html = Page::what_to_do(&found, Some(&anna)).html;
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more"));
        assert!(html.contains("href=\"https://example.org/?a=&quot;b&quot;&amp;c\""), "{html}");
        for step in &found.steps {
            assert!(html.contains(&format!("<li>{}</li>", escape(step))), "{step}");
        }
        assert!(html.contains("<code>backstay prune"), "{html}");
    }

    #[test]
    fn every_failure_has_a_page() {
        for id in FailureId::ALL {
            let html = Page::what_to_do(&problem(*id), None).html;
            assert!(html.contains(&escape(&id.entry().title)) && html.contains("<ol>"), "{id}");
        }
    }

    #[test]
    fn a_newer_page_replaces_the_older_and_follows_no_link() {
        let folder = std::env::temp_dir().join(format!("backstay-page-{}", std::process::id()));
        let page = |text: &str| Page::text("history", "History", text);
        let file = page("one").write(&folder).unwrap();
        assert_eq!(page("two").write(&folder).unwrap(), file);
        assert!(fs::read_to_string(&file).unwrap().contains("<pre>two</pre>"));
        #[cfg(unix)]
        {
            let other = folder.join("other");
            fs::write(&other, "mine").unwrap();
            fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(&other, &file).unwrap();
            page("three").write(&folder).unwrap();
            assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn browsers_that_are_snaps() {
        for (entry, snap) in [
            ("firefox_firefox.desktop\n", Some("firefox")),
            ("firefox.desktop", None),
            ("org.mozilla.firefox.desktop", None),
            ("../x_y.desktop", None),
            ("", None),
        ] {
            assert_eq!(snap_of(entry), snap, "{entry:?}");
        }
    }
}
