//! Older snapshots: each a whole plain backup that shares unchanged files with its neighbours.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    layout::Layout,
    receipt::{self, Receipt},
};

/// Where the tree `old` goes that `newer` has replaced: named by the time of its own receipt, or, when another program
/// made it, by the time it was replaced. A name that is taken (the clock was set back) is never used twice.
///
/// # Errors
/// When the tree can't be read.
pub fn place_for_old(layout: &Layout, old: &Path, newer: &Receipt) -> io::Result<PathBuf> {
    let identity = receipt::tree_identity(old)?;
    let own = receipt::all(layout)?.into_iter().find(|receipt| Some(&receipt.tree) == identity.as_ref());
    let name = own.map_or_else(|| format!("before-{}", newer.stamp()), |receipt| receipt.stamp());
    let names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    let mut places = names.map(|name| layout.history().join(name));
    // An endless list has a first that is free; the fallback is for the type only.
    Ok(places.find(|place| !place.join(layout.udid().as_str()).exists()).unwrap_or_else(|| layout.history().join(name)))
}

/// The snapshots, oldest first.
///
/// # Errors
/// When the folder can't be read.
pub fn snapshots(layout: &Layout) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = match fs::read_dir(layout.history()) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    found.sort_by_key(|path| sort_key(path));
    Ok(found)
}

/// One backup that can be read: the latest or an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its time, which is also its name.
    pub id: String,
    /// The tree, in Apple's layout.
    pub tree: PathBuf,
}

/// Every whole backup of a phone, oldest first; the last one is the latest.
///
/// # Errors
/// When a folder can't be read.
pub fn all(layout: &Layout) -> io::Result<Vec<Snapshot>> {
    let mut found: Vec<Snapshot> = snapshots(layout)?
        .into_iter()
        .map(|path| Snapshot {
            id: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            tree: path.join(layout.udid().as_str()),
        })
        .collect();
    if layout.latest().join("Status.plist").exists() {
        let receipt = receipt::latest(layout)?;
        let id = receipt.map_or_else(|| "latest".to_owned(), |receipt| receipt.stamp());
        found.push(Snapshot { id, tree: layout.latest() });
    }
    Ok(found)
}

/// A tree from before Backstay is older than all others.
fn sort_key(path: &Path) -> (bool, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (!name.starts_with("before-"), name)
}

/// Removes the oldest snapshots beyond `keep_last`. Never touches the latest backup; what can't be removed now is
/// removed after a later backup.
pub fn prune(layout: &Layout, keep_last: u32) {
    let found = match snapshots(layout) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the history can't be listed");
            return;
        }
    };
    let surplus = found.len().saturating_sub(keep_last as usize);
    for path in &found[..surplus] {
        match fs::remove_dir_all(path) {
            Ok(()) => tracing::info!(path = %path.display(), "removed an old snapshot"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "an old snapshot can't be removed"),
        }
    }
}
