//! A finished tree, opened to be read: its manifest and the plain content of its files.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use backstay_shared::health::{Failure, FailureId};

use super::manifest::Manifest;
use crate::transfer::value::Value;

/// A tree and what is needed to read it.
#[derive(Debug)]
pub struct Reader {
    tree: PathBuf,
    manifest: Manifest,
}

impl Reader {
    /// Opens a tree.
    ///
    /// # Errors
    /// When it is encrypted, which can't be read yet.
    pub fn open(tree: &Path) -> Result<Self, Failure> {
        if is_encrypted(tree) {
            return Err(Failure::from(FailureId::BackupEncryptionUnsupported).path(tree));
        }
        Ok(Self { tree: tree.to_owned(), manifest: Manifest::plain(tree) })
    }

    /// The tree.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Its manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What a file holds. `size` is what its row tells.
    ///
    /// # Errors
    /// `InvalidData` with what is wrong with it; or of the file system.
    pub fn content(&self, file: File, size: u64) -> io::Result<Content> {
        let there = file.metadata()?.len();
        let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        match there.cmp(&size) {
            std::cmp::Ordering::Less => wrong("is shorter than it should be"),
            std::cmp::Ordering::Greater => wrong("is longer than it should be"),
            std::cmp::Ordering::Equal => Ok(Content { file, left: size }),
        }
    }
}

fn is_encrypted(tree: &Path) -> bool {
    let bytes = std::fs::read(tree.join("Manifest.plist")).unwrap_or_default();
    Value::parse(&bytes).is_ok_and(|list| list.get("IsEncrypted") == Some(&Value::Boolean(true)))
}

/// The plain content of one file.
#[derive(Debug)]
pub struct Content {
    file: File,
    left: u64,
}

impl Content {
    /// Brings the next piece, of at most `bytes_max`, to `target`; 0 at the end.
    ///
    /// # Errors
    /// Of the file system.
    pub fn copy_piece(&mut self, target: &mut File, bytes_max: u64) -> io::Result<u64> {
        if self.left == 0 {
            return Ok(0);
        }
        // Between two files the system copies by itself, and shares the blocks where the file system can.
        let copied = io::copy(&mut (&self.file).take(bytes_max.min(self.left)), target)?;
        self.left -= copied;
        if copied == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "is shorter than it should be"));
        }
        if self.left == 0 {
            target.flush()?;
        }
        Ok(copied)
    }
}
