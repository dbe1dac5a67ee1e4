//! The commands, one file each. Exit codes: 0 done, 1 failed, 2 usage, 3 the daemon is not running.

pub mod attention;
pub mod backup;
pub mod copy_photos;
pub mod daemon;
pub mod doctor;
pub mod encryption;
pub mod explain;
pub mod extract;
pub mod history;
pub mod login;
pub mod logs;
pub mod output;
pub mod pair;
pub mod phones;
pub mod progress;
pub mod report;
pub mod restore;
pub mod schedule;
pub mod secrets;
pub mod setup;
pub mod status;
pub mod vault;
pub mod verify;
pub mod wifi;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use backstay_shared::{
    client::ClientError,
    config::{Config, ConfigError},
    health::Failure,
    paths::{NoHome, Paths},
    protocol::Refusal,
};
use clap::{CommandFactory, Parser, Subcommand};

use crate::{phone::link::Muxer, settings, vault::roots::KnownRoots};

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
    /// Agree to backups, and say where to and when
    Setup(setup::Arguments),
    /// Start at login: the daemon and the icon in the status bar
    Login(login::Arguments),
    /// Show phones, last good backups, what runs and what is wrong
    Status(status::Arguments),
    /// Show when the next backups are due, and why then
    Schedule(schedule::Arguments),
    /// Back up now
    Backup(backup::Arguments),
    /// Cancel the backup that runs or waits for its turn
    Cancel(attention::CancelArguments),
    /// List the phones that are connected
    Phones(phones::Arguments),
    /// Let a phone trust this computer
    Pair(pair::Arguments),
    /// Whether a phone may be backed up over Wi-Fi, and why it is not reached there
    Wifi(wifi::Arguments),
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
    /// What a failure means and what to do about it
    Explain(explain::Arguments),
    /// See what this computer and its phones lack, without starting anything
    Doctor(doctor::Arguments),
    /// Save what support needs to know, without names and numbers of yours
    Report(report::Arguments),
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
}

/// What the command line and the settings say, also when the settings can't be used.
#[derive(Debug)]
pub struct Given {
    /// Where things are.
    pub paths: Paths,
    /// The settings, or why they can't be used.
    pub config: Result<Config, CliError>,
    /// Where they can't: those of the same file that a daemon goes on with.
    pub last_good: Option<Config>,
    /// The folder that holds the backups: as the settings say, or the last good ones.
    pub root: PathBuf,
    /// The one that the command line named, if it did.
    pub root_named: Option<PathBuf>,
    /// The settings file that the command line named, if it did.
    pub config_named: Option<PathBuf>,
}

impl Given {
    fn new(root: Option<PathBuf>, config: Option<PathBuf>) -> Result<Self, CliError> {
        let mut paths = Paths::of_this_user()?;
        let config_named = config.clone();
        if let Some(file) = config {
            paths.config_file = file;
        }
        let (config, last_good, chosen) = match read_config(&paths, root.as_deref(), config_named.is_some()) {
            Ok((config, chosen)) => (Ok(config), None, chosen),
            Err(mistake) => match settings::read_last_good(&paths, root.as_deref()) {
                Some((config, chosen)) => (Err(mistake), Some(config), chosen),
                None => (Err(mistake), None, root.clone().unwrap_or_else(|| paths.default_root.clone())),
            },
        };
        Ok(Self { root: chosen, root_named: root, config_named, config, last_good, paths })
    }

    /// The settings that a daemon which reads this file has, unless it was told otherwise.
    pub fn in_force(&self) -> Option<&Config> {
        self.config.as_ref().ok().or(self.last_good.as_ref())
    }

    /// Folders that held backups before.
    pub fn known_roots(&self) -> KnownRoots {
        KnownRoots::in_folder(&self.paths.log_dir)
    }
}

/// The settings, and the folder that they or the command line choose.
fn read_config(paths: &Paths, root: Option<&Path>, named: bool) -> Result<(Config, PathBuf), CliError> {
    // Only the usual place may be empty: a name that was typed means a file.
    if named && !paths.config_file.exists() {
        return Err(CliError::Usage(format!("there is no config file {}", paths.config_file.display())));
    }
    let config = Config::read(&paths.config_file)?;
    let chosen = settings::choose_root(&config, root, paths).map_err(CliError::Usage)?;
    Ok((config, chosen))
}

