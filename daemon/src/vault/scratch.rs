//! Where a decrypted manifest lies while it is read: in memory, or in a file without a name.
//!
//! It holds the names of all files of an encrypted backup, and a real one has up to 1.5 GB: `/tmp` is often memory, and
//! often too small.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use backstay_shared::paths::Paths;
use tempfile::NamedTempFile;

use super::{encryption::EncryptionError, layout::Layout};
use crate::host::disk;

/// How the file is called, before the number of the process that reads it, for the moment in which it has a name.
const PREFIX: &str = "backstay-manifest-";

/// A manifest up to this size is read in memory: that of some 10,000 files.
const MEMORY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Room that stays free beside it.
const SPARE_BYTES: u64 = 16 * 1024 * 1024;

/// The folders that may be used, the best first.
#[derive(Debug, Clone)]
pub struct Scratch {
    folders: Vec<PathBuf>,
    memory_bytes_max: u64,
}

impl Scratch {
    /// For the backups of a phone: the backup disk, which has room for backups; where it can't be written, Backstay's own
    /// folder for its state.
    pub fn of(layout: &Layout) -> Self {
        let state = Paths::of_this_user().map(|paths| paths.log_dir);
        Self::new(std::iter::once(layout.own()).chain(state).collect(), MEMORY_BYTES_MAX)
    }

    /// These folders, and memory up to so many bytes.
    pub const fn new(folders: Vec<PathBuf>, memory_bytes_max: u64) -> Self {
        Self { folders, memory_bytes_max }
    }

    /// True for what is read in memory.
    pub(super) const fn fits_memory(&self, bytes: u64) -> bool {
        bytes <= self.memory_bytes_max
    }

    /// A new file for so many bytes, which only this user can read.
    ///
    /// # Errors
    /// [`EncryptionError::NoRoom`] names the first folder that lacks the room when no other has it.
    pub(super) fn file(&self, bytes: u64) -> Result<NamedTempFile, EncryptionError> {
        let mut errors = Vec::new();
        for folder in &self.folders {
            match file_in(folder, bytes) {
                Ok(file) => return Ok(file),
                Err(error) => {
                    tracing::debug!(folder = %folder.display(), %error, "no place for a decrypted manifest");
                    errors.push((folder.clone(), error));
                }
            }
        }
        // Room can be made; a disk that is mounted for reading stays as it is.
        let full = errors.iter().position(|(_, error)| error.kind() == io::ErrorKind::StorageFull);
        match (full, errors.into_iter().nth(full.unwrap_or_default())) {
            (Some(_), Some((folder, _))) => {
                Err(EncryptionError::NoRoom { folder, bytes: bytes.saturating_add(SPARE_BYTES) })
            }
            (None, Some((path, source))) => Err(EncryptionError::Disk { path, source }),
            (_, None) => Err(EncryptionError::Disk { path: PathBuf::new(), source: io::ErrorKind::NotFound.into() }),
        }
    }
}

fn file_in(folder: &Path, bytes: u64) -> io::Result<NamedTempFile> {
    disk::make_private(folder)?;
    remove_left_behind(folder);
    if disk::free_bytes(folder)? < bytes.saturating_add(SPARE_BYTES) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempfile_in(folder)
}

/// Removes what processes left that were killed while the file had a name.
fn remove_left_behind(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok());
        if let Some(process) = process.filter(|process| !is_running(*process)) {
            tracing::debug!(process, "removing what a killed process left");
            // Another user's stays.
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(unix)]
fn is_running(process: i32) -> bool {
    use rustix::{
        io::Errno,
        process::{Pid, test_kill_process},
    };
    Pid::from_raw(process).is_none_or(|process| test_kill_process(process) != Err(Errno::SRCH))
}

/// Not known without more than this is worth. On Windows the file goes with the handle of a killed process.
#[cfg(not(unix))]
fn is_running(_process: i32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_is_named_when_none_has_room() {
        let (disk, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = || vec![disk.path().join("own"), state.path().to_owned()];
        let scratch = Scratch::new(places(), 0);
        match scratch.file(1 << 60) {
            Err(EncryptionError::NoRoom { folder, bytes }) => {
                assert_eq!((folder, bytes), (disk.path().join("own"), (1 << 60) + SPARE_BYTES));
            }
            other => panic!("{other:?}"),
        }
        assert!(scratch.file(1000).unwrap().path().starts_with(disk.path()));
        // A disk that can't be written, as one that is mounted for reading: the next place is taken.
        let scratch = Scratch::new(vec![disk.path().join("own/no"), state.path().to_owned()], 0);
        fs::write(disk.path().join("own/no"), "is no folder").unwrap();
        assert!(scratch.file(1000).unwrap().path().starts_with(state.path()));
    }
}
