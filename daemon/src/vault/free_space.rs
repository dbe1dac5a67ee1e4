//! Room on the backup disk, made of old snapshots beyond what the settings would remove.

use backstay_shared::config::Retention;

use super::{
    history::{self, Stays},
    layout::Layout,
    ledger::{Entry, Ledger},
    recovery::{self, failed},
    transaction::{self, VaultError},
};
use crate::host::disk;

/// What was removed, and what it brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Freed {
    /// The snapshots that are gone, in the order in which they went.
    pub removed: Vec<Entry>,
    /// Bytes that were free on the disk.
    pub bytes_free_before: u64,
    /// Bytes that are free now.
    pub bytes_free: u64,
}

/// The snapshots that may go for room, in the order in which they go: damaged ones first, then oldest first. The latest
/// backup is never among them, and while it is damaged neither is the newest whole one; nor is what [`Stays`] names.
pub fn expendable<'a>(entries: &'a [Entry], stays: &Stays) -> Vec<&'a Entry> {
    let Some((_, older)) = entries.split_last() else { return Vec::new() };
    let may_go = older.iter().zip(stays.places(entries)).filter(|(_, stays)| !stays).map(|(entry, _)| entry);
    let (damaged, whole): (Vec<&Entry>, Vec<&Entry>) = may_go.partition(|entry| entry.damaged);
    damaged.into_iter().chain(whole).collect()
}

/// What would have to go so that so many bytes are free on the disk, and what would be free then, as the ledger reckons.
///
/// # Errors
/// When the ledger or the disk can't be read.
pub fn plan(layout: &Layout, ledger: &Ledger, bytes_wanted: u64) -> Result<Freed, VaultError> {
    let entries = ledger.snapshots()?;
    let bytes_free_before = bytes_free(layout)?;
    let (mut removed, mut bytes_free) = (Vec::new(), bytes_free_before);
    let mut numbers = Vec::new();
    for entry in expendable(&entries, &Stays::of(layout, ledger)?) {
        if bytes_free >= bytes_wanted {
            break;
        }
        numbers.push(entry.number);
        removed.push(entry.clone());
        bytes_free = bytes_free_before.saturating_add(ledger.cost_of_all(&numbers)?);
    }
    Ok(Freed { removed, bytes_free_before, bytes_free })
}

/// Takes the phone's lock, then removes snapshots one by one until so many bytes are free on the disk. When all that may
/// go would not be enough, nothing is removed; which of the two it was, `bytes_free` says.
///
/// # Errors
/// When another Backstay is at work on this phone, or the ledger or the disk can't be read.
pub fn free(layout: &Layout, bytes_wanted: u64) -> Result<Freed, VaultError> {
    let _lock = transaction::lock(layout)?;
    let mut ledger = recovery::recover(layout)?.ledger;
    free_locked(layout, &mut ledger, bytes_wanted)
}

/// As [`free`], and where the snapshots are not enough, what an interrupted run received goes first: it is no backup, and of
/// no use while it leaves no room for the next one.
///
/// # Errors
/// As [`free`].
pub fn free_interrupted_too(layout: &Layout, bytes_wanted: u64) -> Result<Freed, VaultError> {
    let freed = free(layout, bytes_wanted)?;
    if freed.bytes_free >= bytes_wanted {
        return Ok(freed);
    }
    let _lock = transaction::lock(layout)?;
    let mut ledger = recovery::recover(layout)?.ledger;
    if !layout.next().exists() {
        return Ok(freed);
    }
    tracing::info!("what an interrupted run received goes to make room");
    ledger.forget_interrupted()?;
    // Without its record the tree is removed.
    let mut ledger = recovery::recover(layout)?.ledger;
    let again = free_locked(layout, &mut ledger, bytes_wanted)?;
    Ok(Freed { bytes_free_before: freed.bytes_free_before, ..again })
}

