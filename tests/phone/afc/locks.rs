//! Who holds which file, as `flock` counts it.

use std::collections::{BTreeSet, HashMap};

use super::packet::Status;

/// What a client asks for, from `AFC_LOCK_SH`, `AFC_LOCK_EX` and `AFC_LOCK_UN`; all without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockKind {
    Shared,
    Exclusive,
}

#[derive(Default)]
struct Holders {
    shared: BTreeSet<u64>,
    exclusive: Option<u64>,
}

/// The locks of every file.
#[derive(Default)]
pub(super) struct Locks(HashMap<u64, Holders>);

impl Locks {
    /// Locks a file for a holder, or changes the kind of lock that it has.
    pub(super) fn lock(&mut self, file: u64, holder: u64, kind: LockKind) -> Result<(), Status> {
        let holders = self.0.entry(file).or_default();
        let others_share = holders.shared.iter().any(|other| *other != holder);
        let other_excludes = holders.exclusive.is_some_and(|other| other != holder);
        if other_excludes || kind == LockKind::Exclusive && others_share {
            return Err(Status::OperationWouldBlock);
        }
        match kind {
            LockKind::Shared => {
                holders.exclusive = None;
                holders.shared.insert(holder);
            }
            LockKind::Exclusive => {
                holders.shared.remove(&holder);
                holders.exclusive = Some(holder);
            }
        }
        Ok(())
    }

    pub(super) fn unlock(&mut self, file: u64, holder: u64) {
        if let Some(holders) = self.0.get_mut(&file) {
            holders.shared.remove(&holder);
            holders.exclusive = holders.exclusive.filter(|other| *other != holder);
        }
    }

    pub(super) fn is_locked(&self, file: u64) -> bool {
        self.0.get(&file).is_some_and(|holders| holders.exclusive.is_some() || !holders.shared.is_empty())
    }
}
