//! The commands, one file each. Exit codes: 0 done, 1 failed, 2 usage, 3 the daemon is not running.

pub mod attention;
pub mod backup;
pub mod copy_photos;
pub mod daemon;
pub mod encryption;
pub mod extract;
pub mod history;
pub mod logs;
pub mod output;
pub mod pair;
pub mod phones;
pub mod progress;
pub mod restore;
pub mod secrets;
pub mod status;
pub mod vault;
pub mod verify;

use std::{path::PathBuf, process::ExitCode};

use backstay_shared::{
    client::ClientError,
    config::{Config, ConfigError},
    health::Failure,
    paths::{NoHome, Paths},
    protocol::Refusal,
};
use clap::{Parser, Subcommand};

use crate::{
    phone::link::Muxer,
    settings::{self, Settings, Source},
    vault::roots::KnownRoots,
};

/// Quiet, verified iPhone backups.
#[derive(Debug, Parser)]
#[command(name = "backstay", version, about, arg_required_else_help = true)]
struct Arguments {
    /// The folder that holds the backups
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The settings
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run in the foreground
    Daemon,
    /// Show phones, last good backups, what runs and what is wrong
    Status(status::Arguments),
    /// Back up now
    Backup(backup::Arguments),
    /// List the phones that are connected
    Phones(phones::Arguments),
    /// Let a phone trust this computer
    Pair(pair::Arguments),
    /// Let no backup start by itself for a while
    Pause(attention::PauseArguments),
    /// Let backups start by themselves again
    Resume,
    /// Hear nothing of a problem for a while
    Snooze(attention::SnoozeArguments),
    /// Restart a phone
    Restart(attention::RestartArguments),
    /// List the snapshots of a phone and what each costs
    History(history::Arguments),
    /// Check a snapshot against its manifest and its checksums
    Verify(verify::Arguments),
    /// Remove the old snapshots that the settings no longer keep
    Prune(history::PruneArguments),
    /// Whether and with which password a phone encrypts its backups
    Encryption(encryption::Arguments),
    /// Take files out of a backup
    Extract(extract::Arguments),
    /// Put a backup back onto a phone
    Restore(restore::Arguments),
    /// Copy the photos and videos of a phone, when a whole backup is not to be had
    CopyPhotos(copy_photos::Arguments),
}

/// What every command may use.
#[derive(Debug)]
pub struct Context {
    /// Where things are.
    pub paths: Paths,
    /// The settings.
    pub config: Config,
    /// The folder that holds the backups.
    pub root: PathBuf,
    /// The one that the command line named.
    named_root: Option<PathBuf>,
}

impl Context {
    fn new(root: Option<PathBuf>, config: Option<PathBuf>) -> Result<Self, CliError> {
        let paths = Self::paths(config)?;
        let config = Config::read(&paths.config_file)?;
        let chosen = settings::choose_root(&config, root.as_deref(), &paths).map_err(CliError::Usage)?;
        Ok(Self { root: chosen, named_root: root, paths, config })
    }

    fn paths(config: Option<PathBuf>) -> Result<Paths, CliError> {
        let mut paths = Paths::of_this_user()?;
        if let Some(file) = config {
            // Only the usual place may be empty: a name that was typed means a file.
            if !file.exists() {
                return Err(CliError::Usage(format!("there is no config file {}", file.display())));
            }
            paths.config_file = file;
        }
        Ok(paths)
    }

    /// For the daemon: a mistake in the settings must not keep it from starting, or nobody would be told of it.
    fn of_the_daemon(root: Option<PathBuf>, config: Option<PathBuf>) -> Result<Self, CliError> {
        let paths = Self::paths(config)?;
        let source = Source { paths, root };
        let Settings { config, root, .. } = source.read();
        Ok(Self { root, named_root: source.root, paths: source.paths, config })
    }

    /// Folders that held backups before.
    pub fn known_roots(&self) -> KnownRoots {
        KnownRoots::in_folder(&self.paths.log_dir)
    }

    /// The way to the phones.
    ///
    /// # Errors
    /// When the environment names none.
    pub fn muxer(&self) -> Result<Muxer, Failure> {
        Muxer::from_environment()
    }
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A failure of the catalogue.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The command line or the config is wrong.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers on the daemon's socket.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// A person stopped waiting.
    #[error("{0}")]
    Interrupted(&'static str),
    /// Standard output is closed: who reads has seen enough.
    #[error("standard output is closed")]
    OutputClosed,
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<NoHome> for CliError {
    fn from(error: NoHome) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failure(failure) => Self::Failure(failure),
            refusal => Self::Usage(refusal.to_string()),
        }
    }
}

/// Parses the command line and carries it out.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = match &arguments.command {
        Command::Status(arguments) => arguments.json,
        Command::Backup(arguments) => arguments.json,
        Command::Phones(arguments) => arguments.json,
        Command::History(arguments) => arguments.json,
        Command::Verify(arguments) => arguments.json,
        Command::Prune(arguments) => arguments.json,
        Command::Encryption(arguments) => arguments.json(),
        Command::Extract(arguments) => arguments.json,
        Command::Restore(arguments) => arguments.json,
        Command::CopyPhotos(arguments) => arguments.json,
        Command::Daemon
        | Command::Pair(_)
        | Command::Pause(_)
        | Command::Resume
        | Command::Snooze(_)
        | Command::Restart(_) => false,
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::report(&error, json),
    }
}

fn asks_the_daemon(command: &Command) -> bool {
    match command {
        Command::Status(_) | Command::Pause(_) | Command::Resume | Command::Snooze(_) | Command::Restart(_) => true,
        Command::Backup(arguments) => !arguments.once,
        _ => false,
    }
}

fn run(arguments: Arguments) -> Result<(), CliError> {
    if arguments.root.is_some() && asks_the_daemon(&arguments.command) {
        return Err(CliError::Usage("--root is not for commands that ask the daemon, which has its own".into()));
    }
    let context = match arguments.command {
        Command::Daemon => Context::of_the_daemon(arguments.root, arguments.config)?,
        _ => Context::new(arguments.root, arguments.config)?,
    };
    // Kept to the end: dropping it flushes the log file.
    let _log = match arguments.command {
        Command::Daemon => Some(logs::to_file_and_stderr(&context.paths.log_dir)?),
        _ => {
            logs::to_stderr();
            None
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::Usage(format!("no threads: {error}")))?;
    runtime.block_on(async {
        match arguments.command {
            Command::Daemon => daemon::run(context).await,
            Command::Status(arguments) => status::run(&context, &arguments).await,
            Command::Backup(arguments) => backup::run(&context, &arguments).await,
            Command::Phones(arguments) => phones::run(&context, &arguments).await,
            Command::Pair(arguments) => pair::run(&context, &arguments).await,
            Command::Pause(arguments) => attention::pause(&context, &arguments).await,
            Command::Resume => attention::resume(&context).await,
            Command::Snooze(arguments) => attention::snooze(&context, &arguments).await,
            Command::Restart(arguments) => attention::restart(&context, &arguments).await,
            Command::History(arguments) => history::run(&context, &arguments),
            Command::Verify(arguments) => verify::run(&context, &arguments).await,
            Command::Prune(arguments) => history::prune(&context, &arguments),
            Command::Encryption(arguments) => encryption::run(&context, &arguments).await,
            Command::Extract(arguments) => extract::run(&context, &arguments).await,
            Command::Restore(arguments) => restore::run(&context, &arguments).await,
            Command::CopyPhotos(arguments) => copy_photos::run(&context, &arguments).await,
        }
    })
}
