//! Older snapshots: each a whole plain backup that shares unchanged files with its neighbours.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use backstay_shared::config::Retention;
use chrono::{DateTime, Local, NaiveDateTime, TimeDelta, Utc};

use super::{
    layout::Layout,
    ledger::{Entry, Ledger, LedgerError},
    receipt::{self, Receipt},
    retention,
};
use crate::host::disk;

/// One backup that can be read: the latest or an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its time, which is also its name.
    pub id: String,
    /// The tree, in Apple's layout.
    pub tree: PathBuf,
}

/// Every whole backup of a phone, oldest first; the last one is the latest.
///
/// # Errors
/// When a folder can't be read.
pub fn all(layout: &Layout) -> io::Result<Vec<Snapshot>> {
    let mut found: Vec<Snapshot> = older(layout)?
        .into_iter()
        .map(|id| Snapshot { tree: layout.snapshot_tree(&id), id })
        .filter(|snapshot| snapshot.tree.exists())
        .collect();
    // Also one that is ruined: an older one must not be taken for it.
    if layout.latest().exists() {
        let id = match receipt::latest(layout)? {
            Some(receipt) => receipt.id,
            None => id_in_ledger(layout).unwrap_or_else(|| "latest".to_owned()),
        };
        found.push(Snapshot { id, tree: layout.latest() });
    }
    Ok(found)
}

/// What the ledger calls the latest backup, when no receipt is about it: another program made it, or it is damaged.
fn id_in_ledger(layout: &Layout) -> Option<String> {
    if !layout.ledger().exists() {
        return None;
    }
    Ledger::open(layout).and_then(|ledger| ledger.newest()).ok()?.map(|newest| newest.id)
}

/// The names of the older snapshots, by time.
///
/// # Errors
/// When the folder can't be read.
pub fn older(layout: &Layout) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(layout.history()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found: Vec<String> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    found.sort();
    Ok(found)
}

/// A name for a backup of this time that no other has: the clock may have been set back.
pub fn free_id(layout: &Layout, ledger: &[Entry], at: DateTime<Utc>) -> String {
    let stamp = receipt::stamp(at);
    let taken = |id: &str| {
        let receipt = layout.receipts().join(format!("{id}.json"));
        ledger.iter().any(|entry| entry.id == id) || receipt.exists() || layout.snapshot_tree(id).exists()
    };
    let mut ids = std::iter::once(stamp.clone()).chain((2..).map(|number| format!("{stamp}-{number}")));
    // An endless list has a first that is free; the fallback is for the type only.
    ids.find(|id| !taken(id)).unwrap_or(stamp)
}

/// Where the tree `old` goes that `newer` has replaced: named as its receipt or the ledger has it.
///
/// # Errors
/// When the tree can't be read.
pub fn id_of_old(layout: &Layout, ledger: &[Entry], old: &Path, newer: &Receipt) -> io::Result<String> {
    let identity = receipt::tree_identity(old)?;
    let known = ledger.iter().find(|entry| Some(&entry.tree) == identity.as_ref()).map(|entry| entry.id.clone());
    let known = match known {
        Some(id) => Some(id),
        None => receipt::all(layout)?
            .into_iter()
            .find(|receipt| Some(&receipt.tree) == identity.as_ref())
            .map(|found| found.id),
    };
    let free = |id: &String| !layout.snapshot_tree(id).exists();
    Ok(known.filter(free).unwrap_or_else(|| free_id(layout, ledger, newer.started_at)))
}

/// When a snapshot was made, as its name says; none for a folder that has another kind of name.
pub fn time_of(id: &str) -> Option<DateTime<Utc>> {
    let (stamp, _) = id.split_once('Z')?;
    Some(NaiveDateTime::parse_from_str(stamp, "%Y-%m-%dT%H%M%S%.f").ok()?.and_utc())
}

/// So many days the last snapshot from before the phone was erased stays, whatever the rules say: one may learn late
/// what is missing, and backups that come in the meantime are of another content.
const BEFORE_ERASING_DAYS: i64 = 90;

