//! The weekly check, in slices: every content is read again and compared with its checksum.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
};

use tokio_util::sync::CancellationToken;

use super::{
    check,
    checksum::{self, Checksums},
    encryption,
    layout::Layout,
    ledger::{Entry, Held, Ledger, Version},
    manifest::Manifest,
    name::Name,
    parts::is_foreign,
    proof::{Case, Form, Known, Proof, RowChange, Rule, Verdict},
    receipt,
    transaction::VaultError,
    tree::Found,
    verify::{Finding, Findings},
};
use crate::transfer::DiskError;

/// Slices in a day: one an hour.
pub const SLICES_A_DAY: u64 = 24;

/// What one slice found.
#[derive(Debug, Default)]
pub struct Slice {
    /// Files that were read and are good.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub damages: Findings,
}

/// Reads what was not read for longest, so that all of it is read once in `days`; stops early when told. `now` is in
/// seconds since 1970.
///
/// A backup may be committed meanwhile: what differs then is another content rather than a damage, and is left for the
/// next slice.
///
/// # Errors
/// When the ledger can't be used.
pub fn slice(layout: &Layout, days: u32, now: i64, stop: &CancellationToken) -> Result<Slice, VaultError> {
    let mut slice = Slice::default();
    if !layout.ledger().exists() || days == 0 {
        return Ok(slice);
    }
    let mut ledger = Ledger::open(layout)?;
    let entries = ledger.snapshots()?;
    let Some(newest) = entries.last().cloned() else { return Ok(slice) };
    // Another program's backup, or one that is being swapped: nothing of it is known yet.
    if !is_at_latest(layout, &newest)? {
        return Ok(slice);
    }
    // A little more than its share, since the computer is not always on.
    let budget = ledger.bytes()? / (u64::from(days) * SLICES_A_DAY) * 3 / 2 + 1;
    let due = ledger.due_for_check(now - i64::from(days) * 24 * 3600, budget)?;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for version in due {
        let Some(entry) = entries.iter().find(|entry| entry.number == version.holder) else { continue };
        if is_foreign(&version.name) {
            // An older version took it for a part of the backup.
            ledger.note_looked_at(&version, now)?;
            continue;
        }
        let is_newest = entry.number == newest.number;
        let tree = if is_newest { layout.latest() } else { layout.snapshot_tree(&entry.id) };
        let path = version.name.below(&tree);
        match checksum::of_file_while(&path, || !stop.is_cancelled()) {
            Ok(None) => break,
            Ok(Some(read)) => {
                let held = version.held;
                let as_it_was = read.size == held.size
                    && held.digest.is_none_or(|known| known == read.digest)
                    && held.sha1.is_none_or(|known| Some(known) == read.sha1);
                if as_it_was {
                    good.push((version, read, Proof::Missing));
                } else {
                    bad.push((version, path, "is not what it was when it came"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => bad.push((version, path, "is missing")),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file of a backup can't be read");
                bad.push((version, path, "can't be read"));
            }
        }
    }
    judge(layout, newest.number, &mut good, &mut bad);
    slice.files = good.len() as u64;
    slice.bytes = good.iter().map(|(_, checksums, _)| checksums.size).sum();
    let unchanged = ledger.newest()?.is_some_and(|entry| entry.number == newest.number);
    if !unchanged || !is_at_latest(layout, &newest)? {
        return Ok(Slice::default());
    }
    ledger.note_read(&good, now)?;
    tell(&mut ledger, layout, bad, now, &mut slice)?;
    Ok(slice)
}

/// True when the latest tree is the one that the ledger takes for it.
fn is_at_latest(layout: &Layout, newest: &Entry) -> Result<bool, VaultError> {
    let latest = layout.latest();
    let identity =
        receipt::tree_identity(&latest).map_err(|source| DiskError { operation: "reading", path: latest, source })?;
    Ok(identity.as_ref() == Some(&newest.tree))
}

/// What is bad is told once in each round, and does not keep the rest from being read.
fn tell(ledger: &mut Ledger, layout: &Layout, bad: Vec<Bad>, now: i64, slice: &mut Slice) -> Result<(), VaultError> {
    let known = if bad.is_empty() { HashMap::new() } else { known_as(layout, &bad) };
    for (version, path, what) in bad {
        ledger.note_looked_at(&version, now)?;
        // One that was pruned meanwhile is nobody's loss.
        if ledger.version(version.holder, &version.name)?.is_none() {
            continue;
        }
        check::note_damage(ledger, &version)?;
        let (domain, relative_path) = known.get(&version.name).cloned().unwrap_or_default();
        slice.damages.add(Finding { domain, relative_path, path, what, rule: Rule::Checksum });
    }
    Ok(())
}

/// A content that is not what it was, where it is and what is wrong with it.
type Bad = (Version, PathBuf, &'static str);

/// What files are to the person, as far as the latest manifest tells.
fn known_as(layout: &Layout, bad: &[Bad]) -> HashMap<Name, (String, String)> {
    let wanted: HashSet<&Name> = bad.iter().map(|(version, ..)| &version.name).collect();
    let mut known = HashMap::new();
    let visited = Manifest::plain(&layout.latest()).for_each_file(|file| {
        if let Some(name) = Name::of_file_id(file.file_id).filter(|name| wanted.contains(name)) {
            known.insert(name, (file.domain.to_owned(), file.relative_path.to_owned()));
        }
    });
    if let Err(error) = visited {
        tracing::debug!(%error, "damaged files have no other name than that on disk");
    }
    known
}

/// Asks the [rule](super::proof) about contents that nothing proved so far, now that they were read: those whose digests are
/// others' are bad. An encrypted manifest is left to `backstay verify --deep`: opening it takes seconds of computing, each
/// hour.
fn judge(layout: &Layout, latest: i64, read: &mut Vec<(Version, Checksums, Proof)>, bad: &mut Vec<Bad>) {
    let unproved = |(_, (version, ..)): &(usize, &(Version, Checksums, Proof))| {
        version.holder == latest && version.held.proof == Proof::Missing && matches!(version.name, Name::Payload(_))
    };
    let places: HashMap<Name, usize> =
        read.iter().enumerate().filter(unproved).map(|(place, (version, ..))| (version.name.clone(), place)).collect();
    if places.is_empty() || !matches!(encryption::is_encrypted(&layout.latest()), Ok(false)) {
        return;
    }
    let mut wrong = Vec::new();
    let visited = Manifest::plain(&layout.latest()).for_each_file(|file| {
        let place = Name::of_file_id(file.file_id).and_then(|name| places.get(&name));
        let Some((version, checksums, proof)) = place.and_then(|place| read.get_mut(*place)) else { return };
        let held = Held { sha1: checksums.sha1, ..version.held };
        let here = Found { name: version.name.clone(), size: Some(checksums.size) };
        let known = Known::Kept { held, row: RowChange::Nothing };
        // Its form was looked at when the backup was taken in.
        let case = Case { file: &file, here: Some(&here), known, form: &|_| Ok(Form::Fits) };
        match case.judge() {
            Ok((_, Verdict::Damage(what))) => wrong.extend(place.map(|place| (*place, what))),
            Ok((_, Verdict::Whole(found) | Verdict::Noted(found))) => *proof = found,
            _ => {}
        }
    });
    if let Err(error) = visited {
        tracing::debug!(%error, "what was read is compared with no digest");
    }
    wrong.sort_unstable();
    for (place, what) in wrong.into_iter().rev() {
        let (version, ..) = read.swap_remove(place);
        let path = version.name.below(&layout.latest());
        bad.push((version, path, what));
    }
}
