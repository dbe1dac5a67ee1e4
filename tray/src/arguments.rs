//! What may be typed after `backstay-tray`. A file of its own, from which the manual is made, too.

use std::path::PathBuf;

use clap::Parser;

/// Shows in the status bar how the backups of your iPhone are.
#[derive(Debug, Parser)]
#[command(name = "backstay-tray", version)]
pub(crate) struct Arguments {
    /// The socket of the daemon, if it is not this user's own
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}