/// When the phone was found to have been erased. Receipts tell it: they stay when their snapshots go.
pub fn erasings(layout: &Layout) -> Vec<DateTime<Utc>> {
    // Those that can't be read are the business of whoever commits the next one.
    let receipts = receipt::all(layout).unwrap_or_default().into_iter();
    receipts.filter(|receipt| receipt.after_erasing).filter_map(|receipt| time_of(&receipt.id)).collect()
}

/// The places of the snapshots that stay because the phone was erased after them.
pub fn last_before_erasing(entries: &[Entry], erasings: &[DateTime<Utc>]) -> Vec<usize> {
    let times: Vec<DateTime<Utc>> = entries.iter().map(|entry| time_of(&entry.id).unwrap_or_default()).collect();
    let Some(newest) = times.iter().max() else { return Vec::new() };
    let recent = erasings.iter().filter(|erased| *newest - **erased < TimeDelta::days(BEFORE_ERASING_DAYS));
    let last = |erased: &DateTime<Utc>| {
        let before = |index: &usize| times[*index] < *erased;
        let whole = (0..entries.len()).rev().filter(before).find(|index| !entries[*index].damaged);
        whole.or_else(|| (0..entries.len()).rev().find(before))
    };
    recent.filter_map(last).collect()
}

/// What stays whatever the rules and the room say, beside the latest backup.
#[derive(Debug, Default)]
pub struct Stays {
    /// When the phone was erased.
    pub erasings: Vec<DateTime<Utc>>,
    /// Numbers of the snapshots with the last good content of files that the phone can't read any more.
    pub readable: HashSet<i64>,
}

impl Stays {
    /// Of a phone.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn of(layout: &Layout, ledger: &Ledger) -> Result<Self, LedgerError> {
        Ok(Self { erasings: erasings(layout), readable: ledger.last_readable()? })
    }

    /// Whether the snapshot at this place stays, for each.
    pub fn places(&self, entries: &[Entry]) -> Vec<bool> {
        let mut stays: Vec<bool> = entries.iter().map(|entry| self.readable.contains(&entry.number)).collect();
        last_before_erasing(entries, &self.erasings).into_iter().for_each(|index| stays[index] = true);
        // While the latest is damaged, the newest whole one.
        if let Some((latest, older)) = entries.split_last()
            && latest.damaged
            && let Some(whole) = older.iter().rposition(|entry| !entry.damaged)
        {
            stays[whole] = true;
        }
        stays
    }
}

/// The older snapshots that the rules no longer keep, oldest first. While the latest backup is damaged the newest
/// good one stays in any case.
pub fn surplus<'a>(entries: &'a [Entry], stays: &Stays, rule: &Retention) -> Vec<&'a Entry> {
    let Some((latest, older)) = entries.split_last() else { return Vec::new() };
    let times: Vec<DateTime<Utc>> = older.iter().map(|entry| time_of(&entry.id).unwrap_or_default()).collect();
    let kept = retention::keep(&times, time_of(&latest.id), rule, &Local);
    // Damaged ones use up no place of a whole one.
    let whole: Vec<usize> = (0..older.len()).filter(|index| !older[*index].damaged).collect();
    let whole_times: Vec<DateTime<Utc>> = whole.iter().map(|index| times[*index]).collect();
    let whole_kept = retention::keep(&whole_times, time_of(&latest.id), rule, &Local);
    let mut kept = kept;
    whole.into_iter().zip(whole_kept).for_each(|(index, stays)| kept[index] |= stays);
    let rows = older.iter().zip(kept).zip(stays.places(entries));
    rows.filter(|((_, kept), stays)| !kept && !stays).map(|((entry, _), _)| entry).collect()
}

/// Removes the snapshots that the rules no longer keep. Never touches the latest backup; what can't be removed now is
/// removed after a later backup.
///
/// # Errors
/// When the ledger can't be read or written.
pub fn prune(layout: &Layout, ledger: &mut Ledger, rule: &Retention) -> Result<Vec<Entry>, LedgerError> {
    let entries = ledger.snapshots()?;
    let mut removed = Vec::new();
    for entry in surplus(&entries, &Stays::of(layout, ledger)?, rule) {
        if take_out(layout, entry) {
            removed.push(entry.clone());
        }
    }
    // Room first: the ledger needs some to be written.
    clear_removed(layout);
    for entry in &removed {
        ledger.forget(entry.number)?;
    }
    Ok(removed)
}

