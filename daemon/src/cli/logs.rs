//! Where the log goes: `BACKSTAY_LOG` says how much (`debug`, `backstay=trace`, ...).

use std::{io::IsTerminal, path::Path};

use tracing_appender::{
    non_blocking::{NonBlockingBuilder, WorkerGuard},
    rolling::{Builder, Rotation},
};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::CliError;

/// What the device library warns of is told in our own words.
const DAEMON_DEFAULT: &str = "backstay=info,idevice=error,warn";

/// The library sets memory aside for each line that may wait for the disk; its own 128,000 take 4 MB for ever.
const LINES_WAITING_MAX: usize = 4096;

const VARIABLE: &str = "BACKSTAY_LOG";

/// Days of log that are kept.
const FILES_KEPT: usize = 14;

fn filter(default: &str) -> EnvFilter {
    EnvFilter::builder().with_env_var(VARIABLE).try_from_env().unwrap_or_else(|_| EnvFilter::new(default))
}

/// For commands: nothing, unless it is asked for.
pub fn to_stderr() {
    tracing_subscriber::fmt().with_env_filter(filter("off")).with_writer(std::io::stderr).init();
}

/// For the daemon: a new file every day, and standard error for the service manager.
///
/// # Errors
/// When the folder can't be made.
pub fn to_file_and_stderr(folder: &Path) -> Result<WorkerGuard, CliError> {
    let unusable = |error: String| CliError::Failed(format!("the log folder {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(|error| unusable(error.to_string()))?;
    let files = Builder::new()
        .rotation(Rotation::DAILY)
        .filename_prefix("backstay")
        .filename_suffix("log")
        .max_log_files(FILES_KEPT)
        .build(folder)
        .map_err(|error| unusable(error.to_string()))?;
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING_MAX).finish(files);
    let to_file = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let to_stderr = tracing_subscriber::fmt::layer()
        .without_time()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(to_file.with_filter(filter(DAEMON_DEFAULT)))
        .with(to_stderr.with_filter(filter(DAEMON_DEFAULT)))
        .init();
    Ok(guard)
}
