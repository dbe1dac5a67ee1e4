//! The content of one file: AES-256-CBC without an initialization vector, padded to whole blocks as PKCS #7 says.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use aes::Aes256;
use cbc::cipher::{BlockDecryptMut, KeyIvInit, inout::InOutBuf};
use zeroize::Zeroizing;

use super::keybag::Key;
use crate::vault::{checksum::Comparison, proof::Rule};

/// Length of a block of the cipher.
pub(super) const BLOCK_BYTES: u64 = 16;

/// Read and decrypted at a time.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// What is said of a file with another end.
pub(super) const WRONG_END: &str = "does not end as an encrypted file does";

/// Whether a file of `on_disk` bytes can be the encrypted form of one of `plain` bytes: PKCS #7 adds one to sixteen.
pub fn stored_size_fits(plain: u64, on_disk: u64) -> bool {
    on_disk.is_multiple_of(BLOCK_BYTES) && on_disk > plain && on_disk - plain <= BLOCK_BYTES
}

/// True for the end of a padded file: each byte is their number.
pub(super) fn is_padding(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| usize::from(*byte) == bytes.len())
}

/// Reads the plain content of a file.
pub(in crate::vault) struct Content {
    file: File,
    cipher: cbc::Decryptor<Aes256>,
    /// Decrypted and not yet read.
    plain: Zeroizing<Vec<u8>>,
    plain_from: usize,
    /// Plain bytes that were not yet decrypted.
    size_left: u64,
    /// Bytes of the file that were not yet read.
    stored_left: u64,
    /// Sees the bytes as they are stored.
    comparison: Option<Comparison>,
}

impl Content {
    /// The first `size` bytes of the content of a file of `stored` bytes, a whole number of blocks.
    pub(super) fn new(file: File, key: &Key, size: u64, stored: u64) -> Self {
        let cipher = cbc::Decryptor::new(key[..].into(), &[0; BLOCK_BYTES as usize].into());
        let plain = Zeroizing::new(Vec::new());
        Self { file, cipher, plain, plain_from: 0, size_left: size, stored_left: stored, comparison: None }
    }

    /// Compares what is stored with what it must be.
    pub(in crate::vault) fn compared(self, comparison: Option<Comparison>) -> Self {
        Self { comparison, ..self }
    }

    /// What is wrong with the file, as [`Comparison::finish`] says, once all of its content was read.
    ///
    /// # Errors
    /// Of the disk.
    pub(in crate::vault) fn finish(self) -> io::Result<Option<(&'static str, Rule)>> {
        let Some(mut comparison) = self.comparison else { return Ok(None) };
        // Padding that has a chunk of its own.
        let mut rest = Vec::new();
        self.file.take(self.stored_left).read_to_end(&mut rest)?;
        comparison.update(&rest);
        Ok(comparison.finish())
    }

    /// A file without content.
    pub(super) fn empty(file: File) -> Self {
        Self::new(file, &Key::default(), 0, 0)
    }

    /// Decrypts the next chunk.
    fn decrypt_more(&mut self) -> io::Result<()> {
        let length = self.stored_left.min(CHUNK_BYTES as u64);
        self.plain.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        self.plain_from = 0;
        if let Err(error) = self.file.read_exact(&mut self.plain) {
            self.plain.clear();
            self.stored_left = 0;
            return Err(error);
        }
        if let Some(comparison) = &mut self.comparison {
            comparison.update(&self.plain);
        }
        let (blocks, _none) = InOutBuf::from(&mut self.plain[..]).into_chunks();
        self.cipher.decrypt_blocks_inout_mut(blocks);
        self.stored_left -= length;
        let plain = length.min(self.size_left);
        self.size_left -= plain;
        let plain = usize::try_from(plain).map_err(io::Error::other)?;
        self.plain.truncate(plain);
        Ok(())
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plain_from == self.plain.len() && self.size_left > 0 && !buffer.is_empty() {
            self.decrypt_more()?;
        }
        let waiting = &self.plain[self.plain_from..];
        let count = waiting.len().min(buffer.len());
        buffer[..count].copy_from_slice(&waiting[..count]);
        self.plain_from += count;
        Ok(count)
    }
}

/// The length of the content of a file of `stored` bytes, from its padding; reads its last two blocks and leaves it at
/// its beginning. What has no content at all is taken for empty.
///
/// # Errors
/// Of the disk; of kind `InvalidData` when the padding is wrong.
pub(super) fn plain_length(file: &mut File, key: &Key, stored: u64) -> io::Result<u64> {
    if stored == 0 {
        return Ok(0);
    }
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, WRONG_END);
    if !stored.is_multiple_of(BLOCK_BYTES) {
        return Err(wrong());
    }
    let mut ends = Zeroizing::new([0; 2 * BLOCK_BYTES as usize]);
    let (vector, block) = ends.split_at_mut(BLOCK_BYTES as usize);
    if let Some(before) = stored.checked_sub(2 * BLOCK_BYTES) {
        file.seek(SeekFrom::Start(before))?;
        file.read_exact(vector)?;
    } else {
        file.seek(SeekFrom::Start(0))?;
    }
    file.read_exact(block)?;
    file.seek(SeekFrom::Start(0))?;
    let mut cipher = cbc::Decryptor::<Aes256>::new(key[..].into(), (&*vector).into());
    cipher.decrypt_block_mut((&mut *block).into());
    let padding = usize::from(block[block.len() - 1]);
    match block.len().checked_sub(padding).filter(|_| padding > 0) {
        Some(start) if is_padding(&block[start..]) => Ok(stored - padding as u64),
        _ => Err(wrong()),
    }
}
