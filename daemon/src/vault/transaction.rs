//! From a clone of the latest backup to a new latest backup, with no moment in between at which there is none.
//!
//! Order of writes: files, sync, ledger, receipt (temporary file, sync, rename, sync of the folder), swap, the old
//! tree into history. Whatever interrupts it, [`recover`](recovery::recover) finishes or forgets it.

use std::{fs, io, path::PathBuf};

use backstay_shared::{config::Retention, overview::EndedRun};
use chrono::{DateTime, Utc};

use super::{
    aside::{self, Aside},
    clone, history,
    inventory::{self, Inventory},
    layout::Layout,
    ledger::{Ledger, LedgerError, NewSnapshot},
    receipt::{self, Receipt},
    recovery::{self, Recovered, failed},
    tree::{Found, Unreadable},
    verify::VerifyError,
};
use crate::{
    host::{
        disk,
        lock::{LockError, LockFile},
    },
    transfer::{DiskError, digests::Digests},
};

/// Why there is no transaction.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Another Backstay is at work on this phone's backups.
    #[error("another Backstay is at work on this phone: process {holder}")]
    Busy {
        /// Its process id.
        holder: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The ledger can't be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A backup was made or removed while a snapshot was read.
    #[error("the snapshot was replaced or removed while it was checked; check again")]
    Changed,
}

impl From<Unreadable> for VaultError {
    fn from(unreadable: Unreadable) -> Self {
        let Unreadable { path, source } = unreadable;
        DiskError { operation: "reading", path, source }.into()
    }
}

/// Takes the phone's lock.
///
/// # Errors
/// When another Backstay has it.
pub fn lock(layout: &Layout) -> Result<LockFile, VaultError> {
    let own = layout.own();
    disk::make_private(&own).map_err(failed("creating", &own))?;
    match LockFile::take(&layout.lock()) {
        Ok(lock) => Ok(lock),
        Err(LockError::Held { holder }) => Err(VaultError::Busy { holder }),
        Err(LockError::Io(error)) => Err(failed("locking", &layout.lock())(error)),
    }
}

/// The right to make a backup of one phone. While it lives nobody else can.
#[derive(Debug)]
pub struct Transaction {
    layout: Layout,
    ledger: Ledger,
    has_base: bool,
    base_is_known: bool,
    base_is_damaged: bool,
    ledger_was_renewed: bool,
    aside: Option<Aside>,
    _lock: LockFile,
}

impl Transaction {
    /// Takes the lock, finishes what an earlier run left behind, and clones the latest backup into `next`.
    ///
    /// What an interrupted *first* backup left is kept as it is: the phone may go on where it stopped, as it does
    /// with Finder. With a good backup there, a fresh clone of it is the safer start.
    ///
    /// `begun` is noted first: a run that is killed from then on is known to have been begun.
    ///
    /// # Errors
    /// When another Backstay has the lock, or of the file system.
    pub fn begin(layout: Layout, retention: &Retention, begun: &EndedRun) -> Result<Self, VaultError> {
        let own = layout.own();
        let lock = lock(&layout)?;
        let Recovered { mut ledger, renewed: ledger_was_renewed } = recovery::recover(&layout)?;
        if let Err(error) = ledger.note_run(begun) {
            tracing::warn!(%error, "the begin of a run can't be noted");
        }
        // Before the room is needed, too: a full disk must not keep old snapshots that nobody wants.
        if let Err(error) = history::prune(&layout, &mut ledger, retention) {
            tracing::warn!(%error, "old snapshots could not be removed");
        }
        let (latest, tree) = (layout.latest(), layout.next_tree());
        let is_there = |path: PathBuf| path.try_exists().map_err(failed("reading", &latest));
        let has_base = is_there(latest.join("Manifest.db"))? || is_there(latest.join("Status.plist"))?;
        let identity = receipt::tree_identity(&latest).map_err(failed("reading", &latest))?;
        let base = ledger.newest()?.filter(|newest| has_base && Some(&newest.tree) == identity.as_ref());
        // One that the ledger does not know was changed by somebody else in mid-run.
        let base_is_damaged = has_base && base.as_ref().is_none_or(|base| base.damaged);
        let base_is_known = base.is_some();
        let mut aside = None;
        if has_base {
            discard(&layout)?;
            disk::make_private(&layout.next()).map_err(failed("creating", &layout.next()))?;
            if clone::is_possible_in(&own).map_err(failed("writing", &own))? {
                let files = clone::clone_tree(&latest, &tree).map_err(failed("cloning", &latest))?;
                tracing::debug!(files, "cloned the latest backup");
            } else {
                tracing::info!(
                    "this disk can't clone: replaced files are kept until the backup is whole, without history"
                );
                if let Err(error) = aside::begin(&layout) {
                    recovery::recover(&layout)?;
                    return Err(failed("moving", &latest)(error));
                }
                aside = Some(Aside::of(&layout));
            }
        } else {
            disk::make_private(&tree).map_err(failed("creating", &tree))?;
        }
        Ok(Self { layout, ledger, has_base, base_is_known, base_is_damaged, ledger_was_renewed, aside, _lock: lock })
    }

