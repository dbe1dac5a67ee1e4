//! What a run received against what its manifest lists, with everything that the run and the ledger know.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    fs, io,
};

use super::{Transaction, VaultError};
use crate::{
    transfer::digests::{Digests, Origin},
    vault::{
        base::BaseRows,
        checksum,
        encryption::Password,
        evidence::Evidence,
        inventory::{self, Inventory},
        ledger::{Held, LedgerError, NotRead},
        name::Name,
        proof::Rule,
        recovery::failed,
        scratch::Scratch,
        verify::{self, Finding, Findings, Opened, Verified, VerifyError},
    },
};

impl Transaction {
    /// Asks the [rule](crate::vault::proof) about every file of the new tree. Files that are no part of it are taken out; a
    /// clone is all that they are. Returns also what the new tree shares with the backup that it builds on.
    ///
    /// # Errors
    /// When the tree is no backup, or the disk or the ledger can't be read.
    pub fn verify(
        &mut self,
        passwords: &[Password],
        digests: &mut Digests,
        unreadable: &HashMap<Name, bool>,
    ) -> Result<Result<(Verified, Inventory), VerifyError>, VaultError> {
        self.put_back_unreadable(digests, unreadable)?;
        let held = self.ledger.held(i64::MAX)?;
        let mut names: HashSet<Name> = unreadable.keys().cloned().collect();
        if let Some(newest) = self.ledger.newest()?.filter(|_| self.base_is_known) {
            // What could not be read then, and did not come now, is still not known.
            names.extend(self.ledger.unreadable(newest.number)?);
        }
        let verified = self.verify_with(passwords, digests, &names, held);
        Ok(verified.map(|(verified, mut inventory)| {
            // The phone may leave out of its list what it can't read; it is missed all the same.
            let listed: HashSet<&Name> = verified.unreadable.iter().map(|file| &file.name).collect();
            let others = unreadable.iter().filter(|(name, _)| !listed.contains(name));
            let others = others.map(|(name, harmless)| NotRead { name: name.clone(), harmless: *harmless, size: None });
            inventory.unreadable = others.chain(verified.unreadable.iter().cloned()).collect();
            (verified, inventory)
        }))
    }

    /// On a disk that can't clone there is no history in which the last good content of a file could stay: there it takes
    /// the place of what came in its stead.
    fn put_back_unreadable(&self, digests: &mut Digests, unreadable: &HashMap<Name, bool>) -> Result<(), VaultError> {
        if self.aside.is_none() {
            return Ok(());
        }
        let moved = self.layout.aside().join(self.layout.udid().as_str());
        for name in unreadable.keys() {
            let (kept, path) = (name.below(&moved), name.below(&self.layout.next_tree()));
            match fs::rename(&kept, &path) {
                Ok(()) => digests.forget_file(name),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("moving", &path)(error)),
            }
        }
        Ok(())
    }

    fn verify_with(
        &self,
        passwords: &[Password],
        digests: &Digests,
        unreadable: &HashSet<Name>,
        held: HashMap<Name, Held>,
    ) -> Result<(Verified, Inventory), VerifyError> {
        let tree = self.layout.next_tree();
        let scratch = Scratch::of(&self.layout);
        let opened = Opened::new(&tree, passwords, &scratch)?;
        let builds_on = HashMap::new();
        let builds_on = if self.base_is_known { &held } else { &builds_on };
        let base = self.base_rows(passwords, &opened, &scratch);
        let evidence = Evidence {
            digests,
            unreadable,
            held: builds_on,
            base,
            layout: &self.layout,
            carried: Cell::new(0),
            failed: RefCell::default(),
        };
        let verified =
            verify::verify(&tree, &opened, |name, file| evidence.of(name, file), |name| evidence.is_part(name));
        if let Some(unreadable) = evidence.failed.take() {
            return Err(unreadable.into());
        }
        let mut verified = verified?;
        verified.full = evidence.carried.get() == 0;
        self.leave_out(&verified.strays);
        if verified.contradicted.count > 0 {
            self.compare_contradicted(&verified.contradicted_names, digests)?;
        }
        drop(evidence);
        let inventory = inventory::take(&tree, &verified.found, held, self.base_is_known, digests)?;
        verified.found = Vec::new();
        Ok((verified, inventory))
    }

    /// The rows of the backup before. Where they can't be read, every file that did not come is judged by its
    /// own form.
    fn base_rows(&self, passwords: &[Password], now: &Opened, scratch: &Scratch) -> Option<BaseRows> {
        if !self.base_is_known {
            return None;
        }
        let tree = match &self.aside {
            Some(_) => self.layout.aside().join(self.layout.udid().as_str()),
            None => self.layout.latest(),
        };
        let opened = Opened::beside(now, &tree, passwords, scratch);
        match opened.map_err(VerifyError::from).and_then(|base| Ok(BaseRows::read(&base.manifest)?)) {
            Ok(rows) => Some(rows),
            Err(error) => {
                tracing::warn!(%error, "the list of the backup before can't be read");
                None
            }
        }
    }

    /// Takes files out of the new tree that neither the phone nor Backstay knows. On a disk that can't clone the tree is
    /// the latest backup itself, and what other programs left in it is theirs.
    fn leave_out(&self, strays: &[Name]) {
        if self.aside.is_some() || strays.is_empty() {
            return;
        }
        tracing::info!(count = strays.len(), first = %strays[0], "files that are no part of the backup are left out");
        for name in strays {
            let path = name.below(&self.layout.next_tree());
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    // It takes room, and harms nothing.
                    tracing::warn!(path = %path.display(), error = %source, "it can't be removed");
                }
                _ => {}
            }
        }
    }

    /// A digest that is not that of what came may be the disk's doing: then it is damage.
    fn compare_contradicted(&self, names: &[Name], digests: &Digests) -> Result<(), VerifyError> {
        let mut damages = Findings::default();
        for name in names {
            // One that was kept so did not come.
            let Some(Origin::Received { checksums, .. }) = digests.of(name) else { continue };
            let path = name.below(&self.layout.next_tree());
            if !checksum::of_file(&path)?.is_of_same(&checksums) {
                damages.add(Finding::unnamed(path, "is not what came", Rule::Received));
            }
        }
        damages.into_result()
    }

    /// Whether files whose digests are another's are to be kept as they came: when each of them was so in a run before, too,
    /// and this is no accident. Notes them for the next run.
    ///
    /// # Errors
    /// When the ledger can't be used.
    pub fn contradicted_again(&mut self, verified: &Verified) -> Result<bool, LedgerError> {
        let before = self.ledger.contradicted()?;
        let mut now: HashSet<Name> = verified.contradicted_names.iter().cloned().collect();
        let again = now.is_subset(&before);
        if verified.contradicted.count > 0 {
            // As long as they differ from run to run, all of them are remembered.
            now.extend(before.iter().cloned());
        }
        if before != now {
            self.ledger.note_contradicted(&now)?;
        }
        Ok(again)
    }
}
