//! From a clone of the latest backup to a new latest backup, with no moment in between at which there is none.
//!
//! Order of writes: files, sync, receipt (temporary file, sync, rename, sync of the folder), swap, the old tree into
//! history. Whatever interrupts it, [`recover`] finishes or forgets it.

use std::{fs, io, path::Path};

use super::{
    clone, history,
    layout::Layout,
    receipt::{self, Receipt},
};
use crate::{
    host::{
        disk,
        lock::{LockError, LockFile},
    },
    transfer::DiskError,
};

/// Why there is no transaction.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Another Backstay makes a backup of this phone.
    #[error("another Backstay is at work on this phone: process {holder}")]
    Busy {
        /// Its process id.
        holder: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> VaultError + 'a {
    move |source| DiskError { operation, path: path.to_owned(), source }.into()
}

/// The right to make a backup of one phone. While it lives nobody else can.
#[derive(Debug)]
pub struct Transaction {
    layout: Layout,
    has_base: bool,
    _lock: LockFile,
}

impl Transaction {
    /// Takes the lock, finishes what an earlier run left behind, and clones the latest backup into `next`.
    ///
    /// What an interrupted *first* backup left is kept as it is: the phone may go on where it stopped, as it does
    /// with Finder. With a good backup there, a fresh clone of it is the safer start.
    ///
    /// # Errors
    /// When another Backstay has the lock, or of the file system.
    pub fn begin(layout: Layout, keep_last: u32) -> Result<Self, VaultError> {
        let lock = lock(&layout)?;
        recover(&layout)?;
        // Before the room is needed, too: a full disk must not keep old snapshots that nobody wants.
        history::prune(&layout, keep_last);
        let (latest, tree) = (layout.latest(), layout.next_tree());
        let has_base = latest.join("Manifest.db").exists() || latest.join("Status.plist").exists();
        if has_base {
            discard(&layout)?;
            disk::make_private(&layout.next()).map_err(failed("creating", &layout.next()))?;
            let files = clone::clone_tree(&latest, &tree).map_err(failed("cloning", &latest))?;
            tracing::debug!(files, "cloned the latest backup");
        } else {
            disk::make_private(&tree).map_err(failed("creating", &tree))?;
        }
        Ok(Self { layout, has_base, _lock: lock })
    }

    /// The places of this phone.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// True when there is a backup that this one builds on.
    pub const fn has_base(&self) -> bool {
        self.has_base
    }

    /// Syncs the tree, writes the receipt and swaps. The caller has verified the tree; this is where it becomes the
    /// backup.
    ///
    /// # Errors
    /// Of the file system. Before the receipt is written nothing has changed; after it, [`recover`] finishes.
    pub fn commit(&self, receipt: &Receipt) -> Result<(), VaultError> {
        let tree = self.layout.next_tree();
        disk::sync_tree(&tree).map_err(failed("syncing", &tree))?;
        let path = self.layout.next_receipt();
        receipt::write(&path, receipt).map_err(failed("writing", &path))?;
        if !recover(&self.layout)? {
            let source = io::Error::new(io::ErrorKind::InvalidData, "the tree is not the one that was sealed");
            return Err(failed("committing", &tree)(source));
        }
        Ok(())
    }

    /// Removes snapshots beyond `keep_last`. May take a while, so it comes after the good news.
    pub fn prune(&self, keep_last: u32) {
        history::prune(&self.layout, keep_last);
    }

    /// Throws away what the phone has sent, when it is known to be of no use to a next try.
    ///
    /// # Errors
    /// Of the file system.
    pub fn discard(&self) -> Result<(), VaultError> {
        discard(&self.layout)
    }
}

/// Takes the lock of a phone: while it lives nobody else makes a backup of it.
///
/// # Errors
/// When another Backstay has it, or of the file system.
pub fn lock(layout: &Layout) -> Result<LockFile, VaultError> {
    let own = layout.own();
    disk::make_private(&own).map_err(failed("creating", &own))?;
    LockFile::take(&layout.lock()).map_err(|error| match error {
        LockError::Held { holder } => VaultError::Busy { holder },
        LockError::Io(error) => failed("locking", &layout.lock())(error),
    })
}

