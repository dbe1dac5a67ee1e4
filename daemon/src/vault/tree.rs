//! Every file of a tree, with its size.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{name::Name, parts::Parts};

const THREADS: usize = 4;

/// A file as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub name: Name,
    /// Bytes; none for what is no plain file, such as a link.
    pub size: Option<u64>,
}

/// What can't be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct Unreadable {
    /// What was read.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// Lists a tree, sorted by name; links are not followed.
///
/// # Errors
/// When a folder can't be read.
pub fn list(tree: &Path) -> Result<Vec<Found>, Unreadable> {
    let (mut found, folders) = list_folder(tree, "")?;
    let folders = Mutex::new(folders);
    let lists = Mutex::new(Vec::new());
    let failed = Mutex::new(None);
    // A folder that is being read may still bring others.
    let reading = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let next = {
                        let mut folders = folders.lock().unwrap_or_else(PoisonError::into_inner);
                        let next = folders.pop();
                        reading.fetch_add(usize::from(next.is_some()), Ordering::SeqCst);
                        next
                    };
                    match next {
                        Some(folder) => {
                            match list_folder(tree, &folder) {
                                Ok((files, more)) => {
                                    lists.lock().unwrap_or_else(PoisonError::into_inner).push(files);
                                    folders.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
                                }
                                // Another program's, which keeps it to itself.
                                Err(error) if is_foreign_and_closed(&folder, &error) => {
                                    let closed = vec![Found { name: Name::new(&folder), size: None }];
                                    lists.lock().unwrap_or_else(PoisonError::into_inner).push(closed);
                                }
                                Err(error) => {
                                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                                }
                            }
                            reading.fetch_sub(1, Ordering::SeqCst);
                        }
                        None if reading.load(Ordering::SeqCst) == 0 => return,
                        None => thread::yield_now(),
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let lists = lists.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.reserve_exact(lists.iter().map(Vec::len).sum());
    lists.into_iter().for_each(|list| found.extend(list));
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn is_foreign_and_closed(folder: &str, error: &Unreadable) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied};
    matches!(error.source.kind(), PermissionDenied | NotFound) && !Parts::by_form().contains_folder(folder)
}

/// Files and folders of one folder; the folder is a path below the tree, empty for the tree itself.
#[cfg(unix)]
fn list_folder(tree: &Path, folder: &str) -> Result<(Vec<Found>, Vec<String>), Unreadable> {
    use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
    let path = tree.join(folder);
    let unreadable = |source: rustix::io::Errno| Unreadable { path: path.clone(), source: source.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let within = openat(CWD, &path, flags, Mode::empty()).map_err(unreadable)?;
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in Dir::read_from(&within).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let facts = statat(&within, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).map_err(unreadable)?;
        let name = path_below(folder, &entry.file_name().to_string_lossy());
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::Directory => folders.push(name),
            FileType::RegularFile => {
                files.push(Found { name: Name::new(&name), size: Some(facts.st_size.cast_unsigned()) });
            }
            _ => files.push(Found { name: Name::new(&name), size: None }),
        }
    }
    Ok((files, folders))
}

/// Files and folders of one folder; the folder is a path below the tree, empty for the tree itself.
#[cfg(not(unix))]
fn list_folder(tree: &Path, folder: &str) -> Result<(Vec<Found>, Vec<String>), Unreadable> {
    let path = tree.join(folder);
    let unreadable = |source| Unreadable { path: path.clone(), source };
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let facts = entry.metadata().map_err(unreadable)?;
        let name = path_below(folder, &entry.file_name().to_string_lossy());
        if facts.is_dir() {
            folders.push(name);
        } else {
            files.push(Found { name: Name::new(&name), size: facts.is_file().then_some(facts.len()) });
        }
    }
    Ok((files, folders))
}

/// The path of a name in a folder, which is empty for the tree itself.
pub(super) fn path_below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Opens a plain file to read it; a link is not followed.
///
/// # Errors
/// Of the file system.
pub fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.cast_signed());
    }
    options.open(path)
}

/// BLAKE3 of a file.
///
/// # Errors
/// When it can't be read.
pub fn digest(path: &Path) -> Result<[u8; 32], Unreadable> {
    let mut hasher = blake3::Hasher::new();
    let hashed = fs::File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ()));
    hashed.map_err(|source| Unreadable { path: path.to_owned(), source })?;
    Ok(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_listed_and_nothing_followed() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path();
        fs::create_dir_all(tree.join("ab/deep/deeper")).unwrap();
        for name in ["Status.plist", "ab/x", "ab/deep/deeper/y"] {
            fs::write(tree.join(name), name).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc", tree.join("ab/link")).unwrap();
        let found: Vec<(String, Option<u64>)> =
            list(tree).unwrap().into_iter().map(|found| (found.name.to_string(), found.size)).collect();
        let mut expected = vec![
            ("Status.plist".to_owned(), Some(12)),
            ("ab/deep/deeper/y".to_owned(), Some(16)),
            ("ab/x".to_owned(), Some(4)),
        ];
        if cfg!(unix) {
            expected.insert(2, ("ab/link".to_owned(), None));
        }
        assert_eq!(found, expected);
        assert!(list(&tree.join("missing")).is_err());
    }
}
