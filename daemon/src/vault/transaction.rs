//! From a clone of the latest backup to a new latest backup, with no moment in between at which there is none.
//!
//! Order of writes: files, sync, ledger, receipt (temporary file, sync, rename, sync of the folder), swap, the old
//! tree into history. Whatever interrupts it, [`recover`](recovery::recover) finishes or forgets it.

mod verifying;

use std::{collections::HashMap, fs, io, path::PathBuf};

use backstay_shared::{config::Retention, overview::EndedRun};
use chrono::{DateTime, Utc};

use super::{
    aside::{self, Aside},
    clone, free_space, history,
    interrupted::{self, Interrupted},
    inventory::Inventory,
    layout::Layout,
    ledger::{Held, Ledger, LedgerError, NewSnapshot},
    name::Name,
    parts::{Parts, is_foreign},
    proof::difference,
    properties,
    receipt::{self, Receipt},
    recovery::{self, Recovered, failed},
    tree::{self, Unreadable},
};
use crate::{
    host::{
        disk,
        lock::{LockError, LockFile},
    },
    transfer::{
        DiskError,
        digests::{Digests, Origin},
    },
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

/// What a run begins with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start<'a> {
    /// Nothing rather than the backup before: the phone sends everything.
    pub afresh: bool,
    /// The phone's `DeviceKey`: with another one it was erased, and what an interrupted run left is of another life.
    pub device_key: Option<&'a str>,
}

/// The right to make a backup of one phone. While it lives nobody else can.
#[derive(Debug)]
pub struct Transaction {
    layout: Layout,
    ledger: Ledger,
    /// The backup before, by its identity.
    base_identity: Option<String>,
    /// The new backup builds on it.
    base_is_known: bool,
    /// Everything is to come.
    afresh: bool,
    is_resumed: bool,
    /// In seconds since 1970.
    began: i64,
    /// What there is to go on with, until the run takes it.
    resumed: Option<Interrupted>,
    device_key: Option<String>,
    ledger_was_renewed: bool,
    /// Snapshots that went to make room.
    made_room: u64,
    aside: Option<Aside>,
    _lock: LockFile,
}

impl Transaction {
    /// Takes the lock, finishes what an earlier run left behind, and clones the latest backup into `next`.
    ///
    /// What an interrupted run left on the same backup is kept as it is: the phone may go on where it stopped. A run that
    /// wants everything begins from nothing, and so does one on a backup that is damaged: whatever a phone finds of it, it
    /// reads, also where it is to send everything (libimobiledevice 1582).
    ///
    /// `begun` is noted first: a run that is killed from then on is known to have been begun.
    ///
    /// # Errors
    /// When another Backstay has the lock, or of the file system.
    pub fn begin(
        layout: Layout,
        retention: &Retention,
        begun: &EndedRun,
        start: Start<'_>,
    ) -> Result<Self, VaultError> {
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
        let identity = receipt::tree_identity(&latest).map_err(failed("reading", &latest))?.filter(|_| has_base);
        let base = ledger.newest()?.filter(|newest| has_base && Some(&newest.tree) == identity.as_ref());
        let is_broken = has_base && properties::are_broken(&latest)?;
        if let Some(base) = base.as_ref().filter(|base| is_broken && !base.damaged) {
            tracing::error!(id = base.id, "what a phone reads first of the latest backup is broken");
            ledger.note_check(base.number, None, true)?;
        }
        // One that the ledger does not know was changed by somebody else in mid-run.
        let base_is_damaged = is_broken || has_base && base.as_ref().is_none_or(|base| base.damaged);
        let resumed = interrupted::take(&layout, &mut ledger, identity.as_deref())?
            // Begun from nothing it is gone on with in any case: else a full backup over a bad cable would never end.
            .filter(|resumed| resumed.afresh || !start.afresh && !base_is_damaged)
            .filter(|resumed| resumed.device_key.as_deref() == start.device_key);
        let afresh = match &resumed {
            Some(resumed) => resumed.afresh,
            None => start.afresh || base_is_damaged,
        };
        let is_resumed = resumed.is_some();
        let mut aside = None;
        if is_resumed {
            tracing::info!(afresh, "what an interrupted run received is there to go on with");
        } else {
            discard(&layout)?;
            disk::make_private(&layout.next()).map_err(failed("creating", &layout.next()))?;
            if !has_base {
                disk::make_private(&tree).map_err(failed("creating", &tree))?;
            } else if !clone::is_possible_in(&own).map_err(failed("writing", &own))? {
                tracing::info!(
                    "this disk can't clone: replaced files are kept until the backup is whole, without history"
                );
                if let Err(error) = aside::begin(&layout, afresh) {
                    recovery::recover(&layout)?;
                    return Err(failed("moving", &latest)(error));
                }
                aside = Some(Aside::of(&layout));
            } else if afresh {
                disk::make_private(&tree).map_err(failed("creating", &tree))?;
            } else {
                let parts = match &base {
                    Some(base) => Parts::of(&ledger.held(base.number)?),
                    None => Parts::by_form(),
                };
                let files = clone::clone_tree(&latest, &tree, Some(&parts)).map_err(failed("cloning", &latest))?;
                tracing::debug!(files, "cloned the latest backup");
            }
        }
        Ok(Self {
            base_is_known: base.is_some() && (!afresh || aside.is_some()),
            base_identity: identity,
            resumed,
            is_resumed,
            began: Utc::now().timestamp(),
            device_key: start.device_key.map(str::to_owned),
            layout,
            ledger,
            afresh,
            ledger_was_renewed,
            made_room: 0,
            aside,
            _lock: lock,
        })
    }