fn discard(layout: &Layout) -> Result<(), VaultError> {
    let next = layout.next();
    match fs::remove_dir_all(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", &next)(error)),
        _ => Ok(()),
    }
}

/// At start: what an earlier run left is finished. False when somebody else is at work on it right now.
///
/// # Errors
/// Of the file system.
pub fn recover_if_idle(layout: &Layout) -> Result<bool, VaultError> {
    if !layout.own().exists() {
        return Ok(true);
    }
    match LockFile::take(&layout.lock()) {
        Ok(_lock) => recover(layout).map(|_| true),
        Err(LockError::Held { .. }) => Ok(false),
        Err(LockError::Io(error)) => Err(failed("locking", &layout.lock())(error)),
    }
}

/// Finishes a commit that was interrupted at any point after its receipt; true when there was one to finish.
///
/// # Errors
/// Of the file system.
pub fn recover(layout: &Layout) -> Result<bool, VaultError> {
    let path = layout.next_receipt();
    let Some(receipt) = receipt::read(&path).map_err(failed("reading", &path))? else { return Ok(false) };
    let identity = |tree: &Path| receipt::tree_identity(tree).map_err(failed("reading", tree));
    let (latest, next) = (layout.latest(), layout.next_tree());
    if identity(&latest)?.as_deref() != Some(&receipt.tree) {
        if identity(&next)?.as_deref() != Some(&receipt.tree) {
            tracing::error!(path = %path.display(), "a receipt fits neither tree; it is forgotten");
            fs::remove_file(&path).map_err(failed("removing", &path))?;
            return Ok(false);
        }
        swap(&next, &latest).map_err(failed("swapping", &latest))?;
        disk::sync_folder(layout.root()).map_err(failed("syncing", layout.root()))?;
    }
    file_away(layout, &receipt)?;
    tracing::info!(udid = %layout.udid(), files = receipt.files, "the new backup is in place");
    Ok(true)
}

/// Puts the new tree in the place of the old one.
fn swap(next: &Path, latest: &Path) -> io::Result<()> {
    if !latest.exists() {
        // A swap without the atomic step may have moved the old tree aside and stopped there.
        return fs::rename(next, latest);
    }
    match disk::exchange(next, latest) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let aside = next.with_file_name("old");
            fs::rename(latest, &aside)?;
            fs::rename(next, latest)?;
            fs::rename(&aside, next)
        }
        done => done,
    }
}

