//! `backstay setup`: a person agrees to backups. Asks what has to be known, and writes it into the settings.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
};

use backstay_shared::{
    client::Client,
    config::{Chosen, Config},
    hours::Hours,
    protocol::{Reply, Request},
};
use chrono::{DateTime, Local, TimeZone, Utc};

use super::{CliError, Given, login, output};
use crate::{settings, vault::roots::KnownRoots};

/// Arguments of `backstay setup`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Ask nothing: what is not named here is as usual
    #[arg(long)]
    yes: bool,
    /// Backups start by themselves only then: 18:00-08:00
    #[arg(long, value_name = "FROM-TO", value_parser = hours)]
    hours: Option<String>,
    /// Back up only iPhones that encrypt their backups
    #[arg(long)]
    require_encryption: bool,
    /// Back up over cables only, and look for no iPhone on the network
    #[arg(long)]
    no_wifi: bool,
    /// Start at login, and now
    #[arg(long)]
    login: bool,
}

/// What was decided.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    chosen: Chosen,
    login: bool,
}

/// Carries it out.
///
/// # Errors
/// When there are settings already, nobody can be asked, or they can't be written.
pub async fn run(given: &Given, arguments: &Arguments) -> Result<(), CliError> {
    let file = &given.paths.config_file;
    if let Ok(config) = &given.config
        && *config != Config::default()
        && !settings::is_of_a_click(&given.paths)
    {
        return Err(CliError::Usage(format!("{} holds settings already; change them there", file.display())));
    }
    let root = given.root_named.as_deref().unwrap_or(&given.paths.default_root);
    let chosen = Chosen {
        root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()),
        hours: arguments.hours.clone(),
        require_encryption: arguments.require_encryption,
        wifi: !arguments.no_wifi,
    };
    let known_roots = given.known_roots();
    let answers = if arguments.yes {
        Answers { chosen, login: arguments.login }
    } else if io::stdin().is_terminal() {
        ask(
            &chosen,
            &|root| keeps_backups(root, &known_roots),
            Talk { input: &mut io::stdin().lock(), shown: &mut io::stdout() },
        )?
    } else {
        let needs = "setup has questions and no terminal to ask them: run it in one, or say --yes, with --root DIR, \
            --hours 18:00-08:00, --require-encryption, --no-wifi and --login where you want them";
        return Err(CliError::Usage(needs.into()));
    };
    let root = &answers.chosen.root;
    keeps_backups(root, &known_roots).map_err(CliError::Usage)?;
    settings::write_first(&given.paths, &answers.chosen)?;
    output::line(&format!("Backups go to {}. The other settings are in {}.", root.display(), file.display()))?;
    if answers.login {
        // Where backups go is in the settings now, and not in what login starts.
        let daemon = Given { root_named: None, ..given_again(given) };
        login::enable(&daemon).await?;
    }
    let running = tell_the_daemon(given).await;
    if answers.chosen.require_encryption {
        output::line("Let each iPhone encrypt its backups: backstay encryption on")?;
    }
    if answers.chosen.wifi {
        output::line("Let each iPhone be backed up over Wi-Fi, while it is on its cable: backstay wifi on")?;
    }
    let begins = begin(answers.chosen.hours.as_deref(), Utc::now(), &Local);
    output::line(&match (running || answers.login, begins) {
        (true, None) => "An iPhone that is connected and unlocked is backed up now: backstay status --watch".to_owned(),
        (true, Some(at)) => format!(
            "An iPhone that is connected is backed up from {} on: backstay schedule. Now: backstay backup",
            output::moment(at)
        ),
        (false, _) => "Now start Backstay: backstay login enable".to_owned(),
    })
}

/// When the hours that were chosen begin; none where that is now.
fn begin<Zone: TimeZone>(hours: Option<&str>, now: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
    let hours = Hours::try_from(hours?.to_owned()).ok()?;
    Some(hours.next(now, zone)).filter(|at| *at > now)
}

fn given_again(given: &Given) -> Given {
    Given {
        paths: given.paths.clone(),
        config: Ok(Config::default()),
        last_good: None,
        root: given.root.clone(),
        root_named: given.root_named.clone(),
        config_named: given.config_named.clone(),
    }
}

/// A daemon that runs looks at the settings at once; whether there is one.
async fn tell_the_daemon(given: &Given) -> bool {
    let Ok(mut client) = Client::connect(&given.paths.socket()).await else { return false };
    matches!(client.request(Request::SetUp).await, Ok(Reply::Done))
}

/// A talk at a terminal.
struct Talk<'a> {
    input: &'a mut dyn BufRead,
    shown: &'a mut dyn Write,
}

