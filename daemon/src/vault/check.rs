//! Is a snapshot still what it was when it was sealed?

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use chrono::Utc;

use super::{
    encryption::{EncryptionError, Password, check_sample},
    history::Snapshot,
    ledger::{Digest, Entry, Held, Ledger, Version},
    name::Name,
    receipt,
    transaction::VaultError,
    tree::{self, Found},
    verify::{self, Damage, Damages, Opened, VerifyError},
};
use crate::transfer::DiskError;

/// Files are read by this many threads: enough for one core to hash while the disk brings the next.
const THREADS: usize = 2;

/// What a check of one snapshot found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Files of the snapshot.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were read and compared with their checksum.
    pub bytes_read: u64,
    /// Files that have no checksum: nobody knows whether they are what came.
    pub without_checksum: u64,
    /// Files that had no checksum until this check took it.
    pub checksums_taken: u64,
    /// Files whose checksum was taken from the disk some time after they came.
    pub checksum_taken_later: u64,
    /// What is wrong.
    pub damages: Damages,
    /// An earlier check found damage that only a deep one finds.
    pub known_damaged: bool,
    /// Why the manifest could not be compared, when it could not.
    pub manifest_unread: Option<String>,
}

/// How far a deep check is.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes read so far.
    pub bytes: AtomicU64,
    /// Ends the check.
    pub stop: AtomicBool,
}

/// Checks a snapshot against its manifest and the ledger: every file is there, has its size, and no other is there.
/// `deep` reads each file and compares its checksum, and so finds a single flipped bit; a checksum that was not known
/// is known from then on.
///
/// # Errors
/// When the disk or the ledger can't be read; damage is no error but what was looked for.
pub fn check(
    ledger: &mut Ledger,
    snapshot: &Snapshot,
    passwords: &[Password],
    deep: Option<&Meter>,
) -> Result<Checked, VaultError> {
    let reading = |source| DiskError { operation: "reading", path: snapshot.tree.clone(), source };
    let before = receipt::tree_identity(&snapshot.tree).map_err(reading)?;
    let found = tree::list(&snapshot.tree)?;
    let mut checked = Checked::default();
    let opened = Opened::new(&snapshot.tree, passwords);
    let found = check_manifest(snapshot, &opened, found, &mut checked);
    let entry = ledger.snapshots()?.into_iter().find(|entry| entry.id == snapshot.id);
    let held = entry.as_ref().map(|entry| ledger.held(entry.number)).transpose()?.unwrap_or_default();
    if entry.is_some() {
        check_sizes(snapshot, &found, &held, &mut checked);
    } else if let Some(why) = &checked.manifest_unread {
        // Neither the manifest nor the ledger says what should be here.
        tracing::warn!(why, "nothing tells what this backup should hold");
        checked.damages.add(unnamed(snapshot, &Name::new("Manifest.db"), "can't be read"));
    }
    let content = match deep {
        Some(meter) => read_all(snapshot, &found, &held, meter),
        None => Contents::default(),
    };
    for (name, what) in &content.wrong {
        checked.damages.add(unnamed(snapshot, name, what));
    }
    name_damages(&opened, &mut checked.damages);
    // A backup or a prune in the meantime makes one tree of two: such findings are none.
    if receipt::tree_identity(&snapshot.tree).map_err(reading)? != before {
        return Err(VaultError::Changed);
    }
    checked.bytes_read = content.bytes_read;
    let Some(entry) = entry else {
        checked.without_checksum = found.len() as u64;
        return Ok(checked);
    };
    note(ledger, &entry, &content)?;
    checked.checksums_taken = content.learned.len() as u64;
    (checked.without_checksum, checked.checksum_taken_later) = ledger.unproved(entry.number)?;
    let whole = deep.is_some_and(|meter| !meter.stop.load(Ordering::Relaxed));
    checked.known_damaged = entry.damaged && !whole;
    let damaged = checked.damages.count > 0 || checked.known_damaged;
    ledger.note_check(entry.number, whole.then(|| Utc::now().timestamp()), damaged)?;
    Ok(checked)
}

/// What was read becomes known: checksums that were not, and which other snapshots share what is wrong.
fn note(ledger: &mut Ledger, entry: &Entry, content: &Contents) -> Result<(), VaultError> {
    let mut learned = Vec::new();
    for (name, digest) in &content.learned {
        learned.extend(ledger.version(entry.number, name)?.map(|version| (version, *digest)));
    }
    ledger.note_read(&learned, Utc::now().timestamp())?;
    for (name, _) in &content.wrong {
        if let Some(version) = ledger.version(entry.number, name)? {
            note_damage(ledger, &version)?;
        }
    }
    Ok(())
}

