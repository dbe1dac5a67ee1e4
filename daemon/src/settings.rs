//! The daemon's settings. A bad edit keeps the last good ones in force and is told; a good one is taken up by itself.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use backstay_shared::{
    config::Config,
    health::{Failure, FailureId},
    overview::Activity,
    paths::Paths,
};

use crate::{host::disk, ipc::board::Board};

/// The file is looked at this often.
const EVERY: Duration = Duration::from_secs(5);

/// A file that has not changed for so long is written to its end.
const REST: Duration = Duration::from_secs(1);

/// Where settings come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file, and where the last good copy of it is kept.
    pub paths: Paths,
    /// The backup folder that the command line names; it wins over the file.
    pub root: Option<PathBuf>,
}

/// Settings in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The file's content.
    pub config: Config,
    /// The folder that holds the backups.
    pub root: PathBuf,
    /// What is wrong with the file now.
    pub mistake: Option<Failure>,
    /// There never were good ones: nothing is backed up, since nobody knows where to.
    pub held: bool,
    /// The file as it was when it was read.
    stamp: Stamp,
}

/// Changes with every edit; none while there is no file.
type Stamp = Option<(SystemTime, u64)>;

/// The folder that holds the backups: as the command line says, else the settings, else the usual one.
///
/// # Errors
/// When the settings name no whole path.
pub fn choose_root(config: &Config, argument: Option<&Path>, paths: &Paths) -> Result<PathBuf, String> {
    let named = config.backup.root.as_deref();
    if let Some(root) = named.filter(|root| !root.is_absolute()) {
        let (file, root) = (paths.config_file.display(), root.display());
        return Err(format!("{file}: root is {root:?}; write the whole path, without ~"));
    }
    let root = argument.or(named).unwrap_or(&paths.default_root);
    Ok(std::path::absolute(root).unwrap_or_else(|_| root.to_owned()))
}

impl Source {
    /// Reads the file; with a mistake in it what was good last.
    pub fn read(&self) -> Settings {
        let mistake_stamp = stamp(&self.paths.config_file);
        let mistake = match self.of_the_file(&self.paths.config_file) {
            Ok(settings) => {
                self.remember();
                return settings;
            }
            Err(mistake) => mistake,
        };
        tracing::warn!(%mistake, "the settings can't be used");
        let last_good = self.last_good();
        match self.of_the_file(&last_good) {
            // A file that is not there is no copy, though it reads as the defaults.
            Ok(settings) if last_good.exists() => Settings { mistake: Some(mistake), stamp: mistake_stamp, ..settings },
            _ => Settings {
                config: Config::default(),
                root: self.root.clone().unwrap_or_else(|| self.paths.default_root.clone()),
                mistake: Some(mistake),
                held: true,
                stamp: mistake_stamp,
            },
        }
    }

    fn of_the_file(&self, file: &Path) -> Result<Settings, Failure> {
        let stamp = stamp(file);
        let told = |text: String| Failure::from(FailureId::ConfigInvalid).path(file).text(text);
        let config = Config::read(file).map_err(|error| told(error.to_string()))?;
        let root = choose_root(&config, self.root.as_deref(), &self.paths).map_err(told)?;
        Ok(Settings { config, root, mistake: None, held: false, stamp })
    }

    fn last_good(&self) -> PathBuf {
        self.paths.log_dir.join("last-good-config.toml")
    }

    fn remember(&self) {
        let kept = match fs::read(&self.paths.config_file) {
            Ok(text) => {
                disk::make_private(&self.paths.log_dir).and_then(|()| disk::write_durably(&self.last_good(), &text))
            }
            // Without a file the defaults are in force, and need no copy.
            Err(_) => return,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "the good settings can't be remembered");
        }
    }

    /// Waits until there are other good settings and no backup runs. Meanwhile mistakes are told on the board.
    pub async fn changed(&self, current: &Settings, board: &Board) -> Settings {
        let mut seen = current.stamp;
        loop {
            tokio::time::sleep(EVERY).await;
            let now = stamp(&self.paths.config_file);
            if now == seen {
                continue;
            }
            // An editor may be in the middle of it: what has come to rest counts.
            tokio::time::sleep(REST).await;
            if now != stamp(&self.paths.config_file) {
                continue;
            }
            match self.of_the_file(&self.paths.config_file) {
                Err(mistake) => board.raise(&mistake),
                Ok(settings) => {
                    board.clear(FailureId::ConfigInvalid);
                    self.remember();
                    let same = (&settings.config, &settings.root, settings.held)
                        == (&current.config, &current.root, current.held);
                    if !same {
                        idle(board).await;
                        // Whoever is told how the last backup ended has a moment to hear it.
                        tokio::time::sleep(EVERY).await;
                        // A later edit is looked at first.
                        if stamp(&self.paths.config_file) == settings.stamp {
                            return settings;
                        }
                        continue;
                    }
                }
            }
            seen = now;
        }
    }
}

fn stamp(file: &Path) -> Stamp {
    let facts = fs::metadata(file).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

/// Waits until no backup runs or is about to.
async fn idle(board: &Board) {
    let mut shown = board.subscribe();
    let at_work = |activity: &Activity| matches!(activity, Activity::Running { .. } | Activity::Queued { .. });
    // The board ends only with the daemon.
    drop(shown.wait_for(|shown| !shown.overview.phones.iter().any(|phone| at_work(&phone.activity))).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(folder: &Path) -> Source {
        let paths = Paths {
            config_file: folder.join("config.toml"),
            log_dir: folder.join("state"),
            runtime_dir: folder.join("run"),
            default_root: folder.join("default"),
        };
        Source { paths, root: None }
    }

    #[test]
    fn a_mistake_keeps_what_was_good() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let write = |text: &str| fs::write(folder.path().join("config.toml"), text).unwrap();

        write("[backup]\nevery_hors = 3");
        let settings = source.read();
        assert!(settings.held, "nobody knows where backups should go");
        let told = settings.mistake.unwrap().to_string();
        assert!(told.contains("line 2") && told.contains("config.toml"), "{told}");

        write("[backup]\nevery_hours = 3");
        let good = source.read();
        assert_eq!((good.held, &good.mistake), (false, &None));
        write("[backup]\nroot = \"backups\"");
        let settings = source.read();
        assert!(settings.mistake.is_some() && !settings.held);
        assert_eq!((settings.config, settings.root), (good.config, good.root));
    }
}