/// The old tree goes into history, the receipt to the others.
fn file_away(layout: &Layout, receipt: &Receipt) -> Result<(), VaultError> {
    let old = [layout.next_tree(), layout.next().join("old")].into_iter().find(|tree| tree.exists());
    if let Some(old) = old {
        let kept = history::place_for_old(layout, &old, receipt).map_err(failed("reading", &old))?;
        disk::make_private(&kept).map_err(failed("creating", &kept))?;
        let target = kept.join(layout.udid().as_str());
        fs::rename(&old, &target).map_err(failed("moving", &old))?;
    }
    let receipts = layout.receipts();
    disk::make_private(&receipts).map_err(failed("creating", &receipts))?;
    let target = receipts.join(format!("{}.json", receipt.stamp()));
    fs::rename(layout.next_receipt(), &target).map_err(failed("moving", &target))?;
    disk::sync_folder(&receipts).map_err(failed("syncing", &receipts))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn make_tree(tree: &Path, mark: &str) {
        fs::create_dir_all(tree).unwrap();
        for name in ["Info.plist", "Status.plist", "Manifest.db"] {
            fs::write(tree.join(name), format!("{name} {mark}")).unwrap();
        }
    }

    fn receipt_for(tree: &Path) -> Receipt {
        let now = Utc::now();
        Receipt {
            run: backstay_shared::ids::RunId(1),
            started_at: now,
            verified_at: now,
            phone_name: "Anna".into(),
            model: "iPhone15,2".into(),
            ios: "18.5".into(),
            files: 0,
            bytes: 0,
            files_received: 0,
            bytes_received: 0,
            full: false,
            warning: None,
            tree: receipt::tree_identity(tree).unwrap().unwrap(),
            made_by: "test".into(),
        }
    }

    fn layout(root: &Path) -> Layout {
        Layout::new(root, &"00008120-001A2D3E0C40201E".parse().unwrap())
    }

    fn content(tree: &Path) -> String {
        fs::read_to_string(tree.join("Info.plist")).unwrap()
    }

    /// P5: every place where a commit can stop, and what a start makes of it.
    #[test]
    fn p5_a_commit_is_finished_wherever_it_stopped() {
        for stop in ["before receipt", "after receipt", "moved aside", "after swap", "after history"] {
            let folder = tempfile::tempdir().unwrap();
            let layout = layout(folder.path());
            make_tree(&layout.latest(), "old");
            let transaction = Transaction::begin(layout.clone(), 9).unwrap();
            fs::remove_file(layout.next_tree().join("Info.plist")).unwrap();
            fs::write(layout.next_tree().join("Info.plist"), "Info.plist new").unwrap();
            let receipt = receipt_for(&layout.next_tree());
            if stop != "before receipt" {
                receipt::write(&layout.next_receipt(), &receipt).unwrap();
            }
            match stop {
                "moved aside" => fs::rename(layout.latest(), layout.next().join("old")).unwrap(),
                "after swap" => disk::exchange(&layout.next_tree(), &layout.latest()).unwrap(),
                "after history" => {
                    disk::exchange(&layout.next_tree(), &layout.latest()).unwrap();
                    let kept = history::place_for_old(&layout, &layout.next_tree(), &receipt).unwrap();
                    fs::create_dir_all(&kept).unwrap();
                    fs::rename(layout.next_tree(), kept.join(layout.udid().as_str())).unwrap();
                }
                _ => {}
            }
            drop(transaction);

            recover(&layout).unwrap();
            recover(&layout).unwrap();
            if stop == "before receipt" {
                assert_eq!(content(&layout.latest()), "Info.plist old", "{stop}");
                assert!(receipt::latest(&layout).unwrap().is_none(), "{stop}");
            } else {
                assert_eq!(content(&layout.latest()), "Info.plist new", "{stop}");
                assert_eq!(receipt::latest(&layout).unwrap(), Some(receipt), "{stop}");
                let snapshots = history::snapshots(&layout).unwrap();
                assert_eq!(snapshots.len(), 1, "{stop}");
                assert_eq!(content(&snapshots[0].join(layout.udid().as_str())), "Info.plist old", "{stop}");
            }
            Transaction::begin(layout.clone(), 9).unwrap();
        }
    }

    #[test]
    fn p4_a_tree_that_was_replaced_has_no_receipt() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        let transaction = Transaction::begin(layout.clone(), 9).unwrap();
        make_tree(&layout.next_tree(), "ours");
        transaction.commit(&receipt_for(&layout.next_tree())).unwrap();
        assert!(receipt::latest(&layout).unwrap().is_some());
        fs::remove_dir_all(layout.latest()).unwrap();
        assert!(receipt::latest(&layout).unwrap().is_none());
        make_tree(&layout.latest(), "somebody else's");
        assert!(receipt::latest(&layout).unwrap().is_none());
    }

    /// A clock that was set back gives times that were there before; no snapshot is lost and no commit gets stuck.
    #[test]
    fn the_clock_may_be_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        for (hour, mark) in [(10, "a"), (12, "b"), (11, "c"), (11, "d"), (9, "e"), (13, "f")] {
            let transaction = Transaction::begin(layout.clone(), 9).unwrap();
            fs::remove_dir_all(layout.next_tree()).unwrap();
            make_tree(&layout.next_tree(), mark);
            let verified_at = format!("2026-11-23T{hour:02}:00:00Z").parse().unwrap();
            let receipt = Receipt { verified_at, ..receipt_for(&layout.next_tree()) };
            transaction.commit(&receipt).unwrap();
            assert_eq!(content(&layout.latest()), format!("Info.plist {mark}"));
        }
        let kept = history::snapshots(&layout).unwrap();
        let mut kept: Vec<String> = kept.iter().map(|path| content(&path.join(layout.udid().as_str()))).collect();
        kept.sort();
        assert_eq!(kept, ["a", "b", "c", "d", "e"].map(|mark| format!("Info.plist {mark}")));
    }

    #[test]
    fn only_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Transaction::begin(layout(folder.path()), 9).unwrap();
        assert!(matches!(Transaction::begin(layout(folder.path()), 9), Err(VaultError::Busy { .. })));
    }
}
