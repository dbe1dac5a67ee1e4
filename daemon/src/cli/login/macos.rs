//! macOS: agents of launchd in this user's library.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use backstay_shared::paths::Paths;

use super::{
    agent::{self, Agent},
    own_file::{self, Outcome},
    program::Program,
    running,
    state::{Means, Part, State},
};
use crate::cli::{CliError, output};

fn file(agent: &Agent) -> PathBuf {
    env::home_dir().unwrap_or_default().join("Library/LaunchAgents").join(format!("{}.plist", agent.label))
}

fn part(agent: &Agent) -> Part {
    let file = file(agent);
    let Ok(text) = fs::read_to_string(&file) else { return Part::Off };
    let place = file.display().to_string();
    match agent::executable(&text) {
        Some(executable) => Part::starting(Means::Launchd, place, &executable),
        None => Part::Broken { place, why: "it names no program".into() },
    }
}

/// Whether login starts what.
pub fn state() -> State {
    State { daemon: part(&agent::DAEMON), tray: part(&agent::TRAY) }
}

/// The session of this user, as launchd calls it.
fn domain() -> String {
    format!("gui/{}", rustix::process::getuid().as_raw())
}

fn launchctl(arguments: &[&str]) -> Result<(), CliError> {
    let failed = |why: &str| CliError::Failed(format!("launchctl {}: {}", arguments.join(" "), why.trim()));
    match Command::new("launchctl").args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(&String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(failed(&error.to_string())),
    }
}

fn is_loaded(agent: &Agent) -> bool {
    launchctl(&["print", &format!("{}/{}", domain(), agent.label)]).is_ok()
}

fn unload(agent: &Agent) -> Result<(), CliError> {
    if is_loaded(agent) { launchctl(&["bootout", &format!("{}/{}", domain(), agent.label)]) } else { Ok(()) }
}

fn load(agent: &Agent, place: &Path) -> Result<(), CliError> {
    if is_loaded(agent) { Ok(()) } else { launchctl(&["bootstrap", &domain(), &place.to_string_lossy()]) }
}

/// Lets login start both, and starts them.
///
/// # Errors
/// When a file can't be written or launchd refuses.
pub(super) async fn enable(paths: &Paths, daemon: &Program, tray: Option<&Program>) -> Result<(), CliError> {
    let both = [("daemon", agent::DAEMON, Some(daemon)), ("tray", agent::TRAY, tray)];
    for (name, agent, program) in both {
        let Some(program) = program else { continue };
        let place = file(&agent);
        let outcome = own_file::write(&place, &agent.text(program)?)?;
        let shown = place.display();
        output::line(&match outcome {
            Outcome::Same => format!("{name}: starts at login by {shown}, as before"),
            Outcome::Changed => format!("{name}: starts at login by {shown}"),
            Outcome::Foreign => format!("{name}: {shown} is your own and stays as it is"),
        })?;
        if outcome == Outcome::Changed {
            unload(&agent)?;
        }
        // It starts with this; a daemon that somebody else started makes it end at once, until the next login.
        load(&agent, &place)?;
    }
    super::start_now(paths, daemon).await
}

/// Lets login start neither, and ends both.
///
/// # Errors
/// When a file can't be removed or launchd refuses.
pub(super) async fn disable(_paths: &Paths) -> Result<(), CliError> {
    for agent in [agent::DAEMON, agent::TRAY] {
        let place = file(&agent);
        unload(&agent)?;
        if own_file::remove(&place)? {
            output::line(&format!("removed {}", place.display()))?;
        }
    }
    Ok(())
}

/// Starts the daemon as login would. Returns the process where launchd does not watch over it.
///
/// # Errors
/// When it can't be started.
pub(super) fn start(daemon: &Program) -> Result<Option<Child>, CliError> {
    let place = file(&agent::DAEMON);
    if !place.exists() {
        return running::spawn(daemon).map(Some);
    }
    load(&agent::DAEMON, &place)?;
    launchctl(&["kickstart", &format!("{}/{}", domain(), agent::DAEMON.label)]).map(|()| None)
}

/// Ends the daemon, if one runs, whoever started it.
///
/// # Errors
/// When it does not end.
pub(super) async fn stop(paths: &Paths) -> Result<(), CliError> {
    unload(&agent::DAEMON)?;
    match running::process(paths).await {
        Some(process) => running::end(paths, process).await,
        None => Ok(()),
    }
}
