//! A second tree over the same files: hard links, since nothing in a cloned tree is ever written in place.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::host::disk;

/// Folders are cloned by this many threads.
const THREADS: usize = 4;

/// Clones a tree of folders and plain files; returns the number of files. Links and other oddities are left out: no
/// backup holds them, and following one could leave the tree.
///
/// # Errors
/// Of the file system; what was cloned so far stays.
pub fn clone_tree(from: &Path, to: &Path) -> io::Result<u64> {
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    let mut index = 0;
    // Find and make all folders first; they are few.
    while let Some((source, target)) = folders.get(index).cloned() {
        disk::make_private(&target)?;
        for entry in fs::read_dir(&source)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), target.join(entry.file_name())));
            }
        }
        index += 1;
    }
    let next = AtomicUsize::new(0);
    let first_error = Mutex::new(None);
    let files = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS.min(folders.len()) {
            scope.spawn(|| {
                while let Some((source, target)) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match clone_files(source, target) {
                        Ok(count) => files.fetch_add(count, Ordering::Relaxed),
                        Err(error) => {
                            first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                            return;
                        }
                    };
                }
            });
        }
    });
    match first_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(files.into_inner() as u64),
    }
}

#[cfg(unix)]
fn clone_files(from: &Path, to: &Path) -> io::Result<usize> {
    use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, linkat, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = openat(CWD, from, flags, Mode::empty())?;
    let target = openat(CWD, to, flags, Mode::empty())?;
    let mut count = 0;
    for entry in Dir::read_from(&source)? {
        let entry = entry?;
        // Some file systems do not tell the type with the name.
        let plain = match entry.file_type() {
            FileType::RegularFile => true,
            FileType::Unknown => fs::symlink_metadata(path_in(from, entry.file_name()))?.is_file(),
            _ => false,
        };
        if !plain {
            continue;
        }
        if linkat(&source, entry.file_name(), &target, entry.file_name(), AtFlags::empty()).is_err() {
            clone_file(&path_in(from, entry.file_name()), &path_in(to, entry.file_name()))?;
        }
        count += 1;
    }
    Ok(count)
}

#[cfg(unix)]
fn path_in(folder: &Path, name: &std::ffi::CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    folder.join(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

#[cfg(not(unix))]
fn clone_files(from: &Path, to: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let target: PathBuf = to.join(entry.file_name());
            clone_file(&entry.path(), &target)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Clones one file to a name that is free: as a link, else sharing its blocks, else as a copy.
///
/// # Errors
/// Of the file system.
pub fn clone_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| reflink_copy::reflink_or_copy(from, to).map(|_| ()))
}

/// True when this folder's disk can hold a file twice without a copy.
///
/// # Errors
/// Of the file system; only a disk that knows neither links nor shared blocks is one that can't.
pub fn is_possible_in(folder: &Path) -> io::Result<bool> {
    let (probe, second) = (folder.join("probe-clone.new"), folder.join("probe-cloned.new"));
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // A crash may have left it.
    remove(&second)?;
    fs::write(&probe, "can this be cloned?")?;
    let cloned = fs::hard_link(&probe, &second).or_else(|error| match is_lasting(&error) {
        true => reflink_copy::reflink(&probe, &second),
        false => Err(error),
    });
    remove(&second)?;
    remove(&probe)?;
    match cloned {
        Ok(()) => Ok(true),
        Err(error) if is_lasting(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a file system says of a thing that it does not know, rather than of one that went wrong.
fn is_lasting(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, QuotaExceeded, ReadOnlyFilesystem, StaleNetworkFileHandle, StorageFull};
    let went_wrong =
        matches!(error.kind(), NotFound | QuotaExceeded | ReadOnlyFilesystem | StaleNetworkFileHandle | StorageFull);
    #[cfg(unix)]
    let went_wrong = {
        use rustix::io::Errno;
        // Linux says EPERM where links are not known, and EACCES where this user may not make one.
        let codes = [Errno::IO, Errno::ACCESS].map(Errno::raw_os_error);
        went_wrong || error.raw_os_error().is_some_and(|code| codes.contains(&code))
    };
    !went_wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clone_shares_and_does_not_follow() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("ab/deep")).unwrap();
        for name in ["Status.plist", "ab/ab01", "ab/ab02", "ab/deep/x"] {
            fs::write(from.join(name), name).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", from.join("ab/link")).unwrap();

        assert_eq!(clone_tree(&from, &to).unwrap(), 4);
        assert_eq!(fs::read_to_string(to.join("ab/deep/x")).unwrap(), "ab/deep/x");
        assert!(fs::symlink_metadata(to.join("ab/link")).is_err());
        fs::remove_file(to.join("ab/ab01")).unwrap();
        assert!(from.join("ab/ab01").exists());
    }
}
