//! The proof of a backup: written after verification and sync, and the only thing that makes a tree a backup.

use std::{fs, io, path::Path};

use backstay_shared::{health::Failure, ids::RunId, overview::LastGood};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{layout::Layout, tree};
use crate::host::disk;

/// A larger file is no receipt.
const RECEIPT_BYTES_MAX: u64 = 1024 * 1024;

/// What was proved, when, and of which tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Names the receipt and, later, the snapshot.
    pub id: String,
    /// The run that made it.
    pub run: RunId,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// When the tree was verified and synced.
    pub verified_at: DateTime<Utc>,
    /// The phone's name at that time.
    pub phone_name: String,
    /// `ProductType`.
    pub model: String,
    /// `ProductVersion`.
    pub ios: String,
    /// Files in the tree that the manifest lists.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files received in this run.
    pub files_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// True when the phone sent everything rather than what changed.
    pub full: bool,
    /// What the phone could not read of its own: the backup is whole without it, and the person has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Failure>,
    /// Files of which nothing proves that they came so: the phone could not read them, another program received them, or the
    /// record of checksums was lost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unproved: u64,
    /// Files whose size in the phone's list is another than that of what came, which is usual for databases.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub notes: u64,
    /// Files that may be incomplete, though nothing proves it, and rows of the list that could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubts: u64,
    /// The first of them, as a person is told of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<String>,
    /// BLAKE3 of the phone's own public key, which it makes anew when it is erased; none when it did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_key: Option<String>,
    /// The phone was erased after the backup before this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_erasing: bool,
    /// Older snapshots that went to make room for this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub made_room: u64,
    /// BLAKE3 of the tree's `Info.plist`, which is new in every run: says which tree this is about.
    pub tree: String,
    /// Version of Backstay.
    pub made_by: String,
}

impl Receipt {
    /// What front ends show of it.
    pub const fn last_good(&self) -> LastGood {
        LastGood { at: self.verified_at, files: self.files, bytes: self.bytes }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A name for what is from this time: sorts by time and is allowed on every file system.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H%M%S%.3fZ").to_string()
}

/// Which tree this is; none when there is no tree.
///
/// # Errors
/// When it can't be read.
pub fn tree_identity(tree: &Path) -> io::Result<Option<String>> {
    match tree::digest(&tree.join("Info.plist")) {
        Ok(digest) => Ok(Some(blake3::Hash::from_bytes(digest).to_hex().to_string())),
        Err(unreadable) if unreadable.source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(unreadable) => Err(unreadable.source),
    }
}

/// Reads one receipt; none when the file is not there.
///
/// # Errors
/// When it can't be read or is none.
pub fn read(path: &Path) -> io::Result<Option<Receipt>> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if size > RECEIPT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too large for a receipt"));
    }
    Ok(Some(serde_json::from_slice(&fs::read(path)?)?))
}

/// Writes it durably.
///
/// # Errors
/// Of the file system.
pub fn write(path: &Path, receipt: &Receipt) -> io::Result<()> {
    disk::write_durably(path, &serde_json::to_vec_pretty(receipt)?)
}

/// The newest receipt of a phone that is about the tree which is there now. A tree that was removed or replaced by
/// another program has none, whatever older receipts say.
///
/// # Errors
/// When the folder or the tree can't be read.
pub fn latest(layout: &Layout) -> io::Result<Option<Receipt>> {
    let Some(tree) = tree_identity(&layout.latest())? else { return Ok(None) };
    Ok(all(layout)?.into_iter().rev().find(|receipt| receipt.tree == tree))
}

/// Every receipt of a phone, oldest first; an unreadable one is skipped with a warning.
///
/// # Errors
/// When the folder can't be read.
pub fn all(layout: &Layout) -> io::Result<Vec<Receipt>> {
    let mut paths: Vec<_> = match fs::read_dir(layout.receipts()) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut receipts = Vec::new();
    for path in paths {
        match read(&path) {
            Ok(receipt) => receipts.extend(receipt),
            Err(error) => tracing::warn!(path = %path.display(), %error, "a receipt can't be read"),
        }
    }
    Ok(receipts)
}
