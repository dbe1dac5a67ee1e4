//! The property lists beside a manifest.

use std::{fs, io, path::Path};

use crate::transfer::value::Value;

/// `Manifest.plist` lists every app and is some megabytes at most.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A property list that can't be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The disk can't be read.
    Disk(io::Error),
    /// It is missing or broken.
    Broken(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => Self::Broken(error.to_string()),
            _ => Self::Disk(error),
        }
    }
}

/// Reads a dictionary.
///
/// # Errors
/// When it is missing, too large or no dictionary, or the disk can't be read.
pub(super) fn read(path: &Path) -> Result<Value, Trouble> {
    let size = fs::metadata(path)?.len();
    if size > BYTES_MAX {
        return Err(Trouble::Broken(format!("is too large: {size} bytes")));
    }
    match Value::parse(&fs::read(path)?).map_err(|error| Trouble::Broken(error.to_string()))? {
        dictionary @ Value::Map(_) => Ok(dictionary),
        _ => Err(Trouble::Broken("is no dictionary".into())),
    }
}
