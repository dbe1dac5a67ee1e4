//! AES-256 in CBC mode from a zero vector, with PKCS#7 padding: what payloads and `Manifest.db` are encrypted with.

use aes::{
    Aes256,
    cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, generic_array::GenericArray},
};

/// A key of any kind in an encrypted backup.
pub(super) type Key = [u8; 32];

/// Bytes of a cipher block.
pub(super) const CIPHER_BLOCK: usize = 16;
const ZERO_VECTOR: [u8; CIPHER_BLOCK] = [0; CIPHER_BLOCK];

/// Bytes of an encrypted file: there is padding even where the last block is full.
pub(super) fn encrypted_length(length: u64) -> u64 {
    (length / CIPHER_BLOCK as u64 + 1) * CIPHER_BLOCK as u64
}

/// Encrypts one file piece by piece.
pub(super) struct Encryptor(cbc::Encryptor<Aes256>);

impl Encryptor {
    pub(super) fn new(key: &Key) -> Self {
        Self(cbc::Encryptor::new(key.into(), &ZERO_VECTOR.into()))
    }

    /// Encrypts whole blocks where they are.
    pub(super) fn encrypt(&mut self, blocks: &mut [u8]) {
        for block in blocks.chunks_exact_mut(CIPHER_BLOCK) {
            self.0.encrypt_block_mut(GenericArray::from_mut_slice(block));
        }
    }
}

/// Fills the last block of `length` bytes of content that `bytes` ends with.
pub(super) fn pad(bytes: &mut Vec<u8>, length: usize) {
    let missing = CIPHER_BLOCK - length % CIPHER_BLOCK;
    bytes.resize(bytes.len() + missing, missing as u8);
}

/// Encrypts what is in memory.
pub(super) fn encrypt(key: &Key, mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len();
    pad(&mut bytes, length);
    Encryptor::new(key).encrypt(&mut bytes);
    bytes
}

/// Decrypts one file piece by piece.
pub(super) struct Decryptor {
    cipher: cbc::Decryptor<Aes256>,
    /// What came and is not decrypted yet: an incomplete block, or one that may be the last.
    held: Vec<u8>,
}

impl Decryptor {
    pub(super) fn new(key: &Key) -> Self {
        Self { cipher: cbc::Decryptor::new(key.into(), &ZERO_VECTOR.into()), held: Vec::new() }
    }

    /// Takes bytes as they come and hands over content as far as it is known.
    pub(super) fn decrypt(&mut self, bytes: &[u8], take: impl FnOnce(&[u8])) {
        self.held.extend_from_slice(bytes);
        let whole = self.held.len().saturating_sub(1) / CIPHER_BLOCK * CIPHER_BLOCK;
        for block in self.held[..whole].chunks_exact_mut(CIPHER_BLOCK) {
            self.cipher.decrypt_block_mut(GenericArray::from_mut_slice(block));
        }
        take(&self.held[..whole]);
        self.held.drain(..whole);
    }

    /// Hands over the end; none when there was no end of an encrypted file.
    pub(super) fn finish(mut self, take: impl FnOnce(&[u8])) -> Option<()> {
        if self.held.len() != CIPHER_BLOCK {
            return None;
        }
        self.cipher.decrypt_block_mut(GenericArray::from_mut_slice(&mut self.held));
        let padding = *self.held.last()?;
        let content = CIPHER_BLOCK.checked_sub(usize::from(padding))?;
        if padding == 0 || self.held[content..].iter().any(|byte| *byte != padding) {
            return None;
        }
        take(&self.held[..content]);
        Some(())
    }
}

/// Decrypts what is in memory; none when it was not encrypted with this key.
pub(super) fn decrypt(key: &Key, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(bytes.len());
    let mut decryptor = Decryptor::new(key);
    decryptor.decrypt(bytes, |bytes| content.extend_from_slice(bytes));
    decryptor.finish(|bytes| content.extend_from_slice(bytes))?;
    Some(content)
}
