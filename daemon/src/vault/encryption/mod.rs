//! Encrypted backups: opened with the backup password, so that they can be proved and read.
//!
//! `Manifest.plist` holds the [`keybag`]: keys of protection classes, wrapped with what is derived from the password.
//! They unwrap the key of `Manifest.db` and the key of each file (in its row); the [`content`] is AES-256-CBC.
//! Source of the format: Apple Platform Security ("Keybags for Data Protection") and readers such as
//! `iphone_backup_decrypt`.

pub mod content;
mod keybag;
pub mod password;
mod sample;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tempfile::TempPath;

pub use password::Password;
pub use sample::check_sample;

use self::{
    content::{Content, stored_size_fits},
    keybag::{ClassKeys, Keybag},
};
use super::{
    manifest::{ManifestError, archived_key, archived_size},
    property_list::{self, Trouble},
};
use crate::transfer::value::Value;

/// How decrypted manifests are named, before the number of the process that reads them.
const TEMPORARY: &str = "backstay-manifest-";

/// Every SQLite database begins so.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// An encrypted backup can't be read.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// None of the passwords opens it.
    #[error("the password does not open this backup")]
    WrongPassword,
    /// There is no password to try.
    #[error("the backup is encrypted, and no password for it is known")]
    NoPassword,
    /// `Manifest.plist` is missing or is not what an encrypted backup has.
    #[error("{}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// One file can't be decrypted.
    #[error("{why}")]
    File {
        /// What is wrong with it, said of the file.
        why: &'static str,
    },
    /// The disk can't be read, or there is no room for what was decrypted.
    #[error("{}: {source}", path.display())]
    Disk {
        /// What was read or written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The decrypted manifest can't be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// True when the tree is encrypted.
///
/// # Errors
/// When `Manifest.plist` is missing or broken.
pub fn is_encrypted(tree: &Path) -> Result<bool, EncryptionError> {
    Ok(property_list(tree)?.get("IsEncrypted") == Some(&Value::Boolean(true)))
}

/// Opens a tree with the first of the passwords that fits; each costs seconds of computing. The password is returned
/// beside.
///
/// # Errors
/// [`EncryptionError::WrongPassword`] when none fits, others when the tree is not what it should be.
pub fn open_any(tree: &Path, passwords: &[Password]) -> Result<(Unlocked, Password), EncryptionError> {
    let list = property_list(tree)?;
    let unreadable = |why: &str| EncryptionError::Unreadable { path: tree.join("Manifest.plist"), why: why.to_owned() };
    let keybag = list.get("BackupKeyBag").and_then(Value::data).ok_or_else(|| unreadable("has no keybag"))?;
    let keybag = Keybag::parse(keybag).map_err(unreadable)?;
    if passwords.is_empty() {
        return Err(EncryptionError::NoPassword);
    }
    let manifest_key = list.get("ManifestKey").and_then(Value::data).map(<[u8]>::to_vec);
    for password in passwords {
        if let Some(class_keys) = keybag.unlock(password).map_err(unreadable)? {
            return Ok((Unlocked { class_keys, manifest_key }, password.clone()));
        }
    }
    Err(EncryptionError::WrongPassword)
}

/// An encrypted tree whose password was given. The keys are wiped when it is dropped.
pub struct Unlocked {
    class_keys: ClassKeys,
    /// Wrapped; before iOS 10.2 there was none, and the manifest was not encrypted.
    manifest_key: Option<Vec<u8>>,
}

impl fmt::Debug for Unlocked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Unlocked(..)")
    }
}

impl Unlocked {
    /// Opens a tree.
    ///
    /// # Errors
    /// As [`open_any`].
    pub fn open(tree: &Path, password: &Password) -> Result<Self, EncryptionError> {
        open_any(tree, std::slice::from_ref(password)).map(|(unlocked, _)| unlocked)
    }

