//! The daemon's settings. A bad edit keeps the last good ones in force and is told; a good one is taken up by itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use backstay_shared::{
    config::{Chosen, Config},
    health::{Failure, FailureId},
    paths::Paths,
};

use tokio::sync::Notify;

use crate::{
    health::diagnose,
    host::disk,
    ipc::board::Board,
    phone::turns::Turns,
    transfer::DiskError,
    vault::{layout::OWN_FOLDER, roots::KnownRoots},
};

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
    /// Whoever started the daemon has named a folder or a file of settings, and so agreed to backups.
    pub agreed: bool,
    /// Folders that held backups before.
    pub known_roots: KnownRoots,
    /// Has the file looked at now.
    pub nudge: Arc<Notify>,
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
    /// No person has agreed to backups: the file says nothing, and the usual folder holds none of ours.
    pub setup_needed: bool,
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

/// The copy of the settings that could be used last.
fn last_good(paths: &Paths) -> PathBuf {
    paths.log_dir.join("last-good-config.toml")
}

/// The first line of the copy: whose it is. Quoted, a path is one line.
fn copy_mark(paths: &Paths) -> String {
    let file = std::path::absolute(&paths.config_file);
    format!("# A copy of {:?}\n", file.as_deref().unwrap_or(&paths.config_file))
}

/// The settings that a daemon could use last, of this file, with the folder that they choose; none where it has seen no good
/// ones.
pub fn read_last_good(paths: &Paths, root: Option<&Path>) -> Option<(Config, PathBuf)> {
    let file = last_good(paths);
    // Another file of settings may have been named.
    if !fs::read_to_string(&file).ok()?.starts_with(&copy_mark(paths)) {
        return None;
    }
    let config = Config::read(&file).ok()?;
    let root = choose_root(&config, root, paths).ok()?;
    Some((config, root))
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
        match read_last_good(&self.paths, self.root.as_deref()) {
            Some((config, root)) => {
                let setup_needed = self.is_setup_needed(&config, &root);
                let mistake = Some(mistake);
                Settings { config, root, mistake, held: false, setup_needed, stamp: mistake_stamp }
            }
            None => Settings {
                config: Config::default(),
                root: self.root.clone().unwrap_or_else(|| self.paths.default_root.clone()),
                mistake: Some(mistake),
                held: true,
                setup_needed: false,
                stamp: mistake_stamp,
            },
        }
    }

    fn of_the_file(&self, file: &Path) -> Result<Settings, Failure> {
        let stamp = stamp(file);
        let told = |text: String| Failure::from(FailureId::ConfigInvalid).path(file).text(text);
        let config = Config::read(file).map_err(|error| told(error.to_string()))?;
        let root = choose_root(&config, self.root.as_deref(), &self.paths).map_err(told)?;
        let setup_needed = self.is_setup_needed(&config, &root);
        Ok(Settings { config, root, mistake: None, held: false, setup_needed, stamp })
    }

    fn is_setup_needed(&self, config: &Config, root: &Path) -> bool {
        let has_backups = || root.join(OWN_FOLDER).exists() || self.known_roots.contains(root);
        !self.agreed && *config == Config::default() && !has_backups()
    }

    /// A person agrees: to the settings that are there, or else to the usual ones. They are taken up at once.
    ///
    /// # Errors
    /// When the settings have a mistake or can't be written.
    pub fn agree(&self) -> Result<(), Failure> {
        if self.of_the_file(&self.paths.config_file)?.setup_needed {
            write_first(&self.paths, &Chosen::usual(&self.paths.default_root))?;
        }
        self.nudge.notify_one();
        Ok(())
    }

    fn remember(&self) {
        let copy = last_good(&self.paths);
        let kept = match fs::read_to_string(&self.paths.config_file) {
            Ok(text) => disk::make_private(&self.paths.log_dir).and_then(|()| {
                disk::write_durably(&copy, (copy_mark(&self.paths) + text.trim_start_matches('\u{feff}')).as_bytes())
            }),
            // Without a file the defaults are in force, and an older copy is not.
            Err(error) if error.kind() == io::ErrorKind::NotFound && copy.exists() => fs::remove_file(&copy),
            Err(_) => return,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "the good settings can't be remembered");
        }
    }

    /// Waits until there are other good settings and no backup runs. Meanwhile mistakes are told on the board, and what comes
    /// by itself gets no turn, so that other settings do not wait for a whole queue: it comes again under them.
    pub async fn changed(&self, current: &Settings, board: &Board, turns: &Turns) -> Settings {
        let mut seen = current.stamp;
        loop {
            let nudged = tokio::time::timeout(EVERY, self.nudge.notified()).await.is_ok();
            let now = stamp(&self.paths.config_file);
            if now == seen {
                continue;
            }
            // An editor may be in the middle of it: what has come to rest counts.
            if !nudged {
                tokio::time::sleep(REST).await;
            }
            if now != stamp(&self.paths.config_file) {
                continue;
            }
            match self.of_the_file(&self.paths.config_file) {
                Err(mistake) => board.raise(&mistake),
                Ok(settings) => {
                    board.clear(FailureId::ConfigInvalid);
                    self.remember();
                    let parts = |settings: &Settings| (settings.root.clone(), settings.held, settings.setup_needed);
                    let same = settings.config == current.config && parts(&settings) == parts(current);
                    if !same {
                        turns.hold(true);
                        loop {
                            turns.at_rest().await;
                            // Whoever is told how the last backup ended has a moment to hear it.
                            if !current.setup_needed {
                                tokio::time::sleep(EVERY).await;
                            }
                            // In that moment a person may have asked for one.
                            if turns.is_at_rest() {
                                break;
                            }
                        }
                        // A later edit is looked at first.
                        if stamp(&self.paths.config_file) == settings.stamp {
                            return settings;
                        }
                        turns.hold(false);
                        continue;
                    }
                }
            }
            seen = now;
        }
    }
}

