//! Older snapshots: each a whole plain backup that shares unchanged files with its neighbours.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    layout::Layout,
    receipt::{self, Receipt},
};

/// Where the tree goes that `newer` has replaced: named by the time of its own receipt, or, when another program made
/// it, by the time it was replaced.
pub fn place_for_old(layout: &Layout, newer: &Receipt) -> PathBuf {
    let stamps = receipt_stamps(layout).unwrap_or_default();
    let stamp = stamps.into_iter().rfind(|stamp| *stamp < newer.stamp());
    let name = stamp.unwrap_or_else(|| format!("before-{}", newer.stamp()));
    layout.history().join(name)
}

fn receipt_stamps(layout: &Layout) -> io::Result<Vec<String>> {
    let mut stamps = Vec::new();
    for entry in fs::read_dir(layout.receipts())? {
        let path = entry?.path();
        let Some(stamp) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if matches!(receipt::read(&path), Ok(Some(_))) {
            stamps.push(stamp.to_owned());
        }
    }
    stamps.sort();
    Ok(stamps)
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
