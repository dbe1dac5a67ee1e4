//! Is a snapshot still what it was when it was sealed?

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use chrono::Utc;

use super::{
    checksum::{self, Checksums},
    encryption::EncryptionError,
    history::Snapshot,
    ledger::{Entry, Held, Ledger, Unproved, Version},
    manifest::{ManifestError, ManifestFile},
    name::Name,
    parts::{Parts, is_foreign},
    proof::{self, Known, Proof, RowChange, Rule},
    receipt,
    transaction::VaultError,
    tree::{self, Found},
    verify::{self, Finding, Findings, Opened, VerifyError},
};
use crate::transfer::DiskError;

/// Files are read by this many threads: enough for one core to hash while the disk brings the next.
const THREADS: usize = 2;

/// Files of other programs that are named.
const FOREIGN_NAMED_MAX: usize = 5;

/// What a check of one snapshot found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Files of the snapshot.
    pub files: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Bytes that were read and compared with their checksum.
    pub bytes_read: u64,
    /// What is not known of its files.
    pub unproved: Unproved,
    /// Files that had no checksum until this check took it.
    pub checksums_taken: u64,
    /// Files in its folders that are no part of it.
    pub foreign: u64,
    /// The first of them.
    pub foreign_names: Vec<String>,
    /// Files whose size in the list is another, which is usual.
    pub notes: u64,
    /// Files that may be incomplete, and rows of the list that can't be read.
    pub doubts: Findings,
    /// What is wrong.
    pub damages: Findings,
    /// An earlier check found damage that only a deep one finds.
    pub known_damaged: bool,
    /// Another program received it.
    pub made_elsewhere: bool,
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

/// Checks a snapshot by the [rule](proof), with its opened manifest and the ledger: every file is there and is as long as it was
/// when it came. `deep` reads each file and compares its checksums, and so finds a single flipped bit; a checksum that was
/// not known is known from then on.
///
/// # Errors
/// When the disk or the ledger can't be read; damage is no error but what was looked for.
pub fn check(
    ledger: &mut Ledger,
    snapshot: &Snapshot,
    opened: &Result<Opened, EncryptionError>,
    deep: Option<&Meter>,
) -> Result<Checked, VaultError> {
    let reading = |source| DiskError { operation: "reading", path: snapshot.tree.clone(), source };
    let before = receipt::tree_identity(&snapshot.tree).map_err(reading)?;
    let found = tree::list(&snapshot.tree)?;
    let mut checked = Checked::default();
    let entry = ledger.snapshots()?.into_iter().find(|entry| entry.id == snapshot.id);
    let mut held = entry.as_ref().map(|entry| ledger.held(entry.number)).transpose()?.unwrap_or_default();
    let unreadable = entry.as_ref().map(|entry| ledger.unreadable(entry.number)).transpose()?.unwrap_or_default();
    // An older version took them for parts of the backup.
    held.retain(|name, _| !is_foreign(name));
    let parts = Parts::of(&held);
    let mut content = match deep {
        Some(meter) => {
            // What other programs left is not read: it may be long, and its owner may be another.
            let part: Vec<&Found> = found.iter().filter(|found| parts.contains(&found.name)).collect();
            read_all(snapshot, &part, &held, meter)
        }
        None => Contents::default(),
    };
    let ledger_knows = Remembered { held: &held, unreadable: &unreadable };
    let unknown = check_manifest(snapshot, opened, &found, &ledger_knows, &mut content, &mut checked);
    match &entry {
        Some(entry) => {
            checked.made_elsewhere = entry.receipt.is_none();
            check_sizes(snapshot, &found, &held, &mut checked);
        }
        // Neither the manifest nor the ledger says what should be here.
        None if checked.manifest_unread.is_some() => {
            let why = checked.manifest_unread.clone();
            tracing::warn!(why, "nothing tells what this backup should hold");
            let path = snapshot.tree.join("Manifest.db");
            checked.damages.add(Finding::unnamed(path, "can't be read", Rule::Row));
        }
        None => checked.made_elsewhere = true,
    }
    for (name, what) in &content.wrong {
        checked.damages.add(Finding::unnamed(name.below(&snapshot.tree), what, Rule::Checksum));
    }
    name_damages(opened, &mut checked.damages);
    // A backup or a prune in the meantime makes one tree of two: such findings are none.
    if receipt::tree_identity(&snapshot.tree).map_err(reading)? != before {
        return Err(VaultError::Changed);
    }
    checked.bytes_read = content.bytes_read;
    let Some(entry) = entry else {
        checked.unproved.without_checksum = checked.files;
        checked.unproved.without_proof = checked.files;
        return Ok(checked);
    };
    checked.checksums_taken = note(ledger, &entry, &content)?;
    checked.unproved = ledger.unproved(entry.number)?;
    checked.unproved.without_checksum += unknown;
    checked.unproved.without_proof += unknown;
    if checked.manifest_unread.is_none() {
        ledger.note_findings(entry.number, checked.notes, checked.doubts.count)?;
    }
    let whole = deep.is_some_and(|meter| !meter.stop.load(Ordering::Relaxed));
    checked.known_damaged = entry.damaged && !whole;
    let damaged = checked.damages.count > 0 || checked.known_damaged;
    ledger.note_check(entry.number, whole.then(|| Utc::now().timestamp()), damaged)?;
    Ok(checked)
}

