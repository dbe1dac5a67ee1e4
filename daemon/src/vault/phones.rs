//! The phones that have backups below a root.

use std::{collections::BTreeSet, fs, io, path::Path};

use backstay_shared::ids::Udid;

use super::{
    layout::{Layout, OWN_FOLDER},
    receipt,
};

/// A phone that has a backup, or had one.
#[derive(Debug, Clone)]
pub struct BackedUp {
    /// Its name at the newest receipt; its UDID when there is none.
    pub name: String,
    /// Its places.
    pub layout: Layout,
}

/// Every phone that has a backup below this root, by name. A missing root has none.
///
/// # Errors
/// When a folder can't be read.
pub fn backed_up(root: &Path) -> io::Result<Vec<BackedUp>> {
    let mut udids = BTreeSet::new();
    // Also one whose latest backup is not in its place: a run was interrupted, or somebody removed it.
    for folder in [root.to_owned(), root.join(OWN_FOLDER)] {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let udid = entry.file_name().to_str().and_then(|name| name.parse::<Udid>().ok());
            if entry.file_type()?.is_dir() {
                udids.extend(udid);
            }
        }
    }
    let mut found = Vec::new();
    for udid in udids {
        let layout = Layout::new(root, &udid);
        let name = receipt::all(&layout)?.pop().map_or_else(|| udid.to_string(), |receipt| receipt.phone_name);
        found.push(BackedUp { name, layout });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