/// The same for who holds the lock.
///
/// # Errors
/// When the ledger or the disk can't be read.
pub fn free_locked(layout: &Layout, ledger: &mut Ledger, bytes_wanted: u64) -> Result<Freed, VaultError> {
    // What an earlier run could not delete is room, too.
    history::clear_removed(layout);
    // Snapshots that are gone without making enough room were given away for nothing.
    let planned = plan(layout, ledger, bytes_wanted)?;
    if planned.bytes_free < bytes_wanted {
        return Ok(Freed { removed: Vec::new(), bytes_free: planned.bytes_free_before, ..planned });
    }
    let entries = ledger.snapshots()?;
    let bytes_free_before = bytes_free(layout)?;
    let (mut removed, mut bytes_free_now) = (Vec::new(), bytes_free_before);
    for entry in expendable(&entries, &Stays::of(layout, ledger)?) {
        if bytes_free_now >= bytes_wanted {
            break;
        }
        if !history::take_out(layout, entry) {
            continue;
        }
        // Room first: the ledger needs some to be written.
        history::clear_removed(layout);
        ledger.forget(entry.number)?;
        removed.push(entry.clone());
        bytes_free_now = bytes_free(layout)?;
    }
    Ok(Freed { removed, bytes_free_before, bytes_free: bytes_free_now })
}

/// In a backup, whose phone lacks the first of these bytes and would welcome the second: what the rules no longer keep
/// goes first, then old snapshots where `of_history`. True when there is as much as the phone lacks; and how many of the old
/// snapshots went.
///
/// # Errors
/// When the ledger or the disk can't be read.
pub fn for_run(
    layout: &Layout,
    ledger: &mut Ledger,
    (missing, welcome): (u64, u64),
    retention: &Retention,
    of_history: bool,
) -> Result<(bool, u64), VaultError> {
    let before = bytes_free(layout)?;
    // The phone counts on more than it lacks.
    let wanted = before.saturating_add(missing).saturating_add(MISSING_SLACK_BYTES);
    history::clear_removed(layout);
    history::prune(layout, ledger, retention)?;
    let (mut free, mut removed) = (bytes_free(layout)?, 0);
    for enough in [before.saturating_add(welcome).max(wanted), wanted] {
        if of_history && free < wanted {
            let freed = free_locked(layout, ledger, enough)?;
            free = freed.bytes_free;
            removed += freed.removed.len() as u64;
            if let [first, ..] = &freed.removed[..] {
                tracing::info!(removed, first = first.id, free, "old snapshots made room for the backup");
            }
        }
    }
    Ok((free >= wanted, removed))
}

/// Other programs write to the disk meanwhile.
const MISSING_SLACK_BYTES: u64 = 16 << 20;

fn bytes_free(layout: &Layout) -> Result<u64, VaultError> {
    let own = layout.own();
    // Some file systems count what was deleted only after it is on the disk.
    if let Err(error) = disk::sync_tree(&own) {
        tracing::debug!(%error, "the free space may be reckoned too low");
    }
    disk::free_bytes(&own).map_err(failed("reading", &own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(damaged: &[bool]) -> Vec<Entry> {
        let entry = |(number, damaged): (i64, &bool)| Entry {
            number,
            id: number.to_string(),
            tree: String::new(),
            files: 1,
            bytes: 1,
            receipt: None,
            checked: None,
            damaged: *damaged,
            notes: 0,
            doubts: 0,
        };
        (1..).zip(damaged).map(entry).collect()
    }

    #[test]
    fn damaged_ones_go_first_and_the_newest_whole_one_never() {
        const WHOLE: bool = false;
        const DAMAGED: bool = true;
        for (snapshots, order) in [
            (&[][..], &[][..]),
            (&[WHOLE], &[]),
            (&[DAMAGED], &[]),
            (&[WHOLE, WHOLE, WHOLE], &[1, 2]),
            (&[WHOLE, DAMAGED, WHOLE, WHOLE], &[2, 1, 3]),
            (&[WHOLE, WHOLE, DAMAGED], &[1]),
            (&[WHOLE, WHOLE, DAMAGED, DAMAGED], &[3, 1]),
            (&[DAMAGED, DAMAGED], &[1]),
        ] {
            let entries = entries(snapshots);
            let found: Vec<i64> =
                expendable(&entries, &Stays::default()).into_iter().map(|entry| entry.number).collect();
            assert_eq!(found, order, "{snapshots:?}");
        }
    }
}