/// What was read becomes known: checksums that were not, of which the number is returned, and which other snapshots share
/// what is wrong.
fn note(ledger: &mut Ledger, entry: &Entry, content: &Contents) -> Result<u64, VaultError> {
    let (mut learned, mut taken) = (Vec::new(), 0);
    for Read { name, checksums, proof, .. } in content.read.iter().filter(|read| read.is_news) {
        if let Some(version) = ledger.version(entry.number, name)? {
            taken += u64::from(version.held.digest.is_none());
            learned.push((version, *checksums, *proof));
        }
    }
    ledger.note_read(&learned, Utc::now().timestamp())?;
    for (name, _) in &content.wrong {
        if let Some(version) = ledger.version(entry.number, name)? {
            note_damage(ledger, &version)?;
        }
    }
    Ok(taken)
}

/// Compares with the manifest; where it can't be opened, the ledger alone is compared. Returns the number of files that the
/// ledger does not know: they were missing when another program's backup was taken in.
fn check_manifest(
    snapshot: &Snapshot,
    opened: &Result<Opened, EncryptionError>,
    found: &[Found],
    ledger: &Remembered<'_>,
    content: &mut Contents,
    checked: &mut Checked,
) -> u64 {
    let tree = &snapshot.tree;
    if let Err(error) = verify::check_status(tree) {
        let path = tree.join("Status.plist");
        let what = match error {
            VerifyError::Unfinished { .. } => "does not say that the backup is finished",
            _ => "can't be read",
        };
        checked.damages.add(Finding::unnamed(path, what, Rule::Row));
    }
    let info = tree.join("Info.plist");
    if !info.symlink_metadata().is_ok_and(|facts| facts.is_file() && facts.len() > 0) {
        // Other programs restore nothing without it.
        checked.damages.add(Finding::unnamed(info, "is missing or empty", Rule::Row));
    }
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            if let Some(path) = broken_list(error) {
                checked.damages.add(Finding::unnamed(path.to_owned(), BROKEN_LIST, Rule::Row));
            }
            checked.manifest_unread = Some(error.to_string());
            return 0;
        }
    };
    let Remembered { held, .. } = *ledger;
    let read = &*content;
    let known = |name: &Name, file: &ManifestFile<'_>| known(name, file, ledger, read);
    let is_part =
        |name: &Name| held.contains_key(name) || Parts::by_form().contains(name) && matches!(name, Name::Other(_));
    let mut unknown_to_ledger = 0;
    match verify::against_manifest(tree, opened, found.to_vec(), known, is_part, &mut checked.damages) {
        Ok(verified) if verified.files == 0 => {
            let path = tree.join("Manifest.db");
            checked.damages.add(Finding::unnamed(path, "lists no file at all", Rule::Row));
        }
        Ok(verified) => {
            content.note_proofs(&verified.found, held);
            (checked.files, checked.bytes) = (verified.files, verified.bytes);
            (checked.notes, checked.doubts) = (verified.notes, verified.doubts);
            checked.foreign = verified.strays.len() as u64;
            checked.foreign_names = verified.strays.iter().take(FOREIGN_NAMED_MAX).map(Name::to_string).collect();
            let unknown = |(found, _): &&(Found, Proof)| !held.contains_key(&found.name);
            unknown_to_ledger = verified.found.iter().filter(unknown).count() as u64;
        }
        Err(error) => {
            let broken = match &error {
                VerifyError::Manifest(error) => broken_manifest(error),
                VerifyError::Encryption(error) => broken_list(error),
                _ => None,
            };
            if let Some(path) = broken {
                checked.damages.add(Finding::unnamed(path.to_owned(), BROKEN_LIST, Rule::Row));
            }
            checked.manifest_unread = Some(error.to_string());
        }
    }
    unknown_to_ledger
}

