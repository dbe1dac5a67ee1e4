//! At every start: what an earlier run left behind is finished or undone, and the ledger brought in line with the disk.

use std::{collections::HashMap, fs, io, path::Path};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    aside, history,
    layout::Layout,
    ledger::{Entry, Held, Ledger, LedgerError, NewSnapshot, Sealed},
    name::Name,
    parts::Parts,
    proof::Proof,
    property_list,
    receipt::{self, Receipt},
    transaction::VaultError,
    tree,
    verify::check_status,
};
use crate::{
    host::disk,
    transfer::{DiskError, value::Value},
};

pub(super) fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> VaultError + 'a {
    move |source| DiskError { operation, path: path.to_owned(), source }.into()
}

/// What a start found.
#[derive(Debug)]
pub struct Recovered {
    /// The ledger, in line with the disk.
    pub ledger: Ledger,
    /// The ledger was lost or damaged and had to be made anew from what is on disk.
    pub renewed: bool,
}

/// Finishes or undoes what an earlier run left. The caller holds the phone's lock. A ledger that proves damaged is put out
/// of use, and made again from what is on disk.
///
/// # Errors
/// Of the file system.
pub fn recover(layout: &Layout) -> Result<Recovered, VaultError> {
    match recover_once(layout) {
        Err(VaultError::Ledger(LedgerError::Damaged { path, why })) => {
            tracing::error!(path = %path.display(), why, "the ledger is damaged; a new one is begun");
            Ledger::set_aside(layout)?;
            Ok(Recovered { renewed: true, ..recover_once(layout)? })
        }
        recovered => recovered,
    }
}

fn recover_once(layout: &Layout) -> Result<Recovered, VaultError> {
    // What only takes room goes first: a full disk must not keep the rest from being done.
    history::clear_removed(layout);
    remove_all(&layout.restore())?;
    // A power cut leaves some files without content.
    let is_empty = layout.ledger().symlink_metadata().is_ok_and(|facts| facts.len() == 0);
    let is_lost = (is_empty || !exists(&layout.ledger())?) && exists(&layout.receipts())?;
    let (mut ledger, damaged) = Ledger::open_or_renew(layout)?;
    let entries = ledger.snapshots()?;
    let finished = finish_commit(layout, &entries)?;
    if !finished && exists(&layout.aside())? {
        undo_aside(layout, &ledger, &entries)?;
    } else if !finished {
        let identity = base_identity(layout)?;
        // Of use to the phone when it goes on; what is whole of anything else is unknown.
        if !ledger.has_interrupted(identity.as_deref())? {
            remove_all(&layout.next())?;
        }
    }
    reconcile(layout, &mut ledger)?;
    // What of it is read later is looked at now, while it can be made again.
    if let Some(newest) = ledger.newest()? {
        ledger.held(newest.number)?;
    }
    Ok(Recovered { ledger, renewed: damaged || is_lost })
}

/// The latest backup as one that the next can build on, by its identity.
pub(super) fn base_identity(layout: &Layout) -> Result<Option<String>, VaultError> {
    let latest = layout.latest();
    if !exists(&latest.join("Manifest.db"))? && !exists(&latest.join("Status.plist"))? {
        return Ok(None);
    }
    receipt::tree_identity(&latest).map_err(failed("reading", &latest))
}

fn exists(path: &Path) -> Result<bool, VaultError> {
    path.try_exists().map_err(failed("reading", path))
}

fn remove_all(folder: &Path) -> Result<(), VaultError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", folder)(error)),
        _ => Ok(()),
    }
}

/// Puts back what a run on a disk that can't clone has changed. Which snapshot it was tells its `Info.plist`, of which
/// a copy was kept before anything else.
fn undo_aside(layout: &Layout, ledger: &Ledger, entries: &[Entry]) -> Result<(), VaultError> {
    let kept = layout.aside().join(layout.udid().as_str());
    let before = match receipt::tree_identity(&kept).map_err(failed("reading", &kept))? {
        Some(identity) => Some(identity),
        None => receipt::tree_identity(&layout.next_tree()).map_err(failed("reading", &kept))?,
    };
    let entry = entries.iter().find(|entry| Some(&entry.tree) == before.as_ref());
    let held = entry.map(|entry| ledger.held(entry.number)).transpose()?;
    let id = entry.map_or_else(|| history::free_id(layout, entries, Utc::now()), |entry| entry.id.clone());
    Ok(aside::put_back(layout, held.as_ref(), &id)?)
}

/// Finishes a commit that was interrupted at any point after its receipt; true when there was one to finish.
///
/// # Errors
/// Of the file system.
pub(super) fn finish_commit(layout: &Layout, ledger: &[Entry]) -> Result<bool, VaultError> {
    let path = layout.next_receipt();
    let receipt = match receipt::read(&path) {
        Ok(Some(receipt)) => receipt,
        Ok(None) => return Ok(false),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            tracing::error!(path = %path.display(), %error, "a receipt is none; it is forgotten");
            fs::remove_file(&path).map_err(failed("removing", &path))?;
            return Ok(false);
        }
        Err(error) => return Err(failed("reading", &path)(error)),
    };
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
    file_away(layout, ledger, &receipt)?;
    tracing::info!(udid = %layout.udid(), files = receipt.files, "the new backup is in place");
    Ok(true)
}

