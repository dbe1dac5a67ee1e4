//! Encrypted backups: opened with the backup password, so that they can be proved and read.
//!
//! `Manifest.plist` holds the [`keybag`]: keys of protection classes, wrapped with what is derived from the password.
//! They unwrap the key of `Manifest.db` and the key of each file (in its row); the [`content`] is AES-256-CBC.
//! Source of the format: Apple Platform Security ("Keybags for Data Protection") and readers such as
//! `iphone_backup_decrypt`.

pub mod content;
mod keybag;
mod manifest;
pub mod password;
mod sample;
#[cfg(test)]
pub(super) mod tests;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub use password::Password;
pub use sample::check_sample;

pub(super) use self::manifest::Decrypted;
use self::{
    content::Content,
    keybag::{ClassKeys, Key, Keybag},
};
use super::{
    manifest::ManifestError,
    property_list::{self, Trouble},
    scratch::Scratch,
};
use crate::transfer::value::Value;

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
    /// No folder has room for the decrypted manifest.
    #[error("{}: the list of files needs {bytes} bytes while it is read", folder.display())]
    NoRoom {
        /// The folder where it should go.
        folder: PathBuf,
        /// How much it needs.
        bytes: u64,
    },
    /// The disk can't be read or written.
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
    let bytes = list.get("BackupKeyBag").and_then(Value::data).ok_or_else(|| unreadable("has no keybag"))?;
    let keybag = Keybag::parse(bytes).map_err(unreadable)?;
    if passwords.is_empty() {
        return Err(EncryptionError::NoPassword);
    }
    let manifest_key = list.get("ManifestKey").and_then(Value::data).map(<[u8]>::to_vec);
    for password in passwords {
        if let Some(class_keys) = keybag.unlock(password).map_err(unreadable)? {
            let keybag = bytes.to_vec();
            return Ok((Unlocked { class_keys, manifest_key, keybag }, password.clone()));
        }
    }
    Err(EncryptionError::WrongPassword)
}

/// An encrypted tree whose password was given. The keys are wiped when it is dropped.
pub struct Unlocked {
    class_keys: ClassKeys,
    /// Wrapped; before iOS 10.2 there was none, and the manifest was not encrypted.
    manifest_key: Option<Vec<u8>>,
    /// As it is in `Manifest.plist`.
    keybag: Vec<u8>,
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

    /// The same keys for another tree, when it has the same keybag.
    ///
    /// # Errors
    /// When its `Manifest.plist` can't be read.
    pub fn of_tree(&self, tree: &Path) -> Result<Option<Self>, EncryptionError> {
        let list = property_list(tree)?;
        if list.get("BackupKeyBag").and_then(Value::data) != Some(&self.keybag[..]) {
            return Ok(None);
        }
        let manifest_key = list.get("ManifestKey").and_then(Value::data).map(<[u8]>::to_vec);
        Ok(Some(Self { class_keys: self.class_keys.clone(), manifest_key, keybag: self.keybag.clone() }))
    }

    /// The plain content of a file, given the key of its row: everything that is stored, less the padding, which alone
    /// tells the true length. The padding is checked first.
    ///
    /// # Errors
    /// When the key is missing or broken, or the file does not end as an encrypted file does.
    pub(super) fn content(&self, mut file: File, key: Option<&[u8]>) -> Result<Content, EncryptionError> {
        let Some((key, stored)) = self.key_and_length(&file, key)? else { return Ok(Content::empty(file)) };
        let size = content::plain_length(&mut file, &key, stored).map_err(of_content)?;
        Ok(Content::new(file, &key, size, stored))
    }

    /// The length of that content; reads the last two blocks.
    ///
    /// # Errors
    /// As [`Unlocked::content`].
    pub(super) fn plain_length(&self, file: &mut File, key: Option<&[u8]>) -> Result<u64, EncryptionError> {
        let Some((key, stored)) = self.key_and_length(file, key)? else { return Ok(0) };
        content::plain_length(file, &key, stored).map_err(of_content)
    }

    /// The plain beginning of a file, of as many bytes as `buffer` has.
    ///
    /// # Errors
    /// As [`Unlocked::content`]; a shorter file is one.
    pub(super) fn beginning(&self, file: File, key: Option<&[u8]>, buffer: &mut [u8]) -> Result<(), EncryptionError> {
        self.content(file, key)?.read_exact(buffer).map_err(of_content)
    }

    /// Whether the key of a row is one of this backup.
    ///
    /// # Errors
    /// [`EncryptionError::File`] when it is not.
    pub(super) fn check_key(&self, key: &[u8]) -> Result<(), EncryptionError> {
        self.class_keys.file_key(key).map(|_| ())
    }

    /// None for a file without any content, which needs no key.
    fn key_and_length(&self, file: &File, key: Option<&[u8]>) -> Result<Option<(Key, u64)>, EncryptionError> {
        let stored = file.metadata().map_err(of_content)?.len();
        match key {
            None if stored == 0 => Ok(None),
            key => self.class_keys.file_key(key.unwrap_or_default()).map(|key| Some((key, stored))),
        }
    }

    /// Decrypts `Manifest.db` to where no other program sees it. None when the manifest is not encrypted.
    pub(super) fn decrypt_manifest(
        &self,
        tree: &Path,
        scratch: &Scratch,
    ) -> Result<Option<Decrypted>, EncryptionError> {
        let Some(manifest_key) = &self.manifest_key else { return Ok(None) };
        let path = tree.join("Manifest.db");
        let reading = |source| EncryptionError::Disk { path: path.clone(), source };
        let broken = |why: &str| EncryptionError::Unreadable { path: path.clone(), why: why.to_owned() };
        let stored = File::open(&path).map_err(reading)?;
        let length = stored.metadata().map_err(reading)?.len();
        let key = self.class_keys.file_key(manifest_key).map_err(|error| broken(&error.to_string()))?;
        if length < 512 || !length.is_multiple_of(content::BLOCK_BYTES) {
            return Err(broken("has not the length of an encrypted file"));
        }
        // Whether there is padding shows in the plain content, so all of it is decrypted as content.
        let plain = Content::new(stored, &key, length, length);
        let decrypted = if scratch.fits_memory(length) {
            manifest::in_memory(plain, length, &path)
        } else {
            manifest::in_file(plain, length, scratch.file(length)?, &path)
        };
        decrypted.map(Some)
    }
}

/// What went wrong with the bytes of one file; the caller knows its name.
fn of_content(source: io::Error) -> EncryptionError {
    match source.kind() {
        io::ErrorKind::InvalidData => EncryptionError::File { why: content::WRONG_END },
        io::ErrorKind::UnexpectedEof => EncryptionError::File { why: "is shorter than it should be" },
        _ => EncryptionError::Disk { path: PathBuf::new(), source },
    }
}

fn property_list(tree: &Path) -> Result<Value, EncryptionError> {
    let path = tree.join("Manifest.plist");
    property_list::read(&path).map_err(|trouble| match trouble {
        Trouble::Broken(why) => EncryptionError::Unreadable { path, why },
        Trouble::Disk(source) => EncryptionError::Disk { path, source },
    })
}
