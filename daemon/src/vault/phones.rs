//! The phones that have backups below a root.

use std::{fs, io, path::Path};

use backstay_shared::ids::Udid;

use super::{layout::Layout, receipt};

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
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(udid) = entry.file_name().to_str().and_then(|name| name.parse::<Udid>().ok()) else { continue };
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let layout = Layout::new(root, &udid);
        let name = receipt::all(&layout)?.pop().map_or_else(|| udid.to_string(), |receipt| receipt.phone_name);
        found.push(BackedUp { name, layout });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