/// Puts the new tree in the place of the old one.
fn swap(next: &Path, latest: &Path) -> io::Result<()> {
    if !latest.exists() {
        // A first backup, a disk that can't clone, or a swap without the atomic step that had moved the old tree
        // aside and stopped there.
        return fs::rename(next, latest);
    }
    match disk::exchange(next, latest) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let old = next.with_file_name("old");
            fs::rename(latest, &old)?;
            fs::rename(next, latest)?;
            fs::rename(&old, next)
        }
        done => done,
    }
}

/// The old tree goes into history, the receipt to the others.
fn file_away(layout: &Layout, ledger: &[Entry], receipt: &Receipt) -> Result<(), VaultError> {
    let old = [layout.next_tree(), layout.next().join("old")].into_iter().find(|tree| tree.exists());
    if let Some(old) = old {
        let id = history::id_of_old(layout, ledger, &old, receipt).map_err(failed("reading", &old))?;
        let kept = layout.history().join(&id);
        disk::make_private(&kept).map_err(failed("creating", &kept))?;
        fs::rename(&old, layout.snapshot_tree(&id)).map_err(failed("moving", &old))?;
        disk::sync_folder(&kept).map_err(failed("syncing", &kept))?;
    }
    remove_all(&layout.aside())?;
    let receipts = layout.receipts();
    disk::make_private(&receipts).map_err(failed("creating", &receipts))?;
    let target = receipts.join(format!("{}.json", receipt.id));
    fs::rename(layout.next_receipt(), &target).map_err(failed("moving", &target))?;
    disk::sync_folder(&receipts).map_err(failed("syncing", &receipts))?;
    // Nothing of the run is left in it; the commit is done whether or not it goes.
    drop(fs::remove_dir(layout.next()));
    Ok(())
}

/// Another program's backup counts as it is found; one of ours once its receipt is there.
fn is_committed(layout: &Layout, entry: &Entry) -> bool {
    entry.receipt.is_none() || layout.receipts().join(format!("{}.json", entry.id)).exists()
}

/// Brings the ledger in line with the trees that are there.
fn reconcile(layout: &Layout, ledger: &mut Ledger) -> Result<(), VaultError> {
    let latest = layout.latest();
    let mut identity = receipt::tree_identity(&latest).map_err(failed("reading", &latest))?;
    if let Some(newest) = ledger.newest()?
        && Some(&newest.tree) != identity.as_ref()
        && is_committed(layout, &newest)
        && is_ours_without_its_identity(&latest, ledger, &newest)?
    {
        tracing::error!(tree = %latest.display(), "Info.plist of the latest backup is not what it was");
        ledger.note_check(newest.number, None, true)?;
        identity = Some(newest.tree);
    }
    if let Some(newest) = ledger.newest()?
        && Some(&newest.tree) != identity.as_ref()
        && !is_committed(layout, &newest)
    {
        // Written before a receipt that never came.
        ledger.undo(newest.number)?;
    }
    let mut entries = ledger.snapshots()?;
    let receipts = receipt::all(layout).map_err(failed("reading", &layout.receipts()))?;
    let older = history::older(layout).map_err(failed("reading", &layout.history()))?;
    let is_strange = |id: &String| entries.iter().all(|entry| entry.id != *id);
    if older.iter().any(is_strange) && !ledger.knows_checksums()? {
        // Made anew from the disk, and interrupted at that.
        ledger.clear()?;
        entries.clear();
    }
    if entries.is_empty() {
        let mut before = None;
        for id in older {
            let tree = layout.snapshot_tree(&id);
            if let Some(identity) = receipt::tree_identity(&tree).map_err(failed("reading", &tree))? {
                let receipt = receipts.iter().find(|receipt| receipt.tree == identity);
                adopt(ledger, &tree, &id, &identity, receipt, before.as_deref())?;
                before = Some(tree);
            }
        }
        if let Some(identity) = &identity {
            let id = id_of_latest(layout, ledger, &receipts, identity)?;
            let receipt = receipts.iter().find(|receipt| receipt.tree == *identity);
            let number = adopt(ledger, &latest, &id, identity, receipt, before.as_deref())?;
            if check_status(&latest).is_err() {
                // A backup that another program began and did not finish.
                ledger.note_check(number, None, true)?;
            }
        }
    } else if let Some(identity) = &identity
        && ledger.newest()?.is_none_or(|newest| newest.tree != *identity)
        && check_status(&latest).is_ok()
    {
        // Another program has made a backup in the place of ours, or a person has put an older one there.
        let id = id_of_latest(layout, ledger, &receipts, identity)?;
        adopt(ledger, &latest, &id, identity, None, None)?;
    }
    let newest = ledger.newest()?.map(|newest| newest.number);
    for entry in &entries {
        let is_latest = Some(entry.number) == newest && identity.as_ref() == Some(&entry.tree);
        if !is_latest && !exists(&layout.snapshot_tree(&entry.id))? {
            tracing::info!(id = entry.id, "a snapshot is gone from the disk");
            if let Err(error) = ledger.forget(entry.number) {
                tracing::warn!(%error, "it is forgotten at a later start");
            }
        }
    }
    Ok(())
}