/// Takes a snapshot out of the history in one step: there are only whole snapshots in it, whatever happens. False when
/// it can't be taken out now. Its room is free after [`clear_removed`].
pub(super) fn take_out(layout: &Layout, entry: &Entry) -> bool {
    let path = layout.history().join(&entry.id);
    let moved =
        disk::make_private(&layout.removed()).and_then(|()| fs::rename(&path, layout.removed().join(&entry.id)));
    match moved {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "an old snapshot can't be removed");
            false
        }
        _ => {
            tracing::info!(path = %path.display(), "removed an old snapshot");
            true
        }
    }
}

/// Deletes what is on its way out.
pub fn clear_removed(layout: &Layout) {
    let removed = layout.removed();
    match fs::remove_dir_all(&removed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %removed.display(), %error, "old snapshots can't be deleted yet");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u32) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(day.into())
    }

    fn entries(days: &[u32], damaged: &[u32]) -> Vec<Entry> {
        let entry = |(number, day): (i64, &u32)| Entry {
            number,
            id: receipt::stamp(at(*day)),
            tree: String::new(),
            files: 1,
            bytes: 1,
            receipt: None,
            checked: None,
            damaged: damaged.contains(day),
            notes: 0,
            doubts: 0,
        };
        (1..).zip(days).map(entry).collect()
    }

    /// Neither the rules nor a lack of room take the last good content of a file that the phone can't read any more.
    #[test]
    fn the_one_with_what_can_not_be_read_any_more_stays() {
        let none = Retention { last: 0, daily: 0, weekly: 0, monthly: 0 };
        let entries = entries(&[1, 2, 3, 4], &[]);
        let stays = Stays { readable: [2].into(), ..Stays::default() };
        let numbers = |entries: Vec<&Entry>| entries.iter().map(|entry| entry.number).collect::<Vec<_>>();
        assert_eq!(numbers(surplus(&entries, &stays, &none)), [1, 3]);
        assert_eq!(numbers(super::super::free_space::expendable(&entries, &stays)), [1, 3]);
    }

    /// It stays also when the first backup after the erasing is gone, and not for ever.
    #[test]
    fn the_last_one_from_before_an_erasing_stays() {
        let none = Retention { last: 0, daily: 0, weekly: 0, monthly: 0 };
        let days_of = |entries: Vec<&Entry>| -> Vec<i64> {
            entries.iter().map(|entry| (time_of(&entry.id).unwrap() - at(0)).num_days()).collect()
        };
        for (days, damaged, erased, gone) in [
            (&[1, 2, 4, 5][..], &[][..], &[][..], &[1, 2, 4][..]),
            (&[1, 2, 4, 5], &[], &[3], &[1, 4]),
            (&[1, 2, 4, 5], &[2], &[3], &[2, 4]),
            (&[1, 2, 90], &[], &[3], &[1]),
            (&[1, 2, 94], &[], &[3], &[1, 2]),
            (&[1, 2, 4, 6, 8], &[], &[3, 7], &[1, 4]),
            (&[4, 5], &[], &[3], &[4]),
            (&[1, 5], &[1], &[3], &[]),
        ] {
            let entries = entries(days, damaged);
            let erasings: Vec<DateTime<Utc>> = erased.iter().map(|day| at(*day)).collect();
            let stays = Stays { erasings, ..Stays::default() };
            let surplus = days_of(surplus(&entries, &stays, &none));
            assert_eq!(surplus, gone, "{days:?}, damaged {damaged:?}, erased {erased:?}");
            let mut may_go = days_of(super::super::free_space::expendable(&entries, &stays));
            may_go.sort_unstable();
            assert_eq!(may_go, gone, "nor for room: {days:?}, damaged {damaged:?}, erased {erased:?}");
        }
    }
}