/// What the manifest says; one that can't be opened is told, and the ledger goes on.
fn check_manifest(
    snapshot: &Snapshot,
    opened: &Result<Opened, EncryptionError>,
    found: Vec<Found>,
    checked: &mut Checked,
) -> Vec<Found> {
    let tree = &snapshot.tree;
    if let Err(error) = verify::check_status(tree) {
        let path = tree.join("Status.plist");
        let what = match error {
            VerifyError::Unfinished { .. } => "does not say that the backup is finished",
            _ => "can't be read",
        };
        checked.damages.add(Damage { domain: String::new(), relative_path: String::new(), path, what });
    }
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            checked.manifest_unread = Some(error.to_string());
            return found;
        }
    };
    let kept = found.clone();
    match verify::against_manifest(tree, opened, found, &mut checked.damages) {
        Ok(verified) => {
            (checked.files, checked.bytes) = (verified.files, verified.bytes);
            if let Some(unlocked) = &opened.unlocked
                && let Err(VerifyError::Damaged(damages)) = check_sample(tree, &opened.manifest, unlocked)
            {
                damages.first.into_iter().for_each(|damage| checked.damages.add(damage));
            }
            verified.found
        }
        Err(error) => {
            checked.manifest_unread = Some(error.to_string());
            kept
        }
    }
}

/// What the ledger says of names and sizes.
fn check_sizes(snapshot: &Snapshot, found: &[Found], held: &HashMap<Name, Held>, checked: &mut Checked) {
    let mut wrong: Vec<(Name, &'static str)> = Vec::new();
    let mut payload = 0;
    for (name, held) in held {
        payload += u64::from(matches!(name, Name::Payload(_)));
        let here = found.binary_search_by(|found| found.name.cmp(name)).ok().and_then(|index| found.get(index));
        if let Some(what) = verify::difference(here, held.size) {
            wrong.push((name.clone(), what));
        }
    }
    for found in found.iter().filter(|found| !held.contains_key(&found.name)) {
        wrong.push((found.name.clone(), "is not part of this backup"));
    }
    if checked.files == 0 {
        checked.files = payload;
        checked.bytes = held.values().map(|held| held.size).sum();
    }
    wrong.sort();
    for (name, what) in wrong {
        checked.damages.add(unnamed(snapshot, &name, what));
    }
}

fn unnamed(snapshot: &Snapshot, name: &Name, what: &'static str) -> Damage {
    Damage { domain: String::new(), relative_path: String::new(), path: name.below(&snapshot.tree), what }
}

/// What a reading of every file brought.
#[derive(Debug, Default)]
struct Contents {
    bytes_read: u64,
    /// Files whose content is another, or can't be read.
    wrong: Vec<(Name, &'static str)>,
    /// Checksums of files that had none.
    learned: Vec<(Name, Digest)>,
}

/// Reads every file that is there in its size.
fn read_all(snapshot: &Snapshot, found: &[Found], held: &HashMap<Name, Held>, meter: &Meter) -> Contents {
    let next = AtomicUsize::new(0);
    let contents = Mutex::new(Contents::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(found) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if meter.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let known = held.get(&found.name);
                    if found.size.is_none() || known.is_some_and(|known| found.size != Some(known.size)) {
                        continue;
                    }
                    let read = tree::digest(&found.name.below(&snapshot.tree));
                    meter.bytes.fetch_add(found.size.unwrap_or_default(), Ordering::Relaxed);
                    let mut contents = contents.lock().unwrap_or_else(PoisonError::into_inner);
                    match (read, known.and_then(|known| known.digest)) {
                        (Ok(read), Some(digest)) if read != digest => {
                            contents.wrong.push((found.name.clone(), "is not what it was when it came"));
                        }
                        (Ok(_), Some(_)) => {}
                        (Ok(read), None) => contents.learned.push((found.name.clone(), read)),
                        (Err(error), _) => {
                            tracing::warn!(%error, "a file of a backup can't be read");
                            contents.wrong.push((found.name.clone(), "can't be read"));
                        }
                    }
                }
            });
        }
    });
    let mut contents = contents.into_inner().unwrap_or_else(PoisonError::into_inner);
    contents.bytes_read = meter.bytes.load(Ordering::Relaxed);
    contents.wrong.sort();
    contents
}

/// Finds out what the damaged files are to the person.
fn name_damages(opened: &Result<Opened, EncryptionError>, damages: &mut Damages) {
    let Ok(opened) = opened else { return };
    let named = opened.manifest.for_each_file(|file| {
        let unnamed = |damage: &&mut Damage| damage.domain.is_empty() && damage.path.ends_with(file.file_id);
        for damage in damages.first.iter_mut().filter(unnamed) {
            file.domain.clone_into(&mut damage.domain);
            file.relative_path.clone_into(&mut damage.relative_path);
        }
    });
    if let Err(error) = named {
        tracing::debug!(%error, "damaged files have no other name than that on disk");
    }
}

/// One content is not what it was: every snapshot that holds it is damaged.
///
/// # Errors
/// When the ledger can't be written.
pub fn note_damage(ledger: &mut Ledger, version: &Version) -> Result<(), VaultError> {
    for number in ledger.holders(version)? {
        ledger.note_check(number, None, true)?;
    }
    Ok(())
}
