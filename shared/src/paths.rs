//! Where things are on this computer.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

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

/// Makes a folder that only this user may enter, with those above it that are missing; one that is there is made so.
///
/// # Errors
/// Of the file system, and when the folder belongs to another user, who could see and change what is in it.
pub fn make_own_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let facts = fs::metadata(folder)?;
        if facts.uid() != rustix::process::geteuid().as_raw() {
            let why = format!("{} belongs to another user", folder.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        if facts.mode() & 0o777 != 0o700 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    use super::*;

    #[test]
    fn only_this_user_enters_its_own_folder() {
        let outer = std::env::temp_dir().join(format!("backstay-own-folder-{}", std::process::id()));
        let folder = outer.join("run");
        let mode = |folder: &Path| fs::metadata(folder).unwrap().mode() & 0o777;
        make_own_folder(&folder).unwrap();
        assert_eq!((mode(&outer), mode(&folder)), (0o700, 0o700));
        // Made by something that did not care.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        make_own_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        // Only root can give it away.
        if chown(&folder, Some(65534), None).is_ok() {
            assert_eq!(make_own_folder(&folder).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        fs::write(outer.join("file"), "").unwrap();
        assert!(make_own_folder(&outer.join("file")).is_err());
        fs::remove_dir_all(outer).unwrap();
    }
}
