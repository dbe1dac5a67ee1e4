//! Does the tree hold what its manifest says? Only this, not the phone's word, makes a backup.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    encryption::{self, EncryptionError, Password, content::stored_size_fits},
    manifest::{Manifest, ManifestError},
};
use crate::transfer::value::Value;

const THREADS: usize = 4;

/// `Manifest.plist` lists every app and is some megabytes at most.
const PROPERTY_LIST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Damages that are told one by one; more are only counted.
const DAMAGES_KEPT_MAX: usize = 20;

/// What a whole tree holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files with content.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// True when the phone said it sent everything.
    pub full: bool,
}

/// One file that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// For example `CameraRollDomain`.
    pub domain: String,
    /// Path below the domain.
    pub relative_path: String,
    /// Where it should be.
    pub path: PathBuf,
    /// What is wrong.
    pub what: &'static str,
}

/// Why a tree is no backup.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// `Status.plist` does not say that the snapshot is finished.
    #[error("Status.plist says {state:?} rather than \"finished\"")]
    Unfinished {
        /// What it says.
        state: String,
    },
    /// `Status.plist` or `Manifest.plist` is missing or broken.
    #[error("{}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The manifest can't be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An encrypted tree can't be opened.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// No phone is empty, so this is no picture of one.
    #[error("the manifest lists no file at all")]
    Empty,
    /// Files are missing or have the wrong size.
    #[error("{count} files are missing or damaged, the first: {} {}", first[0].path.display(), first[0].what)]
    Damaged {
        /// How many.
        count: u64,
        /// The first of them; never empty.
        first: Vec<Damage>,
    },
    /// The disk can't be read.
    #[error("{}: {source}", path.display())]
    Disk {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Kept small, since there are hundreds of thousands: where a damaged one belongs is looked up afterwards.
struct Expected {
    file_id: [u8; 40],
    size: u64,
}

impl Expected {
    fn name(&self) -> &str {
        std::str::from_utf8(&self.file_id).unwrap_or_default()
    }
}

/// Checks a tree; reads its manifest and the size of every file. An encrypted one is opened with the first password
/// that fits, and a sample of its files is decrypted.
///
/// # Errors
/// When anything is not as the manifest says.
pub fn verify(tree: &Path, passwords: &[Password]) -> Result<Verified, VerifyError> {
    let full = check_status(tree)?;
    check_property_list(&tree.join("Manifest.plist"))?;
    let unlocked = match encryption::is_encrypted(tree)? {
        true => Some(encryption::open_any(tree, passwords)?),
        false => None,
    };
    let manifest = match &unlocked {
        Some(unlocked) => Manifest::encrypted(tree, unlocked)?,
        None => Manifest::plain(tree),
    };
    let mut verified = Verified { full, ..Verified::default() };
    let mut by_folder: HashMap<String, Vec<Expected>> = HashMap::new();
    manifest.for_each_file(|file| {
        verified.files += 1;
        verified.bytes = verified.bytes.saturating_add(file.size);
        if let Ok(file_id) = file.file_id.as_bytes().try_into() {
            by_folder.entry(file.file_id[..2].to_owned()).or_default().push(Expected { file_id, size: file.size });
        }
    })?;
    if verified.files == 0 {
        return Err(VerifyError::Empty);
    }
    match check_files(tree, &by_folder.into_iter().collect::<Vec<_>>(), unlocked.is_some()) {
        Ok(()) => {
            if let Some(unlocked) = &unlocked {
                encryption::check_sample(tree, &manifest, unlocked)?;
            }
            Ok(verified)
        }
        Err(VerifyError::Damaged { count, mut first }) => {
            name_damages(&manifest, &mut first)?;
            Err(VerifyError::Damaged { count, first })
        }
        Err(error) => Err(error),
    }
}

/// Finds out what the damaged files are to the person.
fn name_damages(manifest: &Manifest, damages: &mut [Damage]) -> Result<(), VerifyError> {
    manifest.for_each_file(|file| {
        for damage in damages.iter_mut().filter(|damage| damage.path.ends_with(file.file_id)) {
            file.domain.clone_into(&mut damage.domain);
            file.relative_path.clone_into(&mut damage.relative_path);
        }
    })?;
    Ok(())
}

/// `SnapshotState` must be "finished"; returns `IsFullBackup`.
fn check_status(tree: &Path) -> Result<bool, VerifyError> {
    let status = check_property_list(&tree.join("Status.plist"))?;
    let state = status.get("SnapshotState").and_then(Value::text).unwrap_or_default();
    if state != "finished" {
        return Err(VerifyError::Unfinished { state: state.chars().take(80).collect() });
    }
    Ok(status.get("IsFullBackup") == Some(&Value::Boolean(true)))
}

fn check_property_list(path: &Path) -> Result<Value, VerifyError> {
    let unreadable = |why: String| VerifyError::Unreadable { path: path.to_owned(), why };
    let size = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > PROPERTY_LIST_BYTES_MAX {
        return Err(unreadable(format!("is too large: {size} bytes")));
    }
    let content = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    match Value::parse(&content).map_err(|error| unreadable(error.to_string()))? {
        dictionary @ Value::Map(_) => Ok(dictionary),
        _ => Err(unreadable("is no dictionary".into())),
    }
}

fn check_files(tree: &Path, folders: &[(String, Vec<Expected>)], encrypted: bool) -> Result<(), VerifyError> {
    let next = AtomicUsize::new(0);
    let damages = Mutex::new((0, Vec::new()));
    let disk_error = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((folder, files)) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = check_folder(&tree.join(folder), files, encrypted);
                    match found {
                        Ok(found) => {
                            let mut damages = damages.lock().unwrap_or_else(PoisonError::into_inner);
                            damages.0 += found.len() as u64;
                            let room = DAMAGES_KEPT_MAX.saturating_sub(damages.1.len());
                            damages.1.extend(found.into_iter().take(room));
                        }
                        Err(error) => {
                            disk_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = disk_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let (count, first) = damages.into_inner().unwrap_or_else(PoisonError::into_inner);
    if count > 0 { Err(VerifyError::Damaged { count, first }) } else { Ok(()) }
}

fn check_folder(folder: &Path, files: &[Expected], encrypted: bool) -> Result<Vec<Damage>, VerifyError> {
    let mut damages = Vec::new();
    for (file, state) in files.iter().zip(sizes(folder, files)) {
        let what = match state {
            Ok(Some(size)) if size == file.size && !encrypted => continue,
            Ok(Some(size)) if encrypted && stored_size_fits(file.size, size) => continue,
            Ok(Some(size)) if size < file.size => "is shorter than it should be",
            Ok(Some(size)) if size > file.size => "is longer than it should be",
            Ok(Some(_)) => "has not the length of an encrypted file",
            Ok(None) => "is no file",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing",
            Err(source) => return Err(VerifyError::Disk { path: folder.join(file.name()), source }),
        };
        let (domain, relative_path) = (String::new(), String::new());
        damages.push(Damage { domain, relative_path, path: folder.join(file.name()), what });
    }
    Ok(damages)
}

/// The size of each file; none for what is no plain file.
#[cfg(unix)]
fn sizes(folder: &Path, files: &[Expected]) -> Vec<io::Result<Option<u64>>> {
    use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(CWD, folder, flags, Mode::empty()) {
        Ok(within) => files
            .iter()
            .map(|file| {
                let facts = statat(&within, file.name(), AtFlags::SYMLINK_NOFOLLOW)?;
                let plain = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
                Ok(plain.then_some(facts.st_size.cast_unsigned()))
            })
            .collect(),
        Err(error) => files.iter().map(|_| Err(error.into())).collect(),
    }
}

/// The size of each file; none for what is no plain file.
#[cfg(not(unix))]
fn sizes(folder: &Path, files: &[Expected]) -> Vec<io::Result<Option<u64>>> {
    files
        .iter()
        .map(|file| {
            let facts = std::fs::symlink_metadata(folder.join(file.name()))?;
            Ok(facts.is_file().then_some(facts.len()))
        })
        .collect()
}