    /// The plain content of a file, given the archived `MBFile` of its row: exactly the size that the row tells. The
    /// padding is checked before the last bytes are handed out.
    ///
    /// # Errors
    /// When the key is missing or broken, or the file has not the length that its size asks for.
    pub fn content(&self, file: File, archive: &[u8]) -> Result<impl Read + use<>, EncryptionError> {
        let metadata = file.metadata().map_err(|source| EncryptionError::Disk { path: PathBuf::new(), source })?;
        let size = archived_size(archive).ok_or(EncryptionError::File { why: "does not tell its size" })?;
        if !stored_size_fits(size, metadata.len()) {
            return Err(EncryptionError::File { why: "has not the length that its size asks for" });
        }
        let key = match archived_key(archive) {
            // What is empty needs no key.
            None if metadata.len() == 0 => return Ok(Content::empty(file)),
            key => self.class_keys.file_key(key.unwrap_or_default())?,
        };
        Ok(Content::new(file, &key, size, metadata.len()))
    }

    /// Decrypts `Manifest.db` into a file that only this user can read; it is removed when the path is dropped. None
    /// when the manifest is not encrypted.
    pub(super) fn decrypt_manifest(&self, tree: &Path) -> Result<Option<TempPath>, EncryptionError> {
        let Some(manifest_key) = &self.manifest_key else { return Ok(None) };
        let path = tree.join("Manifest.db");
        let reading = |source| EncryptionError::Disk { path: path.clone(), source };
        let broken = |why: &str| EncryptionError::Unreadable { path: path.clone(), why: why.to_owned() };
        let stored = File::open(&path).map_err(reading)?;
        let length = stored.metadata().map_err(reading)?.len();
        let folder = std::env::temp_dir();
        let writing = |source| EncryptionError::Disk { path: folder.clone(), source };
        remove_left_behind(&folder);
        let prefix = format!("{TEMPORARY}{}-", std::process::id());
        let temporary = tempfile::Builder::new().prefix(&prefix).tempfile_in(&folder).map_err(writing)?;
        let key = self.class_keys.file_key(manifest_key).map_err(|error| broken(&error.to_string()))?;
        if length == 0 || !length.is_multiple_of(content::BLOCK_BYTES) {
            return Err(broken("has not the length of an encrypted file"));
        }
        // Whether there is padding shows in the plain content, so all of it is decrypted as content.
        let mut plain = Content::new(stored, &key, length, length);
        let mut chunk = vec![0; content::CHUNK_BYTES];
        let mut target = temporary.as_file();
        loop {
            let count = plain.read(&mut chunk).map_err(reading)?;
            if count == 0 {
                break;
            }
            target.write_all(&chunk[..count]).map_err(writing)?;
        }
        cut_padding(temporary.as_file(), length).map_err(writing)?.map_err(broken)?;
        Ok(Some(temporary.into_temp_path()))
    }
}

/// Removes decrypted manifests of processes that were killed: they hold the names of all files.
fn remove_left_behind(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY)?.split_once('-')?.0.parse().ok());
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

/// Not told without more than this is worth: the system clears its folder of temporary files by itself.
#[cfg(not(unix))]
fn is_running(_process: i32) -> bool {
    true
}

/// Cuts the padding off a decrypted database, where there is some: a database is a whole number of pages.
fn cut_padding(mut database: &File, length: u64) -> io::Result<Result<(), &'static str>> {
    let mut header = [0; 18];
    database.seek(SeekFrom::Start(0))?;
    if length < 512 {
        return Ok(Err("is too short for a database"));
    }
    database.read_exact(&mut header)?;
    if !header.starts_with(SQLITE_MAGIC) {
        return Ok(Err("is no database after decryption"));
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        page => u64::from(page),
    };
    if !(512..=65_536).contains(&page) || !page.is_power_of_two() {
        return Ok(Err("is no database after decryption"));
    }
    match length % page {
        0 => Ok(Ok(())),
        content::BLOCK_BYTES => {
            let mut padding = [0; content::BLOCK_BYTES as usize];
            database.seek(SeekFrom::Start(length - content::BLOCK_BYTES))?;
            database.read_exact(&mut padding)?;
            if !content::is_padding(&padding) {
                return Ok(Err("does not end as an encrypted file does"));
            }
            database.set_len(length - content::BLOCK_BYTES)?;
            Ok(Ok(()))
        }
        _ => Ok(Err("is no whole number of database pages")),
    }
}

fn property_list(tree: &Path) -> Result<Value, EncryptionError> {
    let path = tree.join("Manifest.plist");
    property_list::read(&path).map_err(|trouble| match trouble {
        Trouble::Broken(why) => EncryptionError::Unreadable { path, why },
        Trouble::Disk(source) => EncryptionError::Disk { path, source },
    })
}
