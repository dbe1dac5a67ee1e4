//! `backstay daemon`

use std::sync::Arc;

use super::{CliError, Given};
use crate::{
    daemon::{self, DaemonError},
    phone::link::Muxer,
    settings::Source,
};

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> Self {
        match error {
            // Not worth another try, which the exit code tells the service manager.
            DaemonError::AlreadyRunning { .. } => Self::Usage(error.to_string()),
            DaemonError::Socket { .. } => Self::Failed(error.to_string()),
        }
    }
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// When it can't begin.
pub async fn run(given: Given) -> Result<(), CliError> {
    let muxer = Muxer::from_environment(&given.paths.log_dir)?;
    let known_roots = given.known_roots();
    // Whether its settings can be used is for it to say: one that does not start tells nobody.
    let source = Source {
        agreed: given.root_named.is_some() || given.config_named.is_some(),
        paths: given.paths,
        root: given.root_named,
        known_roots: known_roots.clone(),
        nudge: Arc::default(),
    };
    Ok(daemon::run(source, known_roots, muxer).await?)
}