impl Context {
    fn new(given: Given, only_reads: bool) -> Result<Self, CliError> {
        let config = match (given.config, given.last_good) {
            (Ok(config), _) => config,
            (Err(mistake), Some(last_good)) if only_reads => {
                let (text, root) = (mistake.to_string(), given.root.display());
                let goes_on = format!("The last good settings are used, with the backups in {root}.");
                // A closed terminal changes nothing about the work.
                drop(writeln!(io::stderr(), "backstay: {}\n{goes_on}", text.trim_end()));
                last_good
            }
            (Err(mistake), _) => return Err(mistake),
        };
        Ok(Self { config, paths: given.paths, root: given.root })
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
        let muxer = Muxer::from_environment(&self.paths.log_dir)?;
        muxer.use_wifi(self.config.network.wifi);
        Ok(muxer)
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
    /// The system refused.
    #[error("{0}")]
    Failed(String),
    /// A person stopped waiting.
    #[error("{0}")]
    Interrupted(&'static str),
    /// What is wrong was printed, and only the exit code is left to say.
    #[error("see above")]
    Told,
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
        Command::Schedule(arguments) => arguments.json,
        Command::Backup(arguments) => arguments.json,
        Command::Phones(arguments) => arguments.json,
        Command::History(arguments) => arguments.json,
        Command::Verify(arguments) => arguments.json,
        Command::Prune(arguments) => arguments.json,
        Command::Encryption(arguments) => arguments.json(),
        Command::Extract(arguments) => arguments.json,
        Command::Restore(arguments) => arguments.json,
        Command::CopyPhotos(arguments) => arguments.json,
        Command::Explain(arguments) => arguments.json,
        Command::Doctor(arguments) => arguments.json,
        Command::Login(arguments) => arguments.json(),
        Command::Wifi(arguments) => arguments.json(),
        Command::Report(_)
        | Command::Daemon
        | Command::Setup(_)
        | Command::Pair(_)
        | Command::Cancel(_)
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

/// All commands with their options: from here come the manual and the completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

fn asks_the_daemon(command: &Command) -> bool {
    match command {
        Command::Status(_)
        | Command::Schedule(_)
        | Command::Cancel(_)
        | Command::Pause(_)
        | Command::Resume
        | Command::Snooze(_)
        | Command::Restart(_) => true,
        Command::Backup(arguments) => !arguments.once,
        _ => false,
    }
}

/// What changes nothing but the files that it is told to write: it works whatever was mistyped in the settings.
fn only_reads(command: &Command) -> bool {
    matches!(command, Command::Phones(_) | Command::History(_) | Command::Verify(_) | Command::Extract(_))
}

fn run(arguments: Arguments) -> Result<(), CliError> {
    if arguments.root.is_some() && asks_the_daemon(&arguments.command) {
        return Err(CliError::Usage("--root is not for commands that ask the daemon, which has its own".into()));
    }
    // The texts are in the program: they can be read whatever is broken.
    if let Command::Explain(arguments) = &arguments.command {
        return explain::run(arguments);
    }
    let given = Given::new(arguments.root, arguments.config)?;
    match &arguments.command {
        Command::Doctor(arguments) => return threads()?.block_on(doctor::run(&given, arguments)),
        Command::Report(arguments) => return threads()?.block_on(report::run(&given, arguments)),
        Command::Setup(arguments) => return threads()?.block_on(setup::run(&given, arguments)),
        Command::Login(arguments) => return threads()?.block_on(login::run(&given, arguments)),
        Command::Daemon => {
            // Kept to the end: dropping it flushes the log file.
            let _log = logs::to_file_and_stderr(&given.paths.log_dir)?;
            return threads()?.block_on(daemon::run(given));
        }
        _ => {}
    }
    // The daemon has settings of its own, the last good ones, and tells of a mistake in the file.
    let context = match asks_the_daemon(&arguments.command) {
        true => Context { config: given.in_force().cloned().unwrap_or_default(), paths: given.paths, root: given.root },
        false => Context::new(given, only_reads(&arguments.command))?,
    };
    logs::to_stderr();
    threads()?.block_on(async {
        match arguments.command {
            Command::Status(arguments) => status::run(&context, &arguments).await,
            Command::Schedule(arguments) => schedule::run(&context, &arguments).await,
            Command::Backup(arguments) => backup::run(&context, &arguments).await,
            Command::Phones(arguments) => phones::run(&context, &arguments).await,
            Command::Pair(arguments) => pair::run(&context, &arguments).await,
            Command::Wifi(arguments) => wifi::run(&context, &arguments).await,
            Command::Cancel(arguments) => attention::cancel(&context, &arguments).await,
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
            // Carried out above, where the settings may be broken.
            Command::Daemon
            | Command::Explain(_)
            | Command::Doctor(_)
            | Command::Report(_)
            | Command::Login(_)
            | Command::Setup(_) => Ok(()),
        }
    })
}

fn threads() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::Usage(format!("no threads: {error}")))
}

#[cfg(test)]
mod tests {
    use backstay_shared::health::FailureId;

    use super::*;

    /// A remedy that can't be typed is none.
    #[test]
    fn every_command_that_a_failure_names_is_there() {
        let texts = FailureId::ALL.iter().flat_map(|id| {
            let entry = id.entry();
            let commands = entry.actions.iter().filter_map(|action| action.command(None));
            let told = std::iter::once(entry.why.clone()).chain(entry.steps.iter().cloned()).chain(commands);
            told.map(move |text| (*id, text)).collect::<Vec<_>>()
        });
        let mut named = 0;
        for (id, text) in texts {
            for rest in text.split("backstay ").skip(1) {
                let mut words = rest.split(|character: char| !(character.is_ascii_lowercase() || character == '-'));
                let Some(name) = words.next().filter(|name| !name.is_empty()) else { continue };
                named += 1;
                let all = command();
                let command = all.find_subcommand(name).unwrap_or_else(|| panic!("{id}: no backstay {name}: {text}"));
                if command.has_subcommands() {
                    let below = words.next().unwrap_or_default();
                    assert!(command.find_subcommand(below).is_some(), "{id}: no backstay {name} {below}: {text}");
                }
            }
        }
        assert!(named > 100, "{named} commands are named");
    }
}
