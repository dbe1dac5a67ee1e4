//! `backstay login`: whether the daemon and the companion start at login, and the daemon's start and restart now.
//!
//! The texts (`unit`, `desktop_entry`, `agent`) are made purely; one file a system puts them where they belong. What
//! `enable` made is marked, and only that is changed and removed.

pub mod agent;
pub mod desktop_entry;
pub mod own_file;
pub mod program;
pub mod run_value;
pub mod running;
pub mod state;
pub mod unit;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

use backstay_shared::paths::Paths;
use serde_json::json;

use super::{CliError, Given, output};
use program::Program;
use state::Part;

pub use system::state;

/// Arguments of `backstay login`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Let login start the daemon and the companion, with --root and --config as given here, and start the daemon now
    Enable,
    /// Undo that, and end the daemon
    Disable,
    /// Show what starts at login; exit code 0 when the daemon does
    Status {
        /// One object, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Start the daemon now, as login would where it does
    Start,
    /// End the daemon, if it runs, until the next login or start
    Stop,
    /// End the daemon, if it runs, and start it
    Restart,
}

impl Arguments {
    /// Whether the answer is for a script.
    pub const fn json(&self) -> bool {
        matches!(self.action, Action::Status { json: true })
    }
}

/// Carries it out.
///
/// # Errors
/// When the system refuses.
pub async fn run(given: &Given, arguments: &Arguments) -> Result<(), CliError> {
    let paths = &given.paths;
    match arguments.action {
        Action::Enable => enable(given).await,
        Action::Disable => system::disable(paths).await,
        Action::Status { json } => status(paths, json).await,
        Action::Start => start_now(paths, &Program::daemon(given)?).await,
        Action::Stop => {
            system::stop(paths).await?;
            output::line("daemon: does not run")
        }
        Action::Restart => {
            system::stop(paths).await?;
            start_now(paths, &Program::daemon(given)?).await
        }
    }
}

/// Lets login start the daemon and the companion, and starts the daemon now.
///
/// # Errors
/// When the system refuses.
pub async fn enable(given: &Given) -> Result<(), CliError> {
    let (daemon, tray) = (Program::daemon(given)?, Program::tray()?);
    if tray.is_none() {
        output::line("tray: backstay-tray is not installed; install it and do this again to have the icon")?;
    }
    system::enable(&given.paths, &daemon, tray.as_ref()).await
}

async fn start_now(paths: &Paths, daemon: &Program) -> Result<(), CliError> {
    if let Some(process) = running::process(paths).await {
        return output::line(&format!("daemon: runs already, as process {process}"));
    }
    let started = system::start(daemon)?;
    let process = running::answers(paths, started).await?;
    output::line(&format!("daemon: runs now, as process {process}"))
}

async fn status(paths: &Paths, as_json: bool) -> Result<(), CliError> {
    let (state, process) = (system::state(), running::process(paths).await);
    if as_json {
        let running = process.map(|process| json!({ "pid": process }));
        let object = json!({ "daemon": state.daemon.json(), "tray": state.tray.json(), "running": running });
        output::json_line(&object)?;
    } else {
        output::line(&format!("daemon  {}", state.daemon.text()))?;
        output::line(&format!("tray    {}", state.tray.text()))?;
        output::line(&match process {
            Some(process) => format!("now     the daemon runs, as process {process}"),
            None => "now     the daemon does not run".to_owned(),
        })?;
        if [&state.daemon, &state.tray].iter().any(|part| matches!(part, Part::Broken { .. })) {
            output::line("mend it with: backstay login enable")?;
        }
    }
    if matches!(state.daemon, Part::On { .. }) { Ok(()) } else { Err(CliError::Told) }
}