/// What is said of a list that can't be read.
const BROKEN_LIST: &str = "is damaged, so that nothing tells what the backup holds";

/// The file because of which the list can't be opened; none when it may be fine: the password is missing or wrong, there
/// is no room to decrypt it, or the disk fails.
fn broken_list(error: &EncryptionError) -> Option<&Path> {
    match error {
        EncryptionError::Unreadable { path, .. } => Some(path),
        EncryptionError::Manifest(error) => broken_manifest(error),
        EncryptionError::Disk { path, source } if source.kind() == io::ErrorKind::NotFound => Some(path),
        _ => None,
    }
}

fn broken_manifest(error: &ManifestError) -> Option<&Path> {
    match error {
        ManifestError::Database { path, .. }
        | ManifestError::Foreign { path, .. }
        | ManifestError::Unreadable { path, .. } => Some(path),
        ManifestError::Disk { .. } => None,
    }
}

/// What the ledger knows of a snapshot.
struct Remembered<'a> {
    held: &'a HashMap<Name, Held>,
    /// Files that the phone could not read.
    unreadable: &'a HashSet<Name>,
}

/// What is known of a file: what the ledger holds, and what was just read.
fn known(name: &Name, file: &ManifestFile<'_>, ledger: &Remembered<'_>, content: &Contents) -> Known {
    if ledger.unreadable.contains(name) {
        return Known::Unreadable;
    }
    let read = content.of(name).map(|read| read.checksums);
    let ledger = ledger.held.get(name).copied();
    // Reading a file now does not prove that it came so.
    let just_read = |Checksums { size, digest, sha1 }| Held { size, digest: Some(digest), sha1, proof: Proof::Missing };
    let known = match (ledger, read) {
        (Some(held), Some(read)) => Some(Held { sha1: read.sha1, ..held }),
        (None, Some(read)) if file.record.digest.is_some() => Some(just_read(read)),
        (ledger, _) => ledger,
    };
    known.map_or(Known::Nothing, |held| Known::Kept { held, row: RowChange::Nothing })
}

