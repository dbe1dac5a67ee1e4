//! The daemon that runs now: who it is, one that is started without a service manager, and its end.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use backstay_shared::{client, paths::Paths};
use tokio::time::{sleep, timeout};

use super::program::Program;
use crate::cli::CliError;

/// A start reads the backup folder once before the socket is served.
const START_SECONDS_MAX: Duration = Duration::from_secs(30);

/// A backup that commits is waited for.
const END_SECONDS_MAX: Duration = Duration::from_secs(30);

/// There is no event for what another process does with its files.
const LOOK: Duration = Duration::from_millis(50);

/// The process that holds the daemon's lock; none when no daemon runs.
pub async fn process(paths: &Paths) -> Option<u32> {
    if !is_locked(&paths.lock_file()) {
        return None;
    }
    match client::process_of_the_daemon(&paths.socket()).await {
        Some(process) => Some(process),
        // It begins, ends or hangs. Its lock has its number.
        None => fs::read_to_string(paths.lock_file()).ok()?.trim().parse().ok(),
    }
}

fn is_locked(lock: &Path) -> bool {
    let Ok(file) = File::open(lock) else { return false };
    // Let go at once, when it is closed.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Starts it in the background, on its own.
///
/// # Errors
/// When it can't be started.
pub fn spawn(program: &Program) -> Result<Child, CliError> {
    let mut command = Command::new(&program.executable);
    command.args(&program.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // No disk is held by having been the current folder.
    command.current_dir(if cfg!(windows) { r"C:\" } else { "/" });
    // What ends with the terminal is the terminal's own group.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    #[cfg(windows)]
    {
        /// Source: Process Creation Flags.
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        std::os::windows::process::CommandExt::creation_flags(&mut command, CREATE_NO_WINDOW);
    }
    command.spawn().map_err(|error| CliError::Failed(format!("{}: {error}", program.executable)))
}

/// Waits until a daemon answers, and says which process it is.
///
/// # Errors
/// When none does in time, or the process that should has ended.
pub async fn answers(paths: &Paths, mut started: Option<Child>) -> Result<u32, CliError> {
    let log = paths.log_dir.display();
    let answering = async {
        loop {
            if let Some(process) = client::process_of_the_daemon(&paths.socket()).await {
                return Ok(process);
            }
            if let Some(Ok(Some(status))) = started.as_mut().map(Child::try_wait) {
                return Err(CliError::Failed(format!("the daemon ended at once ({status}); its log is in {log}")));
            }
            sleep(LOOK).await;
        }
    };
    let late = |_| Err(CliError::Failed(format!("the daemon does not answer yet; its log is in {log}")));
    timeout(START_SECONDS_MAX, answering).await.unwrap_or_else(late)
}

/// Ends it in good order and waits for that.
///
/// # Errors
/// When it does not end.
pub async fn end(paths: &Paths, process: u32) -> Result<(), CliError> {
    terminate(process).map_err(|error| CliError::Failed(format!("process {process} could not be ended: {error}")))?;
    let ended = async {
        while is_locked(&paths.lock_file()) {
            sleep(LOOK).await;
        }
    };
    let late = |_| CliError::Failed(format!("process {process} has not ended yet; end it by hand and try again"));
    timeout(END_SECONDS_MAX, ended).await.map_err(late)
}

#[cfg(unix)]
fn terminate(process: u32) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let process = Pid::from_raw(process.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
    match kill_process(process, Signal::TERM) {
        // It has just ended by itself.
        Err(rustix::io::Errno::SRCH) => Ok(()),
        ended => Ok(ended?),
    }
}

/// A program without a window hears nothing softer; the next start tidies up.
#[cfg(windows)]
fn terminate(process: u32) -> io::Result<()> {
    let status = Command::new("taskkill").args(["/F", "/PID", &process.to_string()]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
}