    /// The places of this phone.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// True when there is a backup that this one builds on.
    pub const fn has_base(&self) -> bool {
        self.has_base
    }

    /// True when that backup is known to be damaged: only a full one heals it.
    pub const fn base_is_damaged(&self) -> bool {
        self.base_is_damaged
    }

    /// True when the record of checksums was lost or damaged.
    pub const fn ledger_was_renewed(&self) -> bool {
        self.ledger_was_renewed
    }

    /// Where files go that the phone replaces, on a disk that can't clone.
    pub const fn aside(&self) -> Option<&Aside> {
        self.aside.as_ref()
    }

    /// What the new tree shares with the backup that it builds on.
    ///
    /// # Errors
    /// When a file is not as long as what came of it, or the disk or the ledger can't be read.
    pub fn inventory(&self, found: &[Found], digests: &Digests) -> Result<Result<Inventory, VerifyError>, VaultError> {
        let held = self.ledger.held(i64::MAX)?;
        Ok(inventory::take(&self.layout.next_tree(), found, held, self.base_is_known, digests))
    }

    /// A name for the new backup that no other has.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn free_id(&self, at: DateTime<Utc>) -> Result<String, LedgerError> {
        Ok(history::free_id(&self.layout, &self.ledger.snapshots()?, at))
    }

    /// Syncs the tree, writes ledger and receipt and swaps. The caller has verified the tree; this is where it becomes
    /// the backup.
    ///
    /// # Errors
    /// Of the file system. Before the receipt is written nothing has changed; after it, a start finishes.
    pub fn commit(&mut self, receipt: &Receipt, inventory: Inventory) -> Result<(), VaultError> {
        let tree = self.layout.next_tree();
        disk::sync_tree(&tree).map_err(failed("syncing", &tree))?;
        let known = self.ledger.snapshots()?;
        self.ledger.seal(NewSnapshot {
            id: &receipt.id,
            tree: &receipt.tree,
            files: receipt.files,
            bytes: receipt.bytes,
            receipt: Some(receipt),
            new: inventory.new,
            gone: inventory.gone,
        })?;
        let path = self.layout.next_receipt();
        receipt::write(&path, receipt).map_err(failed("writing", &path))?;
        if !recovery::finish_commit(&self.layout, &known)? {
            let source = io::Error::new(io::ErrorKind::InvalidData, "the tree is not the one that was sealed");
            return Err(failed("committing", &tree)(source));
        }
        Ok(())
    }

    /// Removes snapshots that the rules no longer keep. May take a while, so it comes after the good news.
    ///
    /// # Errors
    /// When the ledger can't be read or written.
    pub fn prune(&mut self, retention: &Retention) -> Result<(), LedgerError> {
        history::prune(&self.layout, &mut self.ledger, retention).map(|_| ())
    }

    /// Throws away what the phone has sent, when it is known to be of no use to a next try.
    ///
    /// # Errors
    /// Of the file system.
    pub fn discard(&mut self) -> Result<(), VaultError> {
        // A receipt that is written is a commit that the next start finishes.
        let receipt = self.layout.next_receipt();
        if receipt.try_exists().map_err(failed("reading", &receipt))? {
            return Ok(());
        }
        if self.aside.is_none() {
            discard(&self.layout)?;
        }
        // Also what the ledger says of a commit that did not come.
        recovery::recover(&self.layout).map(|_| ())
    }
}

