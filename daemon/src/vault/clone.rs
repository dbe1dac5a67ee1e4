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

use super::{name::Name, parts::Parts, tree::path_below};
use crate::host::disk;

/// Folders are cloned by this many threads.
const THREADS: usize = 4;

/// Clones the parts of a backup, or everything; returns the number of files. Links and other oddities are left out: no backup holds
/// them, and following one could leave the tree.
///
/// # Errors
/// Of the file system; what was cloned so far stays.
pub fn clone_tree(from: &Path, to: &Path, parts: Option<&Parts>) -> io::Result<u64> {
    let mut folders = vec![Folder { source: from.to_owned(), target: to.to_owned(), below: String::new() }];
    let mut index = 0;
    // Find and make all folders first; they are few.
    while let Some(Folder { source, target, below }) = folders.get(index).cloned() {
        disk::make_private(&target)?;
        for entry in fs::read_dir(&source)? {
            let entry = entry?;
            let below = path_below(&below, &entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() && parts.is_none_or(|parts| parts.contains_folder(&below)) {
                folders.push(Folder { source: entry.path(), target: target.join(entry.file_name()), below });
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
                while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match clone_files(folder, parts) {
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

/// A folder to clone.
#[derive(Debug, Clone)]
struct Folder {
    source: PathBuf,
    target: PathBuf,
    /// Its path below the tree, empty for the tree itself.
    below: String,
}

fn is_part(parts: Option<&Parts>, below: &str, name: &str) -> bool {
    parts.is_none_or(|parts| parts.contains(&Name::new(&path_below(below, name))))
}

#[cfg(unix)]
fn clone_files(folder: &Folder, parts: Option<&Parts>) -> io::Result<usize> {
    use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, linkat, openat};
    let Folder { source: from, target: to, below } = folder;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = openat(CWD, from, flags, Mode::empty())?;
    let target = openat(CWD, to, flags, Mode::empty())?;
    let mut count = 0;
    for entry in Dir::read_from(&source)? {
        let entry = entry?;
        if !is_part(parts, below, &entry.file_name().to_string_lossy()) {
            continue;
        }
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
fn clone_files(folder: &Folder, parts: Option<&Parts>) -> io::Result<usize> {
    let Folder { source: from, target: to, below } = folder;
    let mut count = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && is_part(parts, below, &entry.file_name().to_string_lossy()) {
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
        let id = |last: &str| format!("ab/{}", "ab".repeat(19) + last);
        let (one, other) = (id("01"), id("02"));
        for name in ["Status.plist", &one, &other, "ab/deep/x", "ab/.DS_Store"] {
            fs::write(from.join(name), name).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", from.join(id("03"))).unwrap();

        assert_eq!(clone_tree(&from, &to, Some(&Parts::by_form())).unwrap(), 3);
        assert_eq!(fs::read_to_string(to.join(&one)).unwrap(), one);
        for left_out in [&id("03"), "ab/deep", "ab/.DS_Store"] {
            assert!(fs::symlink_metadata(to.join(left_out)).is_err(), "{left_out}");
        }
        fs::remove_file(to.join(&one)).unwrap();
        assert!(from.join(&one).exists());
    }
}