/// A tree whose `Info.plist` is damaged or gone is still the one that the ledger knows, when the list that the phone
/// writes anew for each backup is the same. Another program's backup has another list.
fn is_ours_without_its_identity(latest: &Path, ledger: &Ledger, newest: &Entry) -> Result<bool, VaultError> {
    let name = Name::new("Manifest.plist");
    if !exists(&latest.join("Info.plist"))? {
        // No program leaves a backup without it.
        return exists(latest);
    }
    let known = ledger.version(newest.number, &name)?.and_then(|version| version.held.digest);
    let path = name.below(latest);
    Ok(known.is_some() && path.exists() && Some(tree::digest(&path)?) == known)
}

fn id_of_latest(layout: &Layout, ledger: &Ledger, receipts: &[Receipt], identity: &str) -> Result<String, VaultError> {
    let entries = ledger.snapshots()?;
    let own = receipts.iter().find(|receipt| receipt.tree == identity);
    if let Some(receipt) = own.filter(|receipt| entries.iter().all(|entry| entry.id != receipt.id)) {
        return Ok(receipt.id.clone());
    }
    let made = made_at(&layout.latest()).map_or_else(|| written_at(&layout.latest()), Ok)?;
    Ok(history::free_id(layout, &entries, made))
}

/// When another program's backup was made, by the phone's clock or the other program's: a copy of it is younger.
fn made_at(tree: &Path) -> Option<DateTime<Utc>> {
    // Before iPhones there was nothing to back up; a time to come is a clock's mistake.
    let first = DateTime::from_timestamp(1_167_609_600, 0)?;
    let last = Utc::now() + TimeDelta::days(1);
    let told = [("Status.plist", "Date"), ("Manifest.plist", "Date"), ("Info.plist", "Last Backup Date")];
    told.into_iter().find_map(|(file, key)| {
        let list = property_list::read(&tree.join(file)).ok()?;
        list.get(key).and_then(Value::date).filter(|date| (first..last).contains(date))
    })
}

/// When its `Info.plist` was written, which every program writes for each backup.
fn written_at(tree: &Path) -> Result<DateTime<Utc>, VaultError> {
    let info = tree.join("Info.plist");
    let modified = fs::metadata(&info).and_then(|facts| facts.modified()).map_err(failed("reading", &info))?;
    Ok(modified.into())
}

/// Takes a tree that is there into the ledger, with no checksums: these are not known from when its files came.
fn adopt(
    ledger: &mut Ledger,
    tree: &Path,
    id: &str,
    identity: &str,
    receipt: Option<&Receipt>,
    before: Option<&Path>,
) -> Result<i64, VaultError> {
    tracing::info!(tree = %tree.display(), "taking a backup into the ledger as it is found");
    // Contents that last to the newest snapshot, whether or not that is still there.
    let mut open: HashMap<Name, Held> = ledger.held(i64::MAX)?;
    let (mut files, mut bytes) = (0, 0);
    let mut new = Vec::new();
    let parts = Parts::by_form();
    for found in tree::list(tree)? {
        let Some(size) = found.size.filter(|_| parts.contains(&found.name)) else { continue };
        if matches!(found.name, Name::Payload(_)) {
            files += 1;
            bytes += size;
        }
        let is_shared = before.is_some_and(|before| is_same_file(&found.name.below(before), &found.name.below(tree)));
        if is_shared && open.remove(&found.name).is_some() {
            continue;
        }
        open.remove(&found.name);
        let (digest, sha1, proof) = (None, None, Proof::Missing);
        new.push(Sealed { name: found.name, size, digest, sha1, proof, received: false });
    }
    let gone = open.into_keys().collect();
    let unreadable = Vec::new();
    Ok(ledger.seal(NewSnapshot { id, tree: identity, files, bytes, receipt, new, gone, unreadable })?)
}

/// Two names of one file on disk, as snapshots that share it have.
#[cfg(unix)]
fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let facts = |path: &Path| fs::symlink_metadata(path).ok().map(|facts| (facts.dev(), facts.ino()));
    facts(one).is_some_and(|one| facts(other) == Some(one))
}

/// Two names of one file on disk; not told by this system without opening both.
#[cfg(not(unix))]
fn is_same_file(_one: &Path, _other: &Path) -> bool {
    false
}
