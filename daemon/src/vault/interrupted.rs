//! What an interrupted run received, kept for the next one: a phone that finds it goes on there and sends it no second
//! time (novkostya/quince-devlog, tried with iPhone and iPad).
//!
//! The ledger tells what came whole. A tree that it does not fit is of no use: which of its files are whole is
//! unknown then.

use std::{collections::HashMap, fs, io};

use super::{
    layout::Layout,
    ledger::{Ledger, LedgerError},
    name::Name,
    recovery::failed,
    transaction::VaultError,
    tree::{self, Found},
};
use crate::{
    host::disk,
    transfer::digests::{Digests, Origin},
};

/// What there is to go on with.
#[derive(Debug)]
pub struct Interrupted {
    /// The run began from nothing, though there was a backup.
    pub afresh: bool,
    /// The phone's `DeviceKey`, which it has until it is erased.
    pub device_key: Option<String>,
    /// When the run began, in seconds since 1970: what changed on the phone later is not in what came.
    pub began: i64,
    /// What came.
    pub digests: Digests,
    /// What the phone could not read, and whether it is harmless; a stand-in is in its place.
    pub unreadable: HashMap<Name, bool>,
}

/// Keeps what came of a run on the backup `base`.
///
/// # Errors
/// Of the file system, or when the ledger can't be written; the tree is then of no use.
pub fn keep(layout: &Layout, ledger: &mut Ledger, base: Option<&str>, run: &Interrupted) -> Result<(), VaultError> {
    // The files first: after a power cut the ledger would speak of files that are empty.
    disk::sync_tree(&layout.next()).map_err(failed("syncing", &layout.next()))?;
    Ok(ledger.note_interrupted(base, run)?)
}

/// What an earlier run on the backup `base` left for the next one, if it is as it was left. From now on the tree changes,
/// so that nothing is known of it any more.
///
/// # Errors
/// When the ledger can't be used.
pub fn take(layout: &Layout, ledger: &mut Ledger, base: Option<&str>) -> Result<Option<Interrupted>, VaultError> {
    let interrupted = match ledger.take_interrupted(base) {
        Ok(Some(interrupted)) => interrupted,
        Ok(None) => return Ok(None),
        Err(LedgerError::Damaged { why, .. }) => {
            tracing::warn!(why, "what the ledger says of an interrupted run can't be read");
            ledger.forget_interrupted()?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    // A phone writes through what lies there: nothing but plain files and folders.
    let tree = layout.next_tree();
    if !fs::symlink_metadata(&tree).is_ok_and(|facts| facts.is_dir()) {
        return Ok(None);
    }
    match tree::list(&tree).map(|found| first_difference(layout, &found, &interrupted.digests)) {
        Ok(None) => Ok(Some(interrupted)),
        Ok(Some(name)) => {
            tracing::warn!(%name, "what an interrupted run left has changed and is of no use");
            Ok(None)
        }
        Err(unreadable) if unreadable.source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(unreadable) => Err(unreadable.into()),
    }
}

/// Each file that came must be there as long as it came, and no other one may wait to be put into place.
fn first_difference(layout: &Layout, found: &[Found], digests: &Digests) -> Option<Name> {
    let sizes: HashMap<&Name, Option<u64>> = found.iter().map(|found| (&found.name, found.size)).collect();
    let is_as_it_came = |name: &Name, origin: &Origin| {
        let size = sizes.get(name).copied().flatten();
        match origin {
            Origin::Received { checksums, .. } => size == Some(checksums.size),
            // A folder that was moved as a whole is one, too.
            Origin::Derived => size.is_some() || is_folder(layout, name),
        }
    };
    let strange = found.iter().find(|found| found.size.is_none()).map(|found| &found.name);
    let changed = digests.touched().find(|(name, origin)| !is_as_it_came(name, origin)).map(|(name, _)| name);
    let stranger = |found: &&Found| matches!(found.name, Name::Staged(_)) && digests.of(&found.name).is_none();
    strange.or(changed).or_else(|| found.iter().find(stranger).map(|found| &found.name)).cloned()
}

fn is_folder(layout: &Layout, name: &Name) -> bool {
    let Name::Other(path) = name else { return false };
    let is_below = !path.split('/').any(|part| matches!(part, "" | "." | ".."));
    is_below && fs::symlink_metadata(name.below(&layout.next_tree())).is_ok_and(|facts| facts.is_dir())
}
