//! The folders and files below the root. See `ARCHITECTURE.md` for the picture.

use std::path::{Path, PathBuf};

use backstay_shared::ids::Udid;

/// The places of one phone's backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    udid: Udid,
}

/// Backstay's own folder below the root.
pub const OWN_FOLDER: &str = ".backstay";

impl Layout {
    /// The places of this phone below this root.
    pub fn new(root: &Path, udid: &Udid) -> Self {
        Self { root: root.to_owned(), udid: udid.clone() }
    }

    /// The folder that the person chose.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The phone.
    pub const fn udid(&self) -> &Udid {
        &self.udid
    }

    /// The latest good backup, in Apple's layout.
    pub fn latest(&self) -> PathBuf {
        self.root.join(self.udid.as_str())
    }

    /// What Backstay keeps about this phone.
    pub fn own(&self) -> PathBuf {
        self.root.join(OWN_FOLDER).join(self.udid.as_str())
    }

    /// Holds the tree being made; the phone sees this folder as the backup folder.
    pub fn next(&self) -> PathBuf {
        self.own().join("next")
    }

    /// The tree being made.
    pub fn next_tree(&self) -> PathBuf {
        self.next().join(self.udid.as_str())
    }

    /// Seals the tree being made.
    pub fn next_receipt(&self) -> PathBuf {
        self.next().join("receipt.json")
    }

    /// Files that the phone has replaced, on a disk that can't clone.
    pub fn aside(&self) -> PathBuf {
        self.next().join("aside")
    }

    /// What Backstay remembers of this phone's backups.
    pub fn ledger(&self) -> PathBuf {
        self.own().join("ledger.sqlite")
    }

    /// The tree of an older snapshot.
    pub fn snapshot_tree(&self, id: &str) -> PathBuf {
        self.history().join(id).join(self.udid.as_str())
    }

    /// Receipts of committed backups, one file each, named by time.
    pub fn receipts(&self) -> PathBuf {
        self.own().join("receipts")
    }

    /// Older snapshots, one folder each, named by time.
    pub fn history(&self) -> PathBuf {
        self.own().join("history")
    }

    /// Holds the clone that a phone restores from; the phone sees this folder as the backup folder.
    pub fn restore(&self) -> PathBuf {
        self.own().join("restore")
    }

    /// The clone that a phone restores from.
    pub fn restore_tree(&self) -> PathBuf {
        self.restore().join(self.udid.as_str())
    }

    /// Snapshots on their way out.
    pub fn removed(&self) -> PathBuf {
        self.own().join("removed")
    }

    /// Held while a backup of this phone is made.
    pub fn lock(&self) -> PathBuf {
        self.own().join("lock")
    }
}
