//! Where things are on this computer.

use std::path::{Path, PathBuf};

use directories::{ProjectDirs, UserDirs};

/// The folders and files of this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `config.toml`.
    pub config_file: PathBuf,
    /// Logs.
    pub log_dir: PathBuf,
    /// The daemon's socket (a named pipe on Windows) and lock file; only this user may enter.
    pub runtime_dir: PathBuf,
    /// Where backups go unless the config says otherwise.
    pub default_root: PathBuf,
}

/// Neither `HOME` nor the system's user database names a home folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this user has no home folder; set HOME or name the files with --config and --root")]
pub struct NoHome;

impl Paths {
    /// Follows the XDG variables on Linux and the platform's customs elsewhere.
    ///
    /// # Errors
    /// When the user has no home folder.
    pub fn of_this_user() -> Result<Self, NoHome> {
        let project = ProjectDirs::from("", "", "backstay").ok_or(NoHome)?;
        let user = UserDirs::new().ok_or(NoHome)?;
        let state_dir = project.state_dir().unwrap_or_else(|| project.data_local_dir());
        Ok(Self {
            config_file: project.config_dir().join("config.toml"),
            log_dir: state_dir.to_owned(),
            runtime_dir: project.runtime_dir().map_or_else(|| state_dir.join("run"), Path::to_owned),
            default_root: user.home_dir().join("iPhone Backups"),
        })
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        if cfg!(windows) {
            // A pipe has no folder; the user's own runtime path keeps two users apart.
            let user: String = self.runtime_dir.to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
            PathBuf::from(format!(r"\\.\pipe\backstay-{user}"))
        } else {
            self.runtime_dir.join("daemon.sock")
        }
    }

    /// Held while a daemon runs, so that a second one never takes a live socket.
    pub fn lock_file(&self) -> PathBuf {
        self.runtime_dir.join("daemon.lock")
    }
}
