//! Backup encryption as the phone keeps it: the password, the bag that it opens, and the keys of the files.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{
    cipher::Key,
    keybag::{Keybag, random},
};
use crate::phone::{dataset::DataFile, spec::KeyDerivation};

/// `NSFileProtectionCompleteUntilFirstUserAuthentication`, which most files have.
const CLASS_USUAL: u8 = 3;
/// `NSFileProtectionNone`.
const CLASS_UNPROTECTED: u8 = 4;

/// `ProtectionClass` of a row.
pub(super) fn protection_class(file: &DataFile) -> u8 {
    let [.., last] = file.file_id.0;
    if file.is_file() && last % 2 == 0 { CLASS_UNPROTECTED } else { CLASS_USUAL }
}

/// In force from when a password is set until it is changed or removed.
pub(crate) struct Encryption {
    password: String,
    keybag: Keybag,
    /// The keys of files follow from it, so that a file that did not change keeps its own.
    secret: Key,
}

impl Encryption {
    pub(crate) fn new(password: &str, cost: KeyDerivation) -> Self {
        Self { password: password.to_owned(), keybag: Keybag::create(password, cost), secret: random() }
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(super) fn keybag(&self) -> &Keybag {
        &self.keybag
    }

    /// The key of this version of a file.
    pub(super) fn file_key(&self, file: &DataFile) -> Key {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).unwrap();
        mac.update(&file.file_id.0);
        mac.update(&file.mtime.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// `EncryptionKey` of a file's row.
    pub(super) fn wrapped_file_key(&self, file: &DataFile) -> Vec<u8> {
        self.keybag.wrap(protection_class(file).into(), &self.file_key(file))
    }

    /// A key for `Manifest.db`, and the same as `ManifestKey` has it.
    pub(super) fn new_manifest_key(&self) -> (Key, Vec<u8>) {
        let key = random();
        (key, self.keybag.wrap(CLASS_USUAL.into(), &key))
    }
}
