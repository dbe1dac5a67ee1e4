//! What a restore brought to the phone.

use std::collections::BTreeMap;

use plist::Dictionary;

use crate::phone::dataset::DataSet;

/// A restored file; its bytes are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredFile {
    /// Bytes received.
    pub size: u64,
    /// BLAKE3 of them.
    pub digest: blake3::Hash,
}

/// The record of one restore.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// The request's `Options`.
    pub options: Dictionary,
    /// By domain and path.
    pub files: BTreeMap<(String, String), RestoredFile>,
    /// Directories by domain and path.
    pub directories: Vec<(String, String)>,
    /// The host's `Info.plist`.
    pub info: Option<Dictionary>,
}

impl Restored {
    /// Nothing but this data set, and all of it; else the first few differences.
    pub fn compare(&self, data: &DataSet) -> Result<(), String> {
        let mut differences = Vec::new();
        for file in data.files() {
            match self.files.get(&(file.domain.to_string(), file.relative_path.to_string())) {
                None => differences.push(format!("{} is missing", file.name())),
                Some(restored) if restored.size != file.size => {
                    differences.push(format!("{}: {} bytes in place of {}", file.name(), restored.size, file.size));
                }
                Some(restored) if restored.digest != file.digest() => {
                    differences.push(format!("{} differs", file.name()))
                }
                Some(_) => {}
            }
        }
        let (expected, count) = (data.file_count(), self.files.len());
        if count > expected {
            differences.push(format!("{count} files came in place of {expected}"));
        }
        let (expected, count) = (data.entries().len() - expected, self.directories.len());
        if count != expected {
            differences.push(format!("{count} directories came in place of {expected}"));
        }
        if differences.is_empty() {
            return Ok(());
        }
        let count = differences.len();
        differences.truncate(5);
        Err(format!("{count} differences: {}", differences.join("; ")))
    }
}