impl Talk<'_> {
    /// An empty answer is the usual one; `understood` makes something of any, or says what is expected.
    fn ask<T>(
        &mut self,
        text: &str,
        usual: &str,
        understood: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, CliError> {
        loop {
            self.say(&format!("{text} [{usual}] "))?;
            let mut answer = String::new();
            // An end of input is no yes.
            if self.input.read_line(&mut answer).unwrap_or(0) == 0 {
                return Err(CliError::Usage("nothing was changed".into()));
            }
            let answer = answer.trim();
            match understood(if answer.is_empty() { usual } else { answer }) {
                Ok(understood) => return Ok(understood),
                Err(expected) => self.say(&format!("{expected}\n"))?,
            }
        }
    }

    fn say(&mut self, text: &str) -> Result<(), CliError> {
        write!(self.shown, "{text}").and_then(|()| self.shown.flush()).map_err(|error| output::unwritten(&error))
    }
}

/// Whether backups can be kept there, which only trying shows; else why not, for a person.
fn keeps_backups(root: &Path, known_roots: &KnownRoots) -> Result<(), String> {
    let shown = root.display();
    // One that held backups before is there again when its drive is.
    if known_roots.is_missing(root) || known_roots.is_ready(root) {
        return Ok(());
    }
    Err(match root.is_dir() || root.parent().is_some_and(Path::is_dir) {
        true => format!("nothing can be written to {shown}, or it can't be made"),
        false => format!("there is no folder in which {shown} could be made"),
    })
}

/// Asks a person everything.
fn ask(usual: &Chosen, keeps: &dyn Fn(&Path) -> Result<(), String>, mut talk: Talk<'_>) -> Result<Answers, CliError> {
    let usual_hours = usual.hours.as_deref().unwrap_or("any");
    let usual_encryption = if usual.require_encryption { "yes" } else { "no" };
    let root = talk.ask("Which folder is to hold the backups?", &usual.root.to_string_lossy(), |answer| {
        let root = whole(answer)?;
        keeps(&root).map(|()| root)
    })?;
    let any_or_hours = |answer: &str| match answer {
        "any" => Ok(None),
        hours => self::hours(hours).map(Some),
    };
    let hours = talk.ask("When may backups start by themselves, as 18:00-08:00?", usual_hours, any_or_hours)?;
    let encrypted = "Back up only iPhones that encrypt their backups?";
    let require_encryption = talk.ask(encrypted, usual_encryption, yes_or_no)?;
    let usual_wifi = if usual.wifi { "yes" } else { "no" };
    let wifi = talk.ask("Also back up over Wi-Fi?", usual_wifi, yes_or_no)?;
    let login = talk.ask("Start Backstay now and at every login?", "yes", yes_or_no)?;
    Ok(Answers { chosen: Chosen { root, hours, require_encryption, wifi }, login })
}

fn yes_or_no(answer: &str) -> Result<bool, String> {
    match answer.to_lowercase().as_str() {
        "yes" | "y" => Ok(true),
        "no" | "n" => Ok(false),
        _ => Err("Please say yes or no.".to_owned()),
    }
}

fn hours(text: &str) -> Result<String, String> {
    Hours::try_from(text.to_owned()).map(|_| text.to_owned())
}

/// A whole path, where `~` is the home folder.
fn whole(answer: &str) -> Result<PathBuf, String> {
    let path = match (answer.strip_prefix("~/"), std::env::home_dir()) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(answer),
    };
    if path.is_absolute() { Ok(path) } else { Err("Please write the whole path.".to_owned()) }
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    fn usual() -> Chosen {
        Chosen::usual("/home/anna/iPhone Backups".as_ref())
    }

    fn asked(answers: &str) -> Result<Answers, String> {
        let mut shown = Vec::new();
        let keeps = |root: &Path| match root.starts_with("/proc") {
            true => Err("Nothing can be written there.".to_owned()),
            false => Ok(()),
        };
        let answers = ask(&usual(), &keeps, Talk { input: &mut answers.as_bytes(), shown: &mut shown });
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.starts_with("Which folder is to hold the backups? [/home/anna/iPhone Backups] "), "{shown}");
        answers.map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_answer_is_the_usual_one() {
        assert_eq!(asked("\n\n\n\n\n"), Ok(Answers { chosen: usual(), login: true }));
        let hours = Some("18:00-08:00".into());
        let other = Chosen { root: "/media/disk".into(), hours, require_encryption: true, wifi: false };
        let typed = "media/disk\n/proc/disk\n/media/disk\nat night\n18:00-08:00\nYes\nn\nmaybe\nno\n";
        assert_eq!(asked(typed), Ok(Answers { chosen: other, login: false }));
        assert!(asked("\n\n").unwrap_err().contains("nothing was changed"), "no answer is no yes");
    }

    #[test]
    fn hours_that_begin_later_are_told() {
        let (now, zone) =
            ("2026-11-25T12:00:00Z".parse::<DateTime<Utc>>().unwrap(), FixedOffset::east_opt(3600).unwrap());
        let begins = |hours| begin(hours, now, &zone).map(|at| at.to_rfc3339());
        assert_eq!(begins(Some("18:00-08:00")).as_deref(), Some("2026-11-25T17:00:00+00:00"));
        assert_eq!((begins(Some("12:00-14:00")), begins(None)), (None, None));
    }
}
