//! The phones that have backups below a root.

use std::{collections::BTreeSet, fs, io, path::Path};

use backstay_shared::{ids::Udid, overview::EarlierPhone};
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    history,
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

/// What the phones are called that have backups here. What can't be read is not told.
pub fn names(root: &Path) -> Vec<(Udid, String)> {
    let phones = backed_up(root).unwrap_or_default().into_iter();
    phones.map(|phone| (phone.layout.udid().clone(), phone.name)).collect()
}

/// Who gets a new phone puts its backup onto it in the first days.
const NEW_FOR_DAYS: i64 = 30;

/// Since when this phone has been known here.
pub fn known_since(layout: &Layout, now: DateTime<Utc>) -> DateTime<Utc> {
    let made = fs::metadata(layout.own()).and_then(|facts| facts.created().or_else(|_| facts.modified()));
    made.map_or(now, DateTime::from).min(now)
}

/// The phone that a new one of this name seems to have replaced: called so, too, and not backed up any more since the
/// new one came. Of several the last one. What can't be read is not told.
pub fn earlier(root: &Path, udid: &Udid, name: &str, known_since: DateTime<Utc>) -> Option<EarlierPhone> {
    if name.is_empty() || Utc::now() - known_since > TimeDelta::days(NEW_FOR_DAYS) {
        return None;
    }
    let others = backed_up(root).unwrap_or_default().into_iter();
    let others = others.filter(|other| other.layout.udid() != udid && other.name == name);
    let told = others.filter_map(|other| {
        let newest = receipt::all(&other.layout).ok()?.pop()?;
        let snapshots = u64::try_from(history::all(&other.layout).ok()?.len()).unwrap_or_default();
        let udid = other.layout.udid().clone();
        Some(EarlierPhone { udid, snapshots, last_good: newest.verified_at })
    });
    told.filter(|other| other.snapshots > 0 && other.last_good < known_since).max_by_key(|other| other.last_good)
}
