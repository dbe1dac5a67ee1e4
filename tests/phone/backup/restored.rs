//! What a restore brought to the phone.

use std::collections::BTreeMap;

use plist::Dictionary;

use crate::phone::dataset::{DataFile, DataSet, FLAG_DIRECTORY, FLAG_LINK, OddRow};

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
    /// Where links lead, by domain and path.
    pub links: BTreeMap<(String, String), String>,
    /// The host's `Info.plist`.
    pub info: Option<Dictionary>,
}

impl Restored {
    /// Nothing but this data set, and all of it; else the first few differences.
    pub fn compare(&self, data: &DataSet) -> Result<(), String> {
        let mut differences = Vec::new();
        let place = |entry: &DataFile| (entry.domain.to_string(), entry.relative_path.to_string());
        // What the manifest can't tell of does not come.
        let told: Vec<&DataFile> = data.files().filter(|file| !file.odd.is_some_and(OddRow::hides_file)).collect();
        for file in &told {
            match self.files.get(&place(file)) {
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
        let (expected, count) = (told.len(), self.files.len());
        if count > expected {
            differences.push(format!("{count} files came in place of {expected}"));
        }
        let of_kind = |flags| data.entries().iter().filter(move |entry| entry.flags == flags);
        let (expected, count) = (of_kind(FLAG_DIRECTORY).count(), self.directories.len());
        if count != expected {
            differences.push(format!("{count} directories came in place of {expected}"));
        }
        let links = of_kind(FLAG_LINK).map(|link| (place(link), link.target.as_deref().unwrap_or_default().to_owned()));
        if links.collect::<BTreeMap<_, _>>() != self.links {
            differences.push("other links came".into());
        }
        if differences.is_empty() {
            return Ok(());
        }
        let count = differences.len();
        differences.truncate(5);
        Err(format!("{count} differences: {}", differences.join("; ")))
    }
}
