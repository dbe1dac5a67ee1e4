//! `Digest` of the rows: the SHA-1 of what is stored, that is of the ciphertext when the backup is encrypted.
//!
//! A restore onto iOS 26.3.1 failed with 205 over the SHA-1 of the plain bytes and worked with that of the stored ones.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::{
    cipher::{CIPHER_BLOCK, Encryptor, pad},
    encryption::Encryption,
};
use crate::phone::dataset::{DataFile, FileId};

/// SHA-1 of a payload.
pub(super) type Sha1 = [u8; 20];

/// Whole cipher blocks at a time.
const PIECE: usize = 1 << 20;

/// Takes the digest of bytes as they go by.
pub(super) struct Hasher(Context);

impl Hasher {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA1_FOR_LEGACY_USE_ONLY))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Sha1 {
        let mut digest = [0; 20];
        digest.copy_from_slice(self.0.finish().as_ref());
        digest
    }
}

/// A version of a file, and the keys that it is encrypted with, if it is.
pub(super) type Stored = ((u64, FileId, u32), Option<u64>);

pub(super) fn stored(file: &DataFile, encryption: Option<&Encryption>) -> Stored {
    (file.content_key(), encryption.map(Encryption::number))
}

/// What the phone knows of the digests of what it sent.
#[derive(Default)]
pub(crate) struct Digests(Mutex<HashMap<Stored, Sha1>>);

impl Digests {
    /// The digest of a file as it is stored: remembered, or taken now.
    pub(super) fn of(&self, file: &DataFile, encryption: Option<&Encryption>) -> Sha1 {
        let stored = stored(file, encryption);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&stored).copied();
        known.unwrap_or_else(|| {
            let digest = take(file, encryption);
            self.remember(file, encryption, digest);
            digest
        })
    }

    /// Forgets all of them, as a phone that was started anew.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Remembers what was taken while the file was sent.
    pub(super) fn remember(&self, file: &DataFile, encryption: Option<&Encryption>, digest: Sha1) {
        let stored = stored(file, encryption);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stored, digest);
    }
}

fn take(file: &DataFile, encryption: Option<&Encryption>) -> Sha1 {
    let mut hasher = Hasher::new();
    let mut encryptor = encryption.map(|encryption| Encryptor::new(&encryption.file_key(file)));
    let mut piece = Vec::new();
    let empty = (file.size == 0).then_some((0, 0));
    for (offset, length) in file.chunks(PIECE).chain(empty) {
        piece.clear();
        file.append_to(offset, length, &mut piece);
        if let Some(encryptor) = &mut encryptor {
            if offset + length as u64 == file.size {
                pad(&mut piece, length % CIPHER_BLOCK);
            }
            encryptor.encrypt(&mut piece);
        }
        hasher.update(&piece);
    }
    hasher.finish()
}
