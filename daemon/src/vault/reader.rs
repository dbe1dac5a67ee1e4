//! A finished tree, opened to be read: its manifest and the plain content of its files.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{
    encryption::{self, EncryptionError, Password},
    ledger::Held,
    manifest::{Manifest, ManifestFile},
    name::Name,
    proof,
    scratch::Scratch,
    tree,
    verify::Opened,
};

/// Decrypted content goes over in pieces of this size.
const BUFFER_BYTES: usize = 256 * 1024;

/// The backup's own trouble, apart from that of where the file goes.
fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "can't be read")
}

/// A tree and what is needed to read it.
#[derive(Debug)]
pub struct Reader {
    tree: PathBuf,
    opened: Opened,
    held: HashMap<Name, Held>,
}

/// Why a file gives no content.
#[derive(Debug)]
pub enum Unopened {
    /// It is not what it should be.
    Damaged(&'static str),
    /// The disk can't be read.
    Disk(io::Error),
}

impl Reader {
    /// Opens a tree; an encrypted one with the first password that fits.
    ///
    /// # Errors
    /// When none fits, or the manifest can't be read.
    pub fn open(tree: &Path, passwords: &[Password], scratch: &Scratch) -> Result<Self, EncryptionError> {
        let held = HashMap::new();
        Ok(Self { tree: tree.to_owned(), opened: Opened::new(tree, passwords, scratch)?, held })
    }

    /// With what the ledger knows of the files, whose lengths are then compared with it.
    #[must_use]
    pub fn with_held(self, held: HashMap<Name, Held>) -> Self {
        Self { held, ..self }
    }

    /// The tree.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Its manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.opened.manifest
    }

    /// The length of what a file holds, which its row does not tell for certain; none when that can't be known, since the
    /// file is missing or does not end as it should. Of an encrypted file whose row tells a length that fits its blocks, it
    /// is that: opening every file of a list would take minutes.
    pub fn length(&self, file: &ManifestFile<'_>) -> Option<u64> {
        let path = file.path(&self.tree);
        let stored = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?.len();
        let Some(unlocked) = &self.opened.unlocked else { return Some(stored) };
        match file.record.size {
            Some(size) if encryption::content::stored_size_fits(size, stored) => Some(size),
            _ => unlocked.plain_length(&mut tree::open(&path).ok()?, file.record.key).ok(),
        }
    }

    /// What a file holds: everything that is stored, less its padding. `key` is that of its row.
    ///
    /// # Errors
    /// When the file is not as long as when it came, does not end as an encrypted file does, or its key is not one of this
    /// backup; or of the file system.
    pub fn content(&self, file_id: &str, file: File, key: Option<&[u8]>) -> Result<Content, Unopened> {
        let stored = file.metadata().map_err(Unopened::Disk)?.len();
        let held = Name::of_file_id(file_id).and_then(|name| self.held.get(&name));
        if let Some(what) = held.and_then(|held| proof::difference(Some(stored), held.size)) {
            return Err(Unopened::Damaged(what));
        }
        let Some(unlocked) = &self.opened.unlocked else { return Ok(Content::Stored { left: stored, file }) };
        let plain = unlocked.content(file, key).map_err(|error| match error {
            EncryptionError::Disk { source, .. } => Unopened::Disk(source),
            EncryptionError::File { why } => Unopened::Damaged(why),
            error => Unopened::Disk(io::Error::other(error)),
        })?;
        Ok(Content::Decrypted(Box::new(plain)))
    }
}

/// The plain content of one file.
pub enum Content {
    /// As it is on disk.
    Stored {
        /// The open file.
        file: File,
        /// Bytes still to come.
        left: u64,
    },
    /// Decrypted on the way.
    Decrypted(Box<dyn Read + Send>),
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Content(..)")
    }
}

impl Content {
    /// Brings the next piece, of at most `bytes_max`, to `target`; 0 at the end.
    ///
    /// # Errors
    /// Of the file system; `InvalidData` when the file does not end as it should.
    pub fn copy_piece(&mut self, target: &mut File, bytes_max: u64) -> io::Result<u64> {
        match self {
            Self::Stored { left: 0, .. } => target.flush().map(|()| 0),
            Self::Stored { file, left } => {
                // Between two files the system copies by itself, and shares the blocks where the file system can.
                let copied = io::copy(&mut (&*file).take(bytes_max.min(*left)), target)
                    .map_err(|error| if (&*file).read(&mut [0]).is_err() { unreadable() } else { error })?;
                *left -= copied;
                match copied {
                    0 => Err(io::Error::new(io::ErrorKind::InvalidData, "is shorter than it should be")),
                    copied => Ok(copied),
                }
            }
            Self::Decrypted(plain) => {
                let mut buffer = vec![0; usize::try_from(bytes_max).unwrap_or(usize::MAX).min(BUFFER_BYTES)];
                let length = plain.read(&mut buffer).map_err(|error| match error.kind() {
                    io::ErrorKind::InvalidData => error,
                    _ => unreadable(),
                })?;
                target.write_all(&buffer[..length]).map(|()| length as u64)
            }
        }
    }
}
