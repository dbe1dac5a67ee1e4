//! On a disk that can't clone: the phone works on the latest backup itself, and what it replaces is moved aside first.
//!
//! exFAT and some network drives have neither hard links nor shared blocks; a copy of 200 GB for each backup is no
//! choice there. A run that fails, or a start after a crash, puts back what was moved. There is no history on such a
//! disk.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    layout::Layout,
    ledger::Held,
    name::Name,
    parts::Parts,
    tree::{self, Unreadable},
};
use crate::host::disk;

/// Where replaced files go during one run.
#[derive(Debug, Clone)]
pub struct Aside {
    /// What paths are below, for the phone.
    base: PathBuf,
    folder: PathBuf,
}

impl Aside {
    /// That of a phone.
    pub fn of(layout: &Layout) -> Self {
        Self { base: layout.next(), folder: layout.aside() }
    }

    /// Moves a file aside before it is replaced; false when the earlier backup's own is aside already, so that this
    /// one may go.
    ///
    /// # Errors
    /// Of the file system.
    pub fn take(&self, path: &str) -> io::Result<bool> {
        let target = self.folder.join(path);
        if fs::symlink_metadata(&target).is_ok() {
            return Ok(false);
        }
        if let Some(parent) = target.parent() {
            disk::make_private(parent)?;
        }
        fs::rename(self.base.join(path), target).map(|()| true)
    }

    /// Keeps a copy of a file or folder that the phone gives another name.
    ///
    /// # Errors
    /// Of the file system.
    pub fn copy(&self, path: &str) -> io::Result<()> {
        let source = self.base.join(path);
        if !fs::symlink_metadata(&source)?.is_dir() {
            return self.copy_file(path);
        }
        let found = tree::list(&source).map_err(|unreadable| unreadable.source)?;
        found.iter().try_for_each(|found| self.copy_file(&format!("{path}/{}", found.name)))
    }

    fn copy_file(&self, path: &str) -> io::Result<()> {
        let target = self.folder.join(path);
        if fs::symlink_metadata(&target).is_ok() {
            return Ok(());
        }
        if let Some(parent) = target.parent() {
            disk::make_private(parent)?;
        }
        // Under another name first: a copy that a crash cut short must not be put back.
        let unfinished = self.folder.join("unfinished");
        fs::copy(self.base.join(path), &unfinished)?;
        fs::rename(unfinished, target)
    }

    /// Moves every file of a folder aside, before the folder is removed.
    ///
    /// # Errors
    /// Of the file system.
    pub fn take_folder(&self, path: &str) -> io::Result<()> {
        let found = tree::list(&self.base.join(path)).map_err(|unreadable| unreadable.source)?;
        found.iter().try_for_each(|found| self.take(&format!("{path}/{}", found.name)).map(|_| ()))
    }
}

/// Hands the latest backup to the phone; `afresh` without what the phone reads first, so that it sends everything.
///
/// # Errors
/// Of the file system; [`put_back`] then undoes what was done.
pub fn begin(layout: &Layout, afresh: bool) -> io::Result<()> {
    // This folder first: it tells a start after a crash what is going on.
    disk::make_private(&layout.aside())?;
    disk::sync_folder(&layout.next())?;
    fs::rename(layout.latest(), layout.next_tree())?;
    // Written by this computer rather than sent by the phone.
    let info = format!("{}/Info.plist", layout.udid());
    let aside = Aside::of(layout);
    if layout.next().join(&info).try_exists()? {
        aside.copy(&info)?;
    }
    for name in ["Status.plist", "Manifest.plist", "Manifest.db"].iter().filter(|_| afresh) {
        let path = format!("{}/{name}", layout.udid());
        if fs::symlink_metadata(layout.next().join(&path)).is_ok() {
            aside.take(&path)?;
        }
    }
    Ok(())
}

/// Undoes a run that did not end: the latest backup is again what it was. `held` is what it held, so that what the
/// phone has added goes; without it that stays, and no manifest names it. Where another program has made a backup in
/// its place meanwhile, it goes into the history under the name `id`.
///
/// # Errors
/// Of the file system; it can be called again.
pub fn put_back(layout: &Layout, held: Option<&HashMap<Name, Held>>, id: &str) -> Result<(), Unreadable> {
    let (tree, latest, aside) = (layout.next_tree(), layout.latest(), layout.aside());
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Unreadable { path, source }
    };
    let exists = |path: &Path| path.try_exists().map_err(failed(path));
    if exists(&tree)? {
        let moved = aside.join(layout.udid().as_str());
        if exists(&moved)? {
            for found in tree::list(&moved)? {
                let (source, target) = (found.name.below(&moved), found.name.below(&tree));
                if fs::symlink_metadata(&target).is_ok_and(|facts| facts.is_dir()) {
                    fs::remove_dir_all(&target).map_err(failed(&target))?;
                }
                if let Some(parent) = target.parent() {
                    disk::make_private(parent).map_err(failed(parent))?;
                }
                fs::rename(&source, &target).map_err(failed(&target))?;
            }
        }
        if let Some(held) = held {
            // What has another form than the phone's files is another program's, and stays.
            let parts = Parts::by_form();
            let came = |found: &&tree::Found| !held.contains_key(&found.name) && parts.contains(&found.name);
            for found in tree::list(&tree)?.iter().filter(came) {
                let path = found.name.below(&tree);
                fs::remove_file(&path).map_err(failed(&path))?;
            }
            remove_empty_folders(&tree).map_err(failed(&tree))?;
        }
        let home = if exists(&latest)? { layout.snapshot_tree(id) } else { latest };
        if let Some(parent) = home.parent() {
            disk::make_private(parent).map_err(failed(parent))?;
        }
        fs::rename(&tree, &home).map_err(failed(&home))?;
        tracing::warn!(home = %home.display(), "the backup was put back as it was before the last run");
    }
    fs::remove_dir_all(layout.next()).map_err(failed(&aside))
}

/// Removes the folders that the phone has made, which are those without a file, but for the phone's own 256.
fn remove_empty_folders(tree: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name().len() != 2 {
            remove_if_empty(&entry.path())?;
        }
    }
    Ok(())
}

/// True when it is gone, with everything below it.
fn remove_if_empty(folder: &Path) -> io::Result<bool> {
    let mut is_empty = true;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        is_empty &= entry.file_type()?.is_dir() && remove_if_empty(&entry.path())?;
    }
    if is_empty {
        fs::remove_dir(folder)?;
    }
    Ok(is_empty)
}