fn discard(layout: &Layout) -> Result<(), VaultError> {
    let next = layout.next();
    match fs::remove_dir_all(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", &next)(error)),
        _ => Ok(()),
    }
}

/// At start: what an earlier run left is finished; none when somebody else is at work on it right now, or when there is
/// nothing of this phone.
///
/// # Errors
/// Of the file system.
pub fn recover_if_idle(layout: &Layout) -> Result<Idle, VaultError> {
    if !layout.own().exists() {
        return Ok(Idle::Nothing);
    }
    match lock(layout) {
        Ok(_lock) => recovery::recover(layout).map(|recovered| Idle::Recovered(Box::new(recovered))),
        Err(VaultError::Busy { .. }) => Ok(Idle::Busy),
        Err(error) => Err(error),
    }
}

/// What a start found of a phone's backups.
#[derive(Debug)]
pub enum Idle {
    /// There are none.
    Nothing,
    /// Another Backstay is at work on them.
    Busy,
    /// They are in order.
    Recovered(Box<Recovered>),
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const KEEP_ALL: Retention = Retention { last: 99, daily: 0, weekly: 0, monthly: 0 };

    fn begun() -> EndedRun {
        let (run, at) = (backstay_shared::ids::RunId(1), Utc::now());
        EndedRun { run, at, files_received: 0, bytes_received: 0, failure: None }
    }

    fn make_tree(tree: &Path, mark: &str) {
        fs::create_dir_all(tree.join("ab")).unwrap();
        for name in ["Info.plist", "Status.plist", "Manifest.db", "ab/x"] {
            // Never in place: it may be a link into the backup before.
            drop(fs::remove_file(tree.join(name)));
            fs::write(tree.join(name), format!("{name} {mark}")).unwrap();
        }
        let status = format!(
            "<plist><dict><key>SnapshotState</key><string>finished</string><key>UUID</key><string>{mark}</string></dict></plist>"
        );
        fs::write(tree.join("Status.plist"), status).unwrap();
    }

    fn receipt_for(transaction: &Transaction, verified_at: DateTime<Utc>) -> Receipt {
        let tree = transaction.layout().next_tree();
        Receipt {
            id: transaction.free_id(verified_at).unwrap(),
            run: backstay_shared::ids::RunId(1),
            started_at: verified_at,
            verified_at,
            phone_name: "Anna".into(),
            model: "iPhone15,2".into(),
            ios: "18.5".into(),
            files: 1,
            bytes: 4,
            files_received: 0,
            bytes_received: 0,
            full: false,
            warning: None,
            tree: receipt::tree_identity(&tree).unwrap().unwrap(),
            made_by: "test".into(),
        }
    }

    /// As if the files of [`make_tree`] had come.
    fn inventory_of(transaction: &Transaction) -> Inventory {
        let tree = transaction.layout().next_tree();
        let found = super::super::tree::list(&tree).unwrap();
        let mut digests = Digests::default();
        for found in found.iter().filter(|found| found.name.to_string() != "ab/stays") {
            let digest = super::super::tree::digest(&found.name.below(&tree)).unwrap();
            digests.received(found.name.clone(), found.size.unwrap(), digest);
        }
        transaction.inventory(&found, &digests).unwrap().unwrap()
    }

    fn layout(root: &Path) -> Layout {
        Layout::new(root, &"00008120-001A2D3E0C40201E".parse().unwrap())
    }

    fn content(tree: &Path) -> String {
        fs::read_to_string(tree.join("Info.plist")).unwrap()
    }

    fn commit(layout: &Layout, mark: &str, at: DateTime<Utc>) {
        let mut transaction = Transaction::begin(layout.clone(), &KEEP_ALL, &begun()).unwrap();
        make_tree(&layout.next_tree(), mark);
        let receipt = receipt_for(&transaction, at);
        let inventory = inventory_of(&transaction);
        transaction.commit(&receipt, inventory).unwrap();
        assert_eq!(content(&layout.latest()), format!("Info.plist {mark}"));
    }

