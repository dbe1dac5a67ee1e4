//! The folders that have held backups, remembered on this computer and not in them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use backstay_shared::health::{Failure, FailureId};

use super::layout::OWN_FOLDER;
use crate::{health::diagnose, host::disk, transfer::DiskError};

/// A larger file is not ours.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The list, a JSON file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRoots {
    file: PathBuf,
}

impl KnownRoots {
    /// Kept in this folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { file: folder.join("backup-folders.json") }
    }

    /// What can't be read counts as not remembered: then a folder is taken as new, as on the first day.
    fn read(&self) -> Vec<PathBuf> {
        match fs::metadata(&self.file) {
            Ok(facts) if facts.len() <= FILE_BYTES_MAX => {}
            _ => return Vec::new(),
        }
        fs::read(&self.file).ok().and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default()
    }

    /// True when this folder has held backups.
    pub fn contains(&self, root: &Path) -> bool {
        self.read().iter().any(|known| known == root)
    }

    /// True when this folder has held backups and its mark is not there now.
    pub fn is_missing(&self, root: &Path) -> bool {
        matches!(root.join(OWN_FOLDER).try_exists(), Ok(false) | Err(_)) && self.contains(root)
    }

    /// True when a backup would find its folder: marked, or new and with a place to be made in.
    pub fn is_ready(&self, root: &Path) -> bool {
        match root.join(OWN_FOLDER).try_exists() {
            Ok(true) => disk::probe(&root.join(OWN_FOLDER)).is_ok(),
            Ok(false) => !self.contains(root) && can_be_begun(root),
            Err(_) => false,
        }
    }

    /// From now on it has.
    ///
    /// # Errors
    /// Of the file system.
    pub fn remember(&self, root: &Path) -> io::Result<()> {
        let mut known = self.read();
        if known.iter().any(|known| known == root) {
            return Ok(());
        }
        known.push(root.to_owned());
        if let Some(folder) = self.file.parent() {
            disk::make_private(folder)?;
        }
        disk::write_durably(&self.file, &serde_json::to_vec(&known)?)
    }

    /// Backstay's own folder marks a root. One that was used before and has lost its mark is a drive that is not there, and
    /// its empty mount point is never written to.
    ///
    /// # Errors
    /// `backup-drive-missing`, or of the file system.
    pub fn prepare(&self, root: &Path) -> Result<(), Failure> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| diagnose::disk(&DiskError { operation, path, source })
        };
        let own = root.join(OWN_FOLDER);
        if !own.try_exists().map_err(failed("reading", &own))? {
            if self.contains(root) {
                return Err(Failure::from(FailureId::BackupDriveMissing).path(root).text("it held backups before"));
            }
            match fs::create_dir(root) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => {
                    created.map_err(failed("creating", root))?;
                    if let Some(above) = root.parent() {
                        disk::sync_folder(above).map_err(failed("syncing", above))?;
                    }
                }
            }
            disk::make_private(&own).map_err(failed("creating", &own))?;
            // The mark is on the disk before anybody relies on it.
            disk::sync_folder(root).map_err(failed("syncing", root))?;
        }
        if let Err(error) = self.remember(root) {
            tracing::warn!(%error, "the backup folder can't be remembered; a missing drive would not be noticed");
        }
        Ok(())
    }
}

/// Only trying shows it: a place may be there and take nothing.
fn can_be_begun(root: &Path) -> bool {
    if root.is_dir() {
        return disk::probe(root).is_ok();
    }
    fs::create_dir(root).and_then(|()| fs::remove_dir(root)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_place_that_takes_nothing_is_not_ready() {
        let folder = tempfile::tempdir().unwrap();
        let roots = KnownRoots::in_folder(folder.path());
        let new = folder.path().join("Backups");
        assert!(roots.is_ready(&new) && !new.exists(), "it can be made, and nobody has asked for it yet");
        // The folder above is there, and not even root can make one in it.
        assert!(!roots.is_ready("/proc/Backups".as_ref()) && !roots.is_ready("/proc".as_ref()));
        roots.remember(&new).unwrap();
        assert!(!roots.is_ready(&new), "its drive is away");
    }
}
