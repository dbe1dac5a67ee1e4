//! A lock file: who holds it is the only one at work, and a crash lets go of it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
    thread,
    time::Duration,
};

/// Who only asks whether somebody holds the lock shares it for an instant; that is no other one at work.
const TRIES: u32 = 20;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

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
    /// Takes the lock or says who has it, after a moment.
    ///
    /// # Errors
    /// When somebody else has it or the file can't be used.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        Self::take_between(path, || thread::sleep(PAUSE))
    }

    fn take_between(path: &Path, mut pause: impl FnMut()) -> Result<Self, LockError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut locked = file.try_lock();
        for _ in 1..TRIES {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            pause();
            locked = file.try_lock();
        }
        match locked {
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

    #[test]
    fn who_only_looks_keeps_nobody_from_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        drop(LockFile::take(&path).unwrap());
        let looking = File::open(&path).unwrap();
        looking.lock_shared().unwrap();
        let mut looking = Some(looking);
        LockFile::take_between(&path, || drop(looking.take())).unwrap();
    }
}
