//! `backstay daemon`

use super::{CliError, Context};
use crate::{
    daemon::{self, DaemonError},
    settings::Source,
};

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// When it can't begin.
pub async fn run(context: Context) -> Result<(), CliError> {
    let muxer = context.muxer()?;
    let known_roots = context.known_roots();
    let source = Source { paths: context.paths, root: context.named_root };
    Ok(daemon::run(source, known_roots, muxer).await?)
}
