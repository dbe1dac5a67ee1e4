//! What a new snapshot shares with the one before, and the checksums of what it does not.

use std::{collections::HashMap, path::Path};

use super::{
    ledger::{Held, Sealed},
    name::Name,
    tree::{self, Found},
    verify::{Damage, Damages, VerifyError},
};
use crate::transfer::digests::{Digests, Origin};

/// A file that did not come in this run and is larger gets its checksum from the weekly check.
const DIGEST_NOW_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The difference between two snapshots.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Contents that are new.
    pub new: Vec<Sealed>,
    /// Files that are gone.
    pub gone: Vec<Name>,
}

/// Compares the tree with what the last snapshot held and with what came. Where the tree does not build on that
/// snapshot, nothing is shared.
///
/// # Errors
/// When a file is not as long as what came of it, or the disk can't be read.
pub fn take(
    tree: &Path,
    found: &[Found],
    mut held: HashMap<Name, Held>,
    builds_on_it: bool,
    digests: &Digests,
) -> Result<Inventory, VerifyError> {
    let mut inventory = Inventory::default();
    let mut damages = Damages::default();
    for Found { name, size } in found {
        // What is no plain file is none of a backup's; the check of the manifest tells when it should be one.
        let Some(size) = *size else { continue };
        let before = held.remove(name).filter(|_| builds_on_it);
        let (digest, received) = match digests.of(name) {
            Some(Origin::Received { size: came, digest }) => {
                if came != size {
                    let what = "is not as long as what came";
                    let (domain, relative_path) = (String::new(), String::new());
                    damages.add(Damage { domain, relative_path, path: name.below(tree), what });
                }
                (Some(digest), true)
            }
            None if before.is_some_and(|before| before.size == size) => continue,
            _ if size <= DIGEST_NOW_BYTES_MAX => (Some(tree::digest(&name.below(tree))?), false),
            _ => (None, false),
        };
        inventory.new.push(Sealed { name: name.clone(), size, digest, received });
    }
    inventory.gone = held.into_keys().collect();
    damages.into_result()?;
    Ok(inventory)
}