/// What the ledger says of names and sizes.
fn check_sizes(snapshot: &Snapshot, found: &[Found], held: &HashMap<Name, Held>, checked: &mut Checked) {
    let mut wrong: Vec<(&Name, &'static str)> = Vec::new();
    let mut payload = 0;
    for (name, held) in held {
        payload += u64::from(matches!(name, Name::Payload(_)));
        let here = found.binary_search_by(|found| found.name.cmp(name)).ok().and_then(|index| found.get(index));
        let what = match here {
            Some(Found { size: None, .. }) => Some("is no file"),
            here => proof::difference(here.and_then(|here| here.size), held.size),
        };
        wrong.extend(what.map(|what| (name, what)));
    }
    if checked.files == 0 {
        checked.files = payload;
        checked.bytes = held.values().map(|held| held.size).sum();
    }
    wrong.sort();
    for (name, what) in wrong {
        checked.damages.add(Finding::unnamed(name.below(&snapshot.tree), what, Rule::Checksum));
    }
}

/// What a reading of every file brought.
#[derive(Debug, Default)]
struct Contents {
    bytes_read: u64,
    /// Files whose content is another, or can't be read.
    wrong: Vec<(Name, &'static str)>,
    /// The others, in order of their names.
    read: Vec<Read>,
}

/// A file that was read and is as it was, as far as that is known.
#[derive(Debug)]
struct Read {
    name: Name,
    checksums: Checksums,
    /// The proof that the ledger is to note.
    proof: Proof,
    /// The ledger does not know all of this.
    is_news: bool,
}

impl Contents {
    fn of(&self, name: &Name) -> Option<&Read> {
        let index = self.read.binary_search_by(|read| read.name.cmp(name)).ok()?;
        self.read.get(index)
    }

    /// Which of the files that nothing proved so far are proved by their digests.
    fn note_proofs(&mut self, found: &[(Found, Proof)], held: &HashMap<Name, Held>) {
        let by_digest = |name: &Name| {
            let index = found.binary_search_by(|(found, _)| found.name.cmp(name)).ok()?;
            found.get(index).map(|(_, proof)| *proof).filter(|proof| *proof == Proof::Digest)
        };
        for read in &mut self.read {
            if held.get(&read.name).is_some_and(|held| held.proof == Proof::Missing)
                && let Some(proof) = by_digest(&read.name)
            {
                (read.proof, read.is_news) = (proof, true);
            }
        }
    }
}

/// Reads every file that is there in its size.
fn read_all(snapshot: &Snapshot, found: &[&Found], held: &HashMap<Name, Held>, meter: &Meter) -> Contents {
    let next = AtomicUsize::new(0);
    let contents = Mutex::new(Contents::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(found) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let goes_on = || !meter.stop.load(Ordering::Relaxed);
                    if !goes_on() {
                        return;
                    }
                    let known = held.get(&found.name);
                    if found.size.is_none() || known.is_some_and(|known| found.size != Some(known.size)) {
                        continue;
                    }
                    let read = checksum::of_file_while(&found.name.below(&snapshot.tree), goes_on);
                    meter.bytes.fetch_add(found.size.unwrap_or_default(), Ordering::Relaxed);
                    let mut contents = contents.lock().unwrap_or_else(PoisonError::into_inner);
                    let name = found.name.clone();
                    match (read, known.and_then(|known| known.digest)) {
                        (Ok(None), _) => return,
                        (Ok(Some(read)), Some(digest)) if read.digest != digest => {
                            contents.wrong.push((name, "is not what it was when it came"));
                        }
                        (Ok(Some(checksums)), _) => contents.read.push(Read {
                            name,
                            checksums,
                            proof: Proof::Missing,
                            is_news: known.is_none_or(|known| known.digest.is_none() || known.sha1.is_none()),
                        }),
                        (Err(error), _) => {
                            tracing::warn!(%error, "a file of a backup can't be read");
                            contents.wrong.push((name, "can't be read"));
                        }
                    }
                }
            });
        }
    });
    let mut contents = contents.into_inner().unwrap_or_else(PoisonError::into_inner);
    contents.bytes_read = meter.bytes.load(Ordering::Relaxed);
    contents.wrong.sort();
    contents.read.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    contents
}

/// Finds out what the damaged files are to the person.
fn name_damages(opened: &Result<Opened, EncryptionError>, damages: &mut Findings) {
    let Ok(opened) = opened else { return };
    let named = opened.manifest.for_each_file(|file| {
        let unnamed = |damage: &&mut Finding| damage.domain.is_empty() && damage.path.ends_with(file.file_id);
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
