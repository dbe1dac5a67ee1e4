//! Windows: values of this user's Run key. A task would ask for an administrator, or run where no password store is.

use std::{io, process::Child};

use backstay_shared::paths::Paths;
use winreg::{RegKey, enums::HKEY_CURRENT_USER};

use super::{
    program::Program,
    run_value, running,
    state::{Means, Part, State},
};
use crate::cli::{CliError, output};

const RUN: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
const DAEMON: &str = "Backstay";
const TRAY: &str = "Backstay status bar";

fn failed(error: io::Error) -> CliError {
    CliError::Failed(format!("the registry: {error}"))
}

fn key() -> Result<RegKey, CliError> {
    Ok(RegKey::predef(HKEY_CURRENT_USER).create_subkey(RUN).map_err(failed)?.0)
}

fn value(name: &str) -> Option<String> {
    key().ok()?.get_value(name).ok()
}

fn part(name: &str) -> Part {
    let Some(value) = value(name) else { return Part::Off };
    let place = format!(r"HKCU\{RUN}\{name}");
    match run_value::read(&value) {
        Some(program) => Part::starting(Means::RunKey, place, &program.executable),
        None => Part::On { by: Means::RunKey, place },
    }
}

/// Whether login starts what.
pub fn state() -> State {
    State { daemon: part(DAEMON), tray: part(TRAY) }
}

/// Lets login start both, and starts the daemon.
///
/// # Errors
/// When the registry can't be written.
pub(super) async fn enable(paths: &Paths, daemon: &Program, tray: Option<&Program>) -> Result<(), CliError> {
    let key = key()?;
    let both = [("daemon", DAEMON, Some(run_value::of_daemon(daemon))), ("tray", TRAY, tray.map(run_value::of_tray))];
    for (part, name, wanted) in both {
        let Some(wanted) = wanted else { continue };
        key.set_value(name, &wanted).map_err(failed)?;
        output::line(&format!(r"{part}: starts at login by HKCU\{RUN}\{name}"))?;
    }
    super::start_now(paths, daemon).await
}

/// Lets login start neither, and ends the daemon.
///
/// # Errors
/// When the registry can't be written.
pub(super) async fn disable(paths: &Paths) -> Result<(), CliError> {
    let key = key()?;
    for name in [DAEMON, TRAY] {
        match key.delete_value(name) {
            Ok(()) => output::line(&format!(r"removed HKCU\{RUN}\{name}"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    stop(paths).await
}

/// Starts the daemon in the background, with the options that login gives it.
///
/// # Errors
/// When it can't be started.
pub(super) fn start(daemon: &Program) -> Result<Option<Child>, CliError> {
    let at_login = value(DAEMON).and_then(|value| run_value::read(&value));
    running::spawn(at_login.as_ref().unwrap_or(daemon)).map(Some)
}

/// Ends the daemon, if one runs.
///
/// # Errors
/// When it does not end.
pub(super) async fn stop(paths: &Paths) -> Result<(), CliError> {
    match running::process(paths).await {
        Some(process) => running::end(paths, process).await,
        None => Ok(()),
    }
}
