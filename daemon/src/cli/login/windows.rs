//! Windows: values of this user's Run key. A task would ask for an administrator, or run where no password store is.

use std::{io, process::Child};

use backstay_shared::paths::Paths;
use winreg::{RegKey, enums::HKEY_CURRENT_USER};

use super::{
    program::Program,
    running,
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

/// The daemon is a program of the console, which shows a window unless its host is told not to.
fn without_window(program: &Program) -> String {
    format!("conhost.exe --headless {}", command_line(program))
}

/// No path and no name of ours holds a quotation mark: Windows forbids it.
fn command_line(program: &Program) -> String {
    let words = std::iter::once(&program.executable).chain(&program.arguments);
    let quoted = words.map(|word| {
        // A backslash at the end would quote the quotation mark.
        let doubled = if word.ends_with('\\') { "\\" } else { "" };
        format!("\"{word}{doubled}\"")
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn part(name: &str) -> Part {
    let value: Option<String> = key().ok().and_then(|key| key.get_value(name).ok());
    let Some(value) = value else { return Part::Off };
    let place = format!(r"HKCU\{RUN}\{name}");
    match value.split('"').nth(1) {
        Some(executable) => Part::starting(Means::RunKey, place, executable),
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
    let both = [("daemon", DAEMON, Some(without_window(daemon))), ("tray", TRAY, tray.map(command_line))];
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

/// Starts the daemon in the background.
///
/// # Errors
/// When it can't be started.
pub(super) fn start(daemon: &Program) -> Result<Option<Child>, CliError> {
    running::spawn(daemon).map(Some)
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
