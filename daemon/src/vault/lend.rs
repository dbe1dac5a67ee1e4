//! A snapshot for a phone to restore from: a clone of it, since a phone may ask for changes in what it reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    clone,
    layout::Layout,
    ledger::Ledger,
    parts::Parts,
    receipt, recovery,
    transaction::{self, VaultError},
};
use crate::{
    host::{disk, lock::LockFile},
    transfer::DiskError,
};

/// The backups of one phone, held still: no backup of it is made while this lives.
#[derive(Debug)]
pub struct Held {
    layout: Layout,
    _lock: LockFile,
}

impl Held {
    /// Takes the lock, finishes a commit that was interrupted, and removes what a restore left that did not end.
    ///
    /// # Errors
    /// When another Backstay has the lock, or of the file system.
    pub fn take(layout: &Layout) -> Result<Self, VaultError> {
        let lock = transaction::lock(layout)?;
        recovery::recover(layout)?;
        let held = Self { layout: layout.clone(), _lock: lock };
        held.remove_loan()?;
        Ok(held)
    }

    /// Clones a tree of this phone; the clone goes when the loan is dropped.
    ///
    /// # Errors
    /// Of the file system.
    pub fn lend(&self, tree: &Path) -> Result<Loan<'_>, VaultError> {
        let (folder, clone) = (self.layout.restore(), self.layout.restore_tree());
        let failed = |operation, path: &Path, source| DiskError { operation, path: path.to_owned(), source };
        // Made first, so that whatever happens from here on is cleared away.
        let loan = Loan { held: self };
        disk::make_private(&folder).map_err(|error| failed("creating", &folder, error))?;
        let files =
            clone::clone_tree(tree, &clone, Some(&self.parts(tree))).map_err(|error| failed("cloning", tree, error))?;
        tracing::debug!(files, "cloned the snapshot");
        Ok(loan)
    }

    /// What the tree is made of; by form alone where the ledger does not know it.
    fn parts(&self, tree: &Path) -> Parts {
        let known = || {
            let identity = receipt::tree_identity(tree).ok().flatten()?;
            let ledger = Ledger::open(&self.layout).ok()?;
            let entry = ledger.snapshots().ok()?.into_iter().rev().find(|entry| entry.tree == identity)?;
            ledger.held(entry.number).ok().map(|held| Parts::of(&held))
        };
        known().unwrap_or_else(Parts::by_form)
    }

    fn remove_loan(&self) -> Result<(), VaultError> {
        let folder = self.layout.restore();
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(DiskError { operation: "removing", path: folder, source }.into())
            }
            _ => Ok(()),
        }
    }
}

/// The clone.
#[derive(Debug)]
pub struct Loan<'a> {
    held: &'a Held,
}

impl Loan<'_> {
    /// The folder that holds the clone's folder.
    pub fn base(&self) -> PathBuf {
        self.held.layout.restore()
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.held.remove_loan() {
            tracing::warn!(%error, "the clone of the snapshot stays until the next restore");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loan_goes_and_what_a_crash_left_goes_too() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path(), &"00008120-001A2D3E0C40201E".parse().unwrap());
        fs::create_dir_all(layout.latest().join("ab")).unwrap();
        let file = format!("ab/{}", "ab".repeat(20));
        fs::write(layout.latest().join(&file), "content").unwrap();
        fs::create_dir_all(layout.restore_tree().join("left behind")).unwrap();

        let held = Held::take(&layout).unwrap();
        assert!(!layout.restore().exists());
        assert!(matches!(Held::take(&layout), Err(VaultError::Busy { .. })));
        let loan = held.lend(&layout.latest()).unwrap();
        fs::remove_file(layout.restore_tree().join(&file)).unwrap();
        drop(loan);
        assert!(!layout.restore().exists());
        assert_eq!(fs::read_to_string(layout.latest().join(&file)).unwrap(), "content");
    }
}