    /// The places of this phone.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// True when there is a backup before.
    pub const fn has_base(&self) -> bool {
        self.base_identity.is_some()
    }

    /// True when the tree is what an interrupted run left.
    pub const fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// True when the phone is to be asked for everything. One that goes on with what it sent before is asked for the rest.
    pub const fn wants_everything(&self) -> bool {
        self.afresh && !self.is_resumed
    }

    /// What came in an earlier run and is there.
    pub fn take_resumed(&mut self) -> (Digests, HashMap<Name, bool>) {
        self.resumed.take().map_or_else(Default::default, |resumed| (resumed.digests, resumed.unreadable))
    }

    /// Keeps what came for the next run, with what the phone could not read; false when it is of no use.
    ///
    /// # Errors
    /// Of the file system, or when the ledger can't be written.
    pub fn keep(&mut self, digests: Digests, unreadable: HashMap<Name, bool>) -> Result<bool, VaultError> {
        let is_cut = |(name, origin): (&Name, &Origin)| {
            matches!(origin, Origin::Received { whole: false, .. }) && !unreadable.contains_key(&name.in_place())
        };
        let is_of_phone = |(name, _): (&Name, &Origin)| matches!(name, Name::Staged(_) | Name::Payload(_));
        if self.aside.is_some() || digests.touched().any(is_cut) || !digests.touched().any(is_of_phone) {
            return Ok(false);
        }
        let (afresh, device_key) = (self.afresh, self.device_key.clone());
        let run = Interrupted { afresh, device_key, began: self.began, digests, unreadable };
        interrupted::keep(&self.layout, &mut self.ledger, self.base_identity.as_deref(), &run)?;
        Ok(true)
    }

    /// Makes room on the disk while the phone waits: of what the rules no longer keep, and of old snapshots where
    /// `of_history`. True when as much as is `missing` came free; it stops at `welcome`. Both are bytes.
    pub fn make_room(&mut self, missing: u64, welcome: u64, retention: &Retention, of_history: bool) -> bool {
        match free_space::for_run(&self.layout, &mut self.ledger, (missing, welcome), retention, of_history) {
            Ok((is_enough, removed)) => {
                self.made_room += removed;
                is_enough
            }
            Err(error) => {
                tracing::warn!(%error, "no room can be made");
                false
            }
        }
    }

    /// How many snapshots went to make room.
    pub const fn made_room(&self) -> u64 {
        self.made_room
    }

    /// True when the record of checksums was lost or damaged.
    pub const fn ledger_was_renewed(&self) -> bool {
        self.ledger_was_renewed
    }

    /// Where files go that the phone replaces, on a disk that can't clone.
    pub const fn aside(&self) -> Option<&Aside> {
        self.aside.as_ref()
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
            unreadable: inventory.unreadable,
        })?;
        let path = self.layout.next_receipt();
        receipt::write(&path, receipt).map_err(failed("writing", &path))?;
        if !recovery::finish_commit(&self.layout, &known)? {
            let source = io::Error::new(io::ErrorKind::InvalidData, "the tree is not the one that was sealed");
            return Err(failed("committing", &tree)(source));
        }
        Ok(())
    }

    /// Looks whether the backup that this one builds on still has every file as long as it came, after a run that failed for
    /// what the backup holds. One that has not is noted as damaged, so that the next run brings everything again.
    ///
    /// # Errors
    /// When the ledger or the disk can't be used.
    pub fn look_at_base(&mut self) -> Result<(), VaultError> {
        let Some(newest) = self.ledger.newest()?.filter(|newest| self.base_is_known && !newest.damaged) else {
            return Ok(());
        };
        let found = tree::list(&self.layout.latest())?;
        let differs = |(name, held): (Name, Held)| {
            let here = found.binary_search_by(|found| found.name.cmp(&name)).ok().and_then(|index| found.get(index));
            !is_foreign(&name) && difference(here.and_then(|here| here.size), held.size).is_some()
        };
        if self.ledger.held(newest.number)?.into_iter().any(differs) {
            tracing::error!(id = newest.id, "the kept backup has lost or changed files");
            self.ledger.note_check(newest.number, None, true)?;
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
mod tests;
