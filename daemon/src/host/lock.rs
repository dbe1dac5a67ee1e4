//! A lock file: who holds it is the only one at work, and a crash lets go of it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
};

/// Held until dropped.
#[derive(Debug)]
pub struct LockFile {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("held by process {holder}")]
    Held {
        /// Process id, as far as it can be read.
        holder: String,
    },
    /// The file can't be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LockFile {
    /// Takes the lock or says who has it; never waits.
    ///
    /// # Errors
    /// When somebody else has it or the file can't be used.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number is only for the message; a lock without one is as much a lock.
                drop(file.take(20).read_to_string(&mut holder));
                return Err(LockError::Held { holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_learns_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = LockFile::take(&path).unwrap();
        match LockFile::take(&path) {
            Err(LockError::Held { holder }) => assert_eq!(holder, std::process::id().to_string()),
            other => panic!("{other:?}"),
        }
        drop(first);
        LockFile::take(&path).unwrap();
    }
}
