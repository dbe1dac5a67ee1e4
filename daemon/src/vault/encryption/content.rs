//! The content of one file: AES-256-CBC without an initialization vector, padded to whole blocks as PKCS #7 says.

use std::{
    fs::File,
    io::{self, Read},
};

use aes::Aes256;
use cbc::cipher::{BlockDecryptMut, KeyIvInit, inout::InOutBuf};
use zeroize::Zeroizing;

use super::keybag::Key;

/// Length of a block of the cipher.
pub(super) const BLOCK_BYTES: u64 = 16;

/// Read and decrypted at a time.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// Whether a file of `on_disk` bytes can be the encrypted form of one of `plain` bytes.
///
/// PKCS #7 adds one to sixteen bytes, so that the length is a multiple of 16 that is larger than the plain size; that
/// is what other readers of real backups insist on. What needs no filling up is also taken without padding, and an
/// empty file without content.
pub fn stored_size_fits(plain: u64, on_disk: u64) -> bool {
    on_disk.is_multiple_of(BLOCK_BYTES) && on_disk >= plain && on_disk - plain <= BLOCK_BYTES
}

/// True for the end of a padded file: each byte is their number.
pub(super) fn is_padding(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| usize::from(*byte) == bytes.len())
}

/// Reads the plain content of a file. The last bytes are handed out only when the padding behind them is right.
pub(super) struct Content {
    file: File,
    cipher: cbc::Decryptor<Aes256>,
    /// Decrypted and not yet read.
    plain: Zeroizing<Vec<u8>>,
    plain_from: usize,
    /// Plain bytes that were not yet decrypted.
    size_left: u64,
    /// Bytes of the file that were not yet read.
    stored_left: u64,
}

impl Content {
    /// The caller has checked that the lengths [fit](stored_size_fits).
    pub(super) fn new(file: File, key: &Key, size: u64, stored: u64) -> Self {
        let cipher = cbc::Decryptor::new(key[..].into(), &[0; BLOCK_BYTES as usize].into());
        let plain = Zeroizing::new(Vec::new());
        Self { file, cipher, plain, plain_from: 0, size_left: size, stored_left: stored }
    }

    /// A file without content.
    pub(super) fn empty(file: File) -> Self {
        Self::new(file, &Key::default(), 0, 0)
    }

    /// Decrypts the next chunk. The padding comes with the chunk before it, so that it is seen in time.
    fn decrypt_more(&mut self) -> io::Result<()> {
        let length = match self.stored_left {
            last if last <= CHUNK_BYTES as u64 + BLOCK_BYTES => last,
            _ => CHUNK_BYTES as u64,
        };
        self.plain.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        self.plain_from = 0;
        if let Err(error) = self.file.read_exact(&mut self.plain) {
            self.plain.clear();
            self.stored_left = 0;
            return Err(error);
        }
        let (blocks, _none) = InOutBuf::from(&mut self.plain[..]).into_chunks();
        self.cipher.decrypt_blocks_inout_mut(blocks);
        self.stored_left -= length;
        let plain = length.min(self.size_left);
        self.size_left -= plain;
        let plain = usize::try_from(plain).map_err(io::Error::other)?;
        if !is_padding(&self.plain[plain..]) {
            self.plain.clear();
            self.stored_left = 0;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "does not end as an encrypted file does"));
        }
        self.plain.truncate(plain);
        Ok(())
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plain_from == self.plain.len() && self.stored_left > 0 && !buffer.is_empty() {
            self.decrypt_more()?;
        }
        let waiting = &self.plain[self.plain_from..];
        let count = waiting.len().min(buffer.len());
        buffer[..count].copy_from_slice(&waiting[..count]);
        self.plain_from += count;
        Ok(count)
    }
}

/// Checks the padding of a file without reading all of it.
///
/// # Errors
/// Of the disk; of kind `InvalidData` when the padding is wrong.
pub(super) fn check_end(file: &mut File, key: &Key, size: u64, stored: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut ends = Zeroizing::new([0; 2 * BLOCK_BYTES as usize]);
    file.seek(SeekFrom::Start(stored - ends.len() as u64))?;
    file.read_exact(&mut ends[..])?;
    let (vector, block) = ends.split_at_mut(BLOCK_BYTES as usize);
    let mut cipher = cbc::Decryptor::<Aes256>::new(key[..].into(), (&*vector).into());
    cipher.decrypt_block_mut(block.into());
    let padding = usize::try_from(stored - size).map_err(io::Error::other)?;
    match block.get(block.len() - padding..).is_some_and(is_padding) {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "does not end as an encrypted file does")),
    }
}