    /// What the ledger and the disk say of each snapshot must agree.
    fn check_agreement(layout: &Layout) {
        let Recovered { ledger, .. } = recovery::recover(layout).unwrap();
        let entries = ledger.snapshots().unwrap();
        let on_disk = history::all(layout).unwrap();
        assert_eq!(entries.len(), on_disk.len(), "{entries:#?} {on_disk:#?}");
        for (index, entry) in entries.iter().enumerate() {
            let is_latest = index + 1 == entries.len();
            let tree = if is_latest { layout.latest() } else { layout.snapshot_tree(&entry.id) };
            assert_eq!(receipt::tree_identity(&tree).unwrap().as_ref(), Some(&entry.tree));
            let held = ledger.held(entry.number).unwrap();
            let found = super::super::tree::list(&tree).unwrap();
            assert_eq!(held.len(), found.len());
            for found in found {
                let held = held[&found.name];
                assert_eq!(Some(held.size), found.size);
                if let Some(digest) = held.digest {
                    assert_eq!(super::super::tree::digest(&found.name.below(&tree)).unwrap(), digest);
                }
            }
        }
    }

    /// P5: every place where a commit can stop, and what a start makes of it.
    #[test]
    fn p5_a_commit_is_finished_wherever_it_stopped() {
        for stop in ["before ledger", "before receipt", "after receipt", "moved aside", "after swap", "after history"] {
            let folder = tempfile::tempdir().unwrap();
            let layout = layout(folder.path());
            make_tree(&layout.latest(), "old");
            let mut transaction = Transaction::begin(layout.clone(), &KEEP_ALL, &begun()).unwrap();
            make_tree(&layout.next_tree(), "new");
            let receipt = receipt_for(&transaction, Utc::now());
            if stop != "before ledger" {
                let Inventory { new, gone } = inventory_of(&transaction);
                let (id, tree) = (&*receipt.id, &*receipt.tree);
                let snapshot = NewSnapshot { id, tree, files: 1, bytes: 4, receipt: Some(&receipt), new, gone };
                transaction.ledger.seal(snapshot).unwrap();
            }
            if !stop.starts_with("before") {
                receipt::write(&layout.next_receipt(), &receipt).unwrap();
            }
            let entries = transaction.ledger.snapshots().unwrap();
            match stop {
                "moved aside" => fs::rename(layout.latest(), layout.next().join("old")).unwrap(),
                "after swap" => disk::exchange(&layout.next_tree(), &layout.latest()).unwrap(),
                "after history" => {
                    disk::exchange(&layout.next_tree(), &layout.latest()).unwrap();
                    let id = history::id_of_old(&layout, &entries, &layout.next_tree(), &receipt).unwrap();
                    fs::create_dir_all(layout.history().join(&id)).unwrap();
                    fs::rename(layout.next_tree(), layout.snapshot_tree(&id)).unwrap();
                }
                _ => {}
            }
            drop(transaction);

            recovery::recover(&layout).unwrap();
            recovery::recover(&layout).unwrap();
            if stop.starts_with("before") {
                assert_eq!(content(&layout.latest()), "Info.plist old", "{stop}");
                assert!(receipt::latest(&layout).unwrap().is_none(), "{stop}");
            } else {
                assert_eq!(content(&layout.latest()), "Info.plist new", "{stop}");
                assert_eq!(receipt::latest(&layout).unwrap(), Some(receipt), "{stop}");
                let all = history::all(&layout).unwrap();
                assert_eq!(all.len(), 2, "{stop}");
                assert_eq!(content(&all[0].tree), "Info.plist old", "{stop}");
            }
            check_agreement(&layout);
            commit(&layout, "next", Utc::now());
            check_agreement(&layout);
        }
    }

