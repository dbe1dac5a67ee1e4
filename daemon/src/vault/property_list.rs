//! The property lists beside a manifest.

use std::{fs, path::Path};

use crate::transfer::value::Value;

/// `Manifest.plist` lists every app and is some megabytes at most.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Reads a dictionary, or says what is wrong with the file.
///
/// # Errors
/// When it is missing, too large or no dictionary.
pub(super) fn read(path: &Path) -> Result<Value, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > BYTES_MAX {
        return Err(format!("is too large: {size} bytes"));
    }
    let content = fs::read(path).map_err(|error| error.to_string())?;
    match Value::parse(&content).map_err(|error| error.to_string())? {
        dictionary @ Value::Map(_) => Ok(dictionary),
        _ => Err("is no dictionary".into()),
    }
}
