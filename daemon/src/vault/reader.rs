//! A finished tree, opened to be read: its manifest and the plain content of its files.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use super::{
    checksum::Comparison,
    encryption::{self, EncryptionError, Password},
    ledger::Held,
    manifest::{Manifest, ManifestFile},
    name::Name,
    proof::{self, Rule, Sha1},
    scratch::Scratch,
    tree,
    verify::Opened,
};

/// What the system does not copy by itself goes over in pieces of this size.
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
    /// It is not what it should be, and the rule that says so.
    Damaged(&'static str, Rule),
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

    /// With what the ledger knows of the files, which are then compared with it.
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

    /// What a file holds: everything that is stored, less its padding. `key` and `listed`, its digest, are those of its
    /// row. Whether it is what it must be is known when all of it was read: [`Content::finish`] says so.
    ///
    /// # Errors
    /// When the file is not as long as when it came, does not end as an encrypted file does, or its key is not one of this
    /// backup; or of the file system.
    pub fn content(
        &self,
        file_id: &str,
        file: File,
        key: Option<&[u8]>,
        listed: Option<Sha1>,
    ) -> Result<Content, Unopened> {
        let (stored, comparison) = self.comparison(file_id, &file, listed)?;
        let Some(unlocked) = &self.opened.unlocked else {
            return Ok(Content(Source::Stored { left: stored, file, comparison }));
        };
        let plain = unlocked.content(file, key).map_err(|error| match error {
            EncryptionError::Disk { source, .. } => Unopened::Disk(source),
            EncryptionError::File { why } => Unopened::Damaged(why, Rule::Form),
            error => Unopened::Disk(io::Error::other(error)),
        })?;
        Ok(Content(Source::Encrypted(Box::new(plain.compared(comparison)))))
    }

    /// Reads a file to its end, and leaves it at its beginning: what is to take the place of something else is proved
    /// before that goes. Ends early when `goes_on` says no.
    ///
    /// # Errors
    /// When it is not what it must be; or of the file system.
    pub fn prove(
        &self,
        file_id: &str,
        file: &mut File,
        listed: Option<Sha1>,
        goes_on: impl Fn() -> bool,
    ) -> Result<(), Unopened> {
        let (_, Some(mut comparison)) = self.comparison(file_id, file, listed)? else { return Ok(()) };
        let mut piece = vec![0; BUFFER_BYTES];
        while goes_on() {
            match file.read(&mut piece).map_err(Unopened::Disk)? {
                0 => {
                    file.rewind().map_err(Unopened::Disk)?;
                    return comparison.finish().map_or(Ok(()), |(what, rule)| Err(Unopened::Damaged(what, rule)));
                }
                length => comparison.update(&piece[..length]),
            }
        }
        Ok(())
    }

    /// The length of a file, and what it is to be compared with.
    fn comparison(
        &self,
        file_id: &str,
        file: &File,
        listed: Option<Sha1>,
    ) -> Result<(u64, Option<Comparison>), Unopened> {
        let stored = file.metadata().map_err(Unopened::Disk)?.len();
        let held = Name::of_file_id(file_id).and_then(|name| self.held.get(&name));
        if let Some(what) = held.and_then(|held| proof::difference(Some(stored), held.size)) {
            return Err(Unopened::Damaged(what, Rule::Received));
        }
        let expected = proof::expected(held, listed).map_err(|(what, rule)| Unopened::Damaged(what, rule))?;
        Ok((stored, expected.map(Comparison::with)))
    }
}

/// The plain content of one file.
pub struct Content(Source);

enum Source {
    /// As it is on disk.
    Stored {
        file: File,
        /// Bytes still to come.
        left: u64,
        comparison: Option<Comparison>,
    },
    /// Decrypted on the way.
    Encrypted(Box<encryption::content::Content>),
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
        match &mut self.0 {
            Source::Stored { left: 0, .. } => Ok(0),
            Source::Stored { file, left, comparison } => {
                let bytes_max = bytes_max.min(*left);
                let copied = match comparison {
                    // Between two files the system copies by itself, and shares the blocks where the file system can.
                    None => io::copy(&mut (&*file).take(bytes_max), target)
                        .map_err(|error| if (&*file).read(&mut [0]).is_err() { unreadable() } else { error })?,
                    Some(comparison) => write_piece(file, target, bytes_max, |piece| comparison.update(piece))?,
                };
                *left -= copied;
                if copied == 0 {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "is shorter than it should be"));
                }
                Ok(copied)
            }
            Source::Encrypted(plain) => write_piece(&mut **plain, target, bytes_max, |_| ()),
        }
    }

    /// What is wrong with the file, and the rule that says so, once all of it was brought over; `None` when it is what it
    /// must be, or when nothing tells.
    ///
    /// # Errors
    /// Of the file system.
    pub fn finish(self) -> io::Result<Option<(&'static str, Rule)>> {
        match self.0 {
            Source::Stored { comparison, .. } => Ok(comparison.and_then(Comparison::finish)),
            Source::Encrypted(plain) => plain.finish(),
        }
    }
}

/// Brings over what one read gives; `see` sees it first.
fn write_piece(from: &mut impl Read, target: &mut File, bytes_max: u64, see: impl FnOnce(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; usize::try_from(bytes_max).unwrap_or(usize::MAX).min(BUFFER_BYTES)];
    let length = from.read(&mut buffer).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => error,
        _ => unreadable(),
    })?;
    see(&buffer[..length]);
    target.write_all(&buffer[..length]).map(|()| length as u64)
}