    #[test]
    fn p4_a_tree_that_was_replaced_has_no_receipt() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        commit(&layout, "ours", Utc::now());
        assert!(receipt::latest(&layout).unwrap().is_some());
        fs::remove_dir_all(layout.latest()).unwrap();
        assert!(receipt::latest(&layout).unwrap().is_none());
        make_tree(&layout.latest(), "somebody else's");
        assert!(receipt::latest(&layout).unwrap().is_none());
        check_agreement(&layout);
        commit(&layout, "ours again", Utc::now());
        check_agreement(&layout);
    }

    /// A clock that was set back gives times that were there before; no snapshot is lost and no commit gets stuck.
    #[test]
    fn the_clock_may_be_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        for (hour, mark) in [(10, "a"), (12, "b"), (11, "c"), (11, "d"), (9, "e"), (13, "f")] {
            commit(&layout, mark, format!("2026-11-23T{hour:02}:00:00Z").parse().unwrap());
        }
        let kept = history::all(&layout).unwrap();
        let mut kept: Vec<String> = kept.iter().map(|snapshot| content(&snapshot.tree)).collect();
        kept.sort();
        assert_eq!(kept, ["a", "b", "c", "d", "e", "f"].map(|mark| format!("Info.plist {mark}")));
    }

    #[test]
    fn only_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Transaction::begin(layout(folder.path()), &KEEP_ALL, &begun()).unwrap();
        let second = Transaction::begin(layout(folder.path()), &KEEP_ALL, &begun());
        assert!(matches!(second, Err(VaultError::Busy { .. })));
    }

    /// A ledger that is lost, or is no ledger any more, is made anew from what is on disk; what is shared stays shared.
    #[test]
    fn p5_a_lost_ledger_is_made_anew() {
        for garbage in [None, Some("no database at all"), Some("SQLite format 3\0 cut short")] {
            let folder = tempfile::tempdir().unwrap();
            let layout = layout(folder.path());
            make_tree(&layout.latest(), "old");
            fs::write(layout.latest().join("ab/stays"), "the same in all").unwrap();
            commit(&layout, "one", Utc::now());
            commit(&layout, "two", Utc::now());
            let costs =
                |ledger: &Ledger| -> Vec<u64> { ledger.costs().unwrap().into_iter().map(|(_, bytes)| bytes).collect() };
            let before = costs(&recovery::recover(&layout).unwrap().ledger);
            match garbage {
                None => fs::remove_file(layout.ledger()).unwrap(),
                Some(garbage) => fs::write(layout.ledger(), garbage).unwrap(),
            }
            let recovered = recovery::recover(&layout).unwrap();
            assert!(recovered.renewed);
            assert_eq!(costs(&recovered.ledger), before);
            let newest = recovered.ledger.newest().unwrap().unwrap();
            assert!(newest.receipt.is_some());
            assert_eq!(recovered.ledger.unproved(newest.number).unwrap().0, 5);
            drop(recovered);
            check_agreement(&layout);
            assert!(!recovery::recover(&layout).unwrap().renewed);
            commit(&layout, "three", Utc::now());
            check_agreement(&layout);
        }
    }

    /// A disk that can't clone: the latest backup itself is worked on and put back, wherever the run stops.
    #[test]
    fn p1_without_clones_the_backup_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        make_tree(&layout.latest(), "old");
        fs::write(layout.latest().join("ab/y"), "stays").unwrap();
        recovery::recover(&layout).unwrap_err();
        fs::create_dir_all(layout.own()).unwrap();
        recovery::recover(&layout).unwrap();
        let before = super::super::tree::list(&layout.latest()).unwrap();
        for steps in 0..6 {
            disk::make_private(&layout.next()).unwrap();
            aside::begin(&layout).unwrap();
            let aside = Aside::of(&layout);
            let udid = layout.udid();
            let tree = layout.next_tree();
            let work: [&dyn Fn(); 5] = [
                &|| assert!(aside.take(&format!("{udid}/ab/x")).unwrap()),
                &|| fs::write(tree.join("ab/x"), "new and longer").unwrap(),
                &|| {
                    assert!(!aside.take(&format!("{udid}/ab/x")).unwrap());
                    fs::write(tree.join("ab/x"), "newer").unwrap();
                },
                &|| fs::write(tree.join("ab/added"), "added").unwrap(),
                &|| {
                    aside.take_folder(&format!("{udid}/ab")).unwrap();
                    fs::remove_dir_all(tree.join("ab")).unwrap();
                    fs::write(tree.join("Info.plist"), "new").unwrap();
                },
            ];
            work.iter().take(steps).for_each(|step| step());
            recovery::recover(&layout).unwrap();
            assert_eq!(super::super::tree::list(&layout.latest()).unwrap(), before, "{steps}");
            assert_eq!(content(&layout.latest()), "Info.plist old", "{steps}");
            assert_eq!(fs::read_to_string(layout.latest().join("ab/x")).unwrap(), "ab/x old", "{steps}");
            assert!(!layout.next().exists());
        }
    }
}
