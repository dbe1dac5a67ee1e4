//! Backup encryption as the phone keeps it: the password, the bag that it opens, and the keys of the files.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{
    cipher::Key,
    keybag::{Keybag, random},
};
use crate::phone::{dataset::DataFile, spec::KeyDerivation};

/// `NSFileProtectionCompleteUntilFirstUserAuthentication`, which most files have, and `Manifest.db`.
const CLASS_USUAL: u32 = 3;

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

    /// Tells these keys from those of any other password that was ever set.
    pub(super) fn number(&self) -> u64 {
        self.secret.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
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
        self.keybag.wrap(file.stat.protection_class.into(), &self.file_key(file))
    }

    /// A key for `Manifest.db`, and the same as `ManifestKey` has it.
    pub(super) fn new_manifest_key(&self) -> (Key, Vec<u8>) {
        let key = random();
        (key, self.keybag.wrap(CLASS_USUAL, &key))
    }
}
