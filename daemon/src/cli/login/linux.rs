//! Linux: a unit of the user's systemd, or an autostart entry where there is none; the companion always by an entry.

use std::{
    env, fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use backstay_shared::paths::Paths;

use super::{
    desktop_entry,
    own_file::{self, Found, Outcome},
    program::Program,
    running,
    state::{Means, Part, State},
    unit,
};
use crate::cli::{CliError, doctor::system, output};

const UNIT: &str = "backstay.service";

/// What the desktop's entry for the companion is called by systemd, which starts it on many desktops.
const TRAY_UNIT: &str = r"app-backstay\x2dtray@autostart.service";

/// Where this user's session looks.
struct Places {
    config: PathBuf,
    /// Folders for all users, in their order.
    config_of_all: Vec<PathBuf>,
    data_of_all: Vec<PathBuf>,
    runtime: PathBuf,
}

impl Places {
    fn of_this_user() -> Self {
        let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let list = |name: &str, usual: &str| {
            let folders = env::var_os(name).filter(|value| !value.is_empty()).unwrap_or_else(|| usual.into());
            env::split_paths(&folders).filter(|path| path.is_absolute()).collect()
        };
        let own_runtime = || format!("/run/user/{}", rustix::process::getuid().as_raw()).into();
        Self {
            config: absolute("XDG_CONFIG_HOME").unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".config")),
            config_of_all: list("XDG_CONFIG_DIRS", "/etc/xdg"),
            data_of_all: list("XDG_DATA_DIRS", "/usr/local/share:/usr/share"),
            // Missing after su and in cron.
            runtime: absolute("XDG_RUNTIME_DIR").unwrap_or_else(own_runtime),
        }
    }

    fn own_unit(&self) -> PathBuf {
        self.config.join("systemd/user").join(UNIT)
    }

    fn own_entry(&self, name: &str) -> PathBuf {
        self.config.join("autostart").join(name)
    }

    /// Where packages put it, the first that counts first. Source: systemd.unit(5), user unit search path.
    fn packaged_unit(&self) -> Option<PathBuf> {
        let of_data = self.data_of_all.iter().map(|folder| folder.join("systemd/user"));
        let fixed = ["/usr/local/lib/systemd/user", "/usr/lib/systemd/user"].map(PathBuf::from);
        let folders = std::iter::once("/etc/systemd/user".into()).chain(of_data).chain(fixed);
        folders.map(|folder| folder.join(UNIT)).find(|file| file.is_file())
    }

    /// True when the user's systemd answers: the socket is its own.
    fn has_manager(&self) -> bool {
        UnixStream::connect(self.runtime.join("systemd/private")).is_ok()
    }

    fn unit_part(&self) -> Part {
        let own_folder = self.config.join("systemd/user");
        let of_all = ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"].map(PathBuf::from);
        let targets = ["default.target.wants", "graphical-session.target.wants"];
        let mut links = std::iter::once(&own_folder)
            .chain(&of_all)
            .flat_map(|folder| targets.map(|target| folder.join(target).join(UNIT)));
        let Some(link) = links.find(|link| fs::symlink_metadata(link).is_ok()) else { return Part::Off };
        // Links that came with the settings of another computer.
        if !self.has_manager() && !system::has_systemd() {
            return Part::Off;
        }
        let own = self.own_unit();
        let file = if fs::symlink_metadata(&own).is_ok() { Some(own) } else { self.packaged_unit() };
        let Some(file) = file else {
            return Part::Broken { place: link.display().to_string(), why: "the unit is gone".into() };
        };
        let place = file.display().to_string();
        let text = fs::read_to_string(&file).unwrap_or_default();
        match unit::words(&text).and_then(|words| words.into_iter().next()) {
            // A name alone is looked for by systemd in places of its own.
            Some(executable) if executable.starts_with('/') => Part::starting(Means::Systemd, place, &executable),
            _ if text.trim().is_empty() => Part::Broken { place, why: "the unit is masked or empty".into() },
            _ => Part::On { by: Means::Systemd, place },
        }
    }

    fn entry_part(&self, name: &str) -> Part {
        let of_all = self.config_of_all.iter().map(|folder| folder.join("autostart").join(name));
        // The first one counts, also when it says no.
        let mut files = std::iter::once(self.own_entry(name)).chain(of_all);
        let found = files.find_map(|file| Some((fs::read_to_string(&file).ok()?, file)));
        let Some((text, file)) = found else { return Part::Off };
        match desktop_entry::read(&text) {
            Some(entry) if !entry.off => {
                Part::starting(Means::Autostart, file.display().to_string(), &entry.program.executable)
            }
            _ => Part::Off,
        }
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<String, CliError> {
        self.ask("systemctl", arguments)
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> Result<String, CliError> {
        let asked = Command::new(program)
            .arg("--user")
            .args(arguments)
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .env("LC_ALL", "C.UTF-8")
            .output();
        let failed = |why: &str| CliError::Failed(format!("{program} --user {}: {}", arguments.join(" "), why.trim()));
        match asked {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            Ok(output) => Err(failed(&String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(failed(&error.to_string())),
        }
    }

    /// The service's process, when it runs.
    fn service(&self) -> Option<u32> {
        if !self.has_manager() {
            return None;
        }
        let answer = self.systemctl(&["show", "--property=MainPID", "--value", UNIT]).ok()?;
        answer.parse().ok().filter(|process| *process != 0)
    }

    fn stop_service(&self) -> Result<(), CliError> {
        match self.systemctl(&["show", "--property=ActiveState", "--value", UNIT])?.as_str() {
            "inactive" => Ok(()),
            "failed" => self.systemctl(&["reset-failed", UNIT]).map(drop),
            _ => self.systemctl(&["stop", UNIT]).map(drop),
        }
    }
}

/// Whether login starts what.
pub fn state() -> State {
    let places = Places::of_this_user();
    let daemon = match places.unit_part() {
        Part::Off => places.entry_part("backstay.desktop"),
        part => part,
    };
    State { daemon, tray: places.entry_part("backstay-tray.desktop") }
}

/// Lets login start both, and starts the daemon.
///
/// # Errors
/// When a file can't be written or systemd refuses.
pub(super) async fn enable(paths: &Paths, daemon: &Program, tray: Option<&Program>) -> Result<(), CliError> {
    let places = Places::of_this_user();
    if let Some(tray) = tray {
        let text = desktop_entry::text(desktop_entry::TRAY, tray);
        tell(
            "tray",
            &places.own_entry("backstay-tray.desktop"),
            own_file::write(&places.own_entry("backstay-tray.desktop"), &text)?,
        )?;
    }
    let entry = places.own_entry("backstay.desktop");
    if !places.has_manager() {
        remove_unit(&places)?;
        tell("daemon", &entry, own_file::write(&entry, &desktop_entry::text(desktop_entry::DAEMON, daemon))?)?;
        return super::start_now(paths, daemon).await;
    }
    if own_file::remove(&entry)? {
        output::line(&format!("daemon: removed {}", entry.display()))?;
    }
    if choose_unit(&places, daemon)? {
        // What ran by another unit, or by none that lasts, starts anew by this one.
        places.stop_service()?;
    }
    places.systemctl(&["daemon-reload"])?;
    // --force: a link to a unit that was elsewhere before.
    places.systemctl(&["enable", "--force", "--quiet", UNIT])?;
    match running::process(paths).await {
        Some(process) if places.service() != Some(process) => output::line(&format!(
            "daemon: runs already, as process {process}, and not by systemd; hand it over with: backstay login restart"
        )),
        _ => super::start_now(paths, daemon).await,
    }
}

/// The unit that counts: a person's, the package's if it starts this executable, or one of ours. True when it changed.
fn choose_unit(places: &Places, daemon: &Program) -> Result<bool, CliError> {
    let own = places.own_unit();
    let words: Vec<&String> = std::iter::once(&daemon.executable).chain(&daemon.arguments).collect();
    let packaged = places.packaged_unit().filter(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        unit::words(&text).is_some_and(|there| there.iter().eq(words.iter().copied()))
    });
    match packaged {
        Some(packaged) if own_file::look(&own) != Found::Foreign => {
            let changed = own_file::remove(&own)?;
            output::line(&format!("daemon: starts at login by {}", packaged.display()))?;
            Ok(changed)
        }
        _ => {
            let outcome = own_file::write(&own, &unit::text(daemon))?;
            tell("daemon", &own, outcome)?;
            Ok(outcome == Outcome::Changed)
        }
    }
}

fn tell(part: &str, file: &Path, outcome: Outcome) -> Result<(), CliError> {
    let file = file.display();
    output::line(&match outcome {
        Outcome::Same => format!("{part}: starts at login by {file}, as before"),
        Outcome::Changed => format!("{part}: starts at login by {file}"),
        Outcome::Foreign => format!("{part}: {file} is your own and stays as it is"),
    })
}

/// Lets login start neither, and ends the daemon that it started.
///
/// # Errors
/// When a file can't be removed or systemd refuses.
pub(super) async fn disable(paths: &Paths) -> Result<(), CliError> {
    let places = Places::of_this_user();
    let mut removed = Vec::new();
    let entry = places.own_entry("backstay.desktop");
    let by_entry = own_file::remove(&entry)?;
    if by_entry {
        removed.push(entry);
    }
    let managed = places.has_manager();
    if managed {
        places.stop_service()?;
        if fs::symlink_metadata(places.own_unit()).is_ok() || places.packaged_unit().is_some() {
            places.systemctl(&["disable", "--quiet", UNIT])?;
        }
    }
    removed.extend(remove_unit(&places)?);
    let tray_entry = places.own_entry("backstay-tray.desktop");
    let tray = own_file::remove(&tray_entry)?;
    if tray {
        removed.push(tray_entry);
    }
    if managed {
        if tray && places.systemctl(&["is-active", "--quiet", TRAY_UNIT]).is_ok() {
            places.systemctl(&["stop", TRAY_UNIT])?;
        }
        places.systemctl(&["daemon-reload"])?;
    }
    for file in &removed {
        output::line(&format!("removed {}", file.display()))?;
    }
    match running::process(paths).await {
        Some(process) if by_entry => {
            running::end(paths, process).await?;
            output::line(&format!("ended the daemon, process {process}"))?;
        }
        Some(process) => output::line(&format!("process {process} is a daemon that login did not start; it runs on"))?,
        None => {}
    }
    for (part, now) in [("daemon", state().daemon), ("tray", state().tray)] {
        output::line(&format!("{part}: {}", now.text()))?;
    }
    Ok(())
}

/// Without systemd's help, which may be out of reach: our unit, and the link that lets login start it.
fn remove_unit(places: &Places) -> Result<Vec<PathBuf>, CliError> {
    let own = places.own_unit();
    if !own_file::remove(&own)? {
        return Ok(Vec::new());
    }
    let link = places.config.join("systemd/user/default.target.wants").join(UNIT);
    if fs::read_link(&link).is_ok_and(|leads| leads == own) {
        fs::remove_file(&link).map_err(|error| CliError::Failed(format!("{}: {error}", link.display())))?;
    }
    Ok(vec![own])
}

/// What our own entry starts; without it the daemon would back up to where it was never told to.
fn daemon_of_entry(places: &Places) -> Option<Program> {
    match own_file::look(&places.own_entry("backstay.desktop")) {
        Found::Own(text) => Some(desktop_entry::read(&text)?.program),
        _ => None,
    }
}

/// Starts the daemon as login would. Returns the process where there is no service manager to watch over it.
///
/// # Errors
/// When it can't be started.
pub(super) fn start(daemon: &Program) -> Result<Option<std::process::Child>, CliError> {
    let places = Places::of_this_user();
    let at_login = daemon_of_entry(&places);
    let daemon = at_login.as_ref().unwrap_or(daemon);
    if !places.has_manager() {
        return running::spawn(daemon).map(Some);
    }
    // systemd would pass over it and say nothing.
    if let Part::Broken { place, why } = places.unit_part() {
        return Err(CliError::Failed(format!("{place}: {why}; mend it with: backstay login enable")));
    }
    // It may have failed so often that it was given up.
    drop(places.systemctl(&["reset-failed", UNIT]));
    if fs::symlink_metadata(places.own_unit()).is_ok() || places.packaged_unit().is_some() {
        return places.systemctl(&["start", UNIT]).map(|_| None);
    }
    // Not a child of ours: what starts it may be a unit that ends, and its children with it.
    let unit = format!("--unit={UNIT}");
    let mut arguments = vec!["--quiet", "--collect", &unit, "--property=Type=notify", "--property=TimeoutStopSec=30"];
    let words: Vec<String> = daemon.arguments.iter().map(|argument| unit::variables_off(argument)).collect();
    arguments.extend(["--", &daemon.executable]);
    arguments.extend(words.iter().map(String::as_str));
    places.ask("systemd-run", &arguments).map(|_| None)
}

/// Ends the daemon, if one runs, whoever started it.
///
/// # Errors
/// When it does not end.
pub(super) async fn stop(paths: &Paths) -> Result<(), CliError> {
    let places = Places::of_this_user();
    if places.has_manager() {
        places.stop_service()?;
    }
    match running::process(paths).await {
        Some(process) => running::end(paths, process).await,
        None => Ok(()),
    }
}
