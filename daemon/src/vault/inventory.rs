//! What a new snapshot shares with the one before, and the checksums of what it does not.

use std::{collections::HashMap, path::Path};

use super::{
    checksum::{self, Checksums},
    ledger::{Held, NotRead, Sealed},
    name::Name,
    proof::{Proof, Rule, difference},
    tree::Found,
    verify::{Finding, Findings, VerifyError},
};
use crate::transfer::digests::{Digests, Origin};

/// A file that did not come in this run and is larger gets its checksum from the weekly check.
pub(super) const DIGEST_NOW_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The difference between two snapshots.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Contents that are new.
    pub new: Vec<Sealed>,
    /// Files that are gone.
    pub gone: Vec<Name>,
    /// Files that the phone could not read.
    pub unreadable: Vec<NotRead>,
}

/// Compares the tree with what the last snapshot held and with what came; each file with how it was proved. Where the
/// tree does not build on that snapshot, nothing is shared.
///
/// # Errors
/// When a file is not as long as what came of it, or the disk can't be read.
pub fn take(
    tree: &Path,
    found: &[(Found, Proof)],
    mut held: HashMap<Name, Held>,
    builds_on_it: bool,
    digests: &Digests,
) -> Result<Inventory, VerifyError> {
    let mut inventory = Inventory::default();
    let mut damages = Findings::default();
    for (Found { name, size }, proof) in found {
        // What is no plain file is none of a backup's; the check of the manifest tells when it should be one.
        let Some(size) = *size else { continue };
        let before = held.remove(name).filter(|_| builds_on_it);
        let (checksums, received) = match digests.of(name) {
            Some(Origin::Received { checksums, .. }) => {
                if let Some(what) = difference(Some(size), checksums.size) {
                    damages.add(Finding::unnamed(name.below(tree), what, Rule::Received));
                }
                (Some(checksums), true)
            }
            None if before.is_some_and(|before| before.size == size) => continue,
            _ if size <= DIGEST_NOW_BYTES_MAX => (Some(checksum::of_file(&name.below(tree))?), false),
            _ => (None, false),
        };
        inventory.new.push(Sealed {
            name: name.clone(),
            size,
            digest: checksums.map(|Checksums { digest, .. }| digest),
            sha1: checksums.and_then(|Checksums { sha1, .. }| sha1),
            proof: *proof,
            received,
        });
    }
    inventory.gone = held.into_keys().collect();
    damages.into_result()?;
    Ok(inventory)
}