/// Writes the settings of a person who has just agreed to backups. A file that sets nothing is replaced, and kept beside
/// them if it is not the one that Backstay makes; so is the file that a click wrote, in which nobody was asked anything.
/// One that sets something is left as it is.
///
/// # Errors
/// When there are settings already, or they can't be written.
pub fn write_first(paths: &Paths, chosen: &Chosen) -> Result<(), Failure> {
    let file = &paths.config_file;
    let invalid = |text: String| Failure::from(FailureId::ConfigInvalid).path(file).text(text);
    let failed = |operation| move |source| diagnose::disk(&DiskError { operation, path: file.clone(), source });
    let text = chosen.file().map_err(invalid)?;
    match fs::read_to_string(file) {
        Ok(old) if old == Config::TEMPLATE || is_of_a_click(paths) => {}
        Ok(_) => {
            let config = Config::read(file).map_err(|error| invalid(error.to_string()))?;
            if config != Config::default() {
                return Err(invalid("holds settings already; change them there".to_owned()));
            }
            fs::rename(file, file.with_extension("toml.old")).map_err(failed("renaming"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("reading")(error)),
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(failed("creating the folder of"))?;
    }
    disk::write_durably(file, text.as_bytes()).map_err(failed("writing"))
}

/// Whether the settings are, to the letter, those that a click wrote.
pub fn is_of_a_click(paths: &Paths) -> bool {
    let written = Chosen::usual(&paths.default_root).file();
    fs::read_to_string(&paths.config_file).is_ok_and(|text| written.is_ok_and(|written| written == text))
}

fn stamp(file: &Path) -> Stamp {
    let facts = fs::metadata(file).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

#[cfg(test)]
mod tests {
    use backstay_shared::overview::Overview;

    use super::*;
    use crate::{health::snoozes::Snoozes, phone::turns::News};

    fn source(folder: &Path) -> Source {
        let paths = Paths {
            config_file: folder.join("config.toml"),
            log_dir: folder.join("state"),
            runtime_dir: folder.join("run"),
            default_root: folder.join("default"),
        };
        let known_roots = KnownRoots::in_folder(&paths.log_dir);
        Source { paths, root: None, agreed: false, known_roots, nudge: Arc::default() }
    }

    /// Nothing is agreed to by a file that says nothing, and nobody who has backups is asked again.
    #[test]
    fn setup_is_needed_until_somebody_agrees() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let (file, root) = (&source.paths.config_file, &source.paths.default_root);
        let needed = || source.read().setup_needed;
        assert!(needed());
        assert!(!Source { agreed: true, ..source.clone() }.read().setup_needed);
        fs::write(file, Config::TEMPLATE).unwrap();
        assert!(needed(), "who looks at the settings has not agreed");
        fs::write(file, "[hooks]\non_start = [\"true\"]").unwrap();
        assert!(!needed());
        fs::remove_file(file).unwrap();

        fs::create_dir_all(root.join(OWN_FOLDER)).unwrap();
        assert!(!needed(), "there are backups");
        source.known_roots.remember(root).unwrap();
        fs::remove_dir_all(root).unwrap();
        assert!(!needed(), "their drive is away");
        fs::remove_file(source.paths.log_dir.join("backup-folders.json")).unwrap();

        source.agree().unwrap();
        let settings = source.read();
        assert_eq!((settings.setup_needed, &settings.root), (false, root));
        let written = fs::read_to_string(file).unwrap();
        source.agree().unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), written, "agreeing twice changes nothing");
        let chosen = Chosen { require_encryption: true, ..Chosen::usual("/elsewhere".as_ref()) };
        fs::write(file, format!("{written}\n# mine")).unwrap();
        assert_eq!(write_first(&source.paths, &chosen).unwrap_err().id, FailureId::ConfigInvalid, "it was edited");
        fs::write(file, &written).unwrap();
        write_first(&source.paths, &chosen).unwrap();
        assert_eq!(source.read().root, Path::new("/elsewhere"), "a click asked nothing");
        assert!(!folder.path().join("config.toml.old").exists());
        assert_eq!(write_first(&source.paths, &chosen).unwrap_err().id, FailureId::ConfigInvalid);
        fs::write(file, "# mine").unwrap();
        write_first(&source.paths, &chosen).unwrap();
        assert_eq!(source.read().root, Path::new("/elsewhere"));
        assert_eq!(fs::read_to_string(folder.path().join("config.toml.old")).unwrap(), "# mine");
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

    /// What runs is not broken off, also when it began in the moment before the end; what waits by itself waits no longer.
    #[tokio::test]
    async fn other_settings_wait_for_what_runs_and_not_for_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let write = |text: &str| fs::write(folder.path().join("config.toml"), text).unwrap();
        write("[backup]\nevery_hours = 3");
        let current = source.read();
        let (board, turns) = (Board::new(Overview::default(), Snoozes::kept(folder.path())), Turns::default());
        let turn = async |asked| match turns.wait(asked, None).news().await {
            News::Turn(turn) => turn,
            News::Place => panic!("the disk is free"),
        };
        let running = turn(false).await;
        let queued = turns.wait(false, None);
        write("[backup]\nevery_hours = 40");
        source.nudge.notify_one();
        let changed = source.changed(&current, &board, &turns);
        tokio::pin!(changed);
        let mut not_yet = async |why: &str, rest: Duration| {
            assert!(tokio::time::timeout(rest, &mut changed).await.is_err(), "{why}");
        };
        not_yet("one runs", REST).await;
        drop(running);
        not_yet("its end is told", REST).await;
        let asked = turn(true).await;
        not_yet("a person asked for one", EVERY + REST).await;
        drop(asked);
        let settings = changed.await;
        assert_eq!(settings.config.backup.every_hours.number(), 40);
        assert_eq!(queued.place(), 1, "it waits all the while");
    }
}
