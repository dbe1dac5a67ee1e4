//! What a run knows of the files of the new backup: what came, what was carried over from the backup before, and how
//! its rows changed meanwhile.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
};

use super::{
    base::BaseRows,
    checksum::Checksums,
    inventory::DIGEST_NOW_BYTES_MAX,
    layout::Layout,
    ledger::Held,
    manifest::ManifestFile,
    name::Name,
    parts::{Parts, is_foreign},
    proof::{Known, Proof, RowChange, Sha1},
    tree::Unreadable,
};
use crate::transfer::digests::{Digests, Origin};

/// All of it.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What came.
    pub digests: &'a Digests,
    /// Where files would be that the phone could not read.
    pub unreadable: &'a HashSet<Name>,
    /// What the backup before held; empty when the new one does not build on it.
    pub held: &'a HashMap<Name, Held>,
    /// The rows of the backup before; missing when there is no such backup, or its list can't be read.
    pub base: Option<BaseRows>,
    /// The places of the phone.
    pub layout: &'a Layout,
    /// Listed files that are as the backup before has them.
    pub carried: Cell<u64>,
    /// The first file that the disk did not give back.
    pub failed: RefCell<Option<Unreadable>>,
}

impl Evidence<'_> {
    /// What is known of one file.
    pub fn of(&self, name: &Name, file: &ManifestFile<'_>) -> Known {
        match self.digests.of(name) {
            // A part of it, or nothing, came in its place.
            Some(Origin::Received { whole: false, .. }) if self.unreadable.contains(name) => return Known::Unreadable,
            Some(Origin::Received { checksums, whole }) => {
                let Checksums { size, sha1, .. } = checksums;
                // New bytes came for what an earlier try has put into its place, and they are gone.
                let whole = whole && !self.digests.was_lost(name);
                let since = self.digests.came_earlier(name);
                // Of a large file only where the row has one to compare with.
                let sha1 = sha1.or_else(|| file.record.digest.and_then(|_| self.sha1_of(name)));
                return Known::Came { size, sha1, whole, since };
            }
            Some(Origin::Derived) => return self.read_now(name, file),
            None if self.unreadable.contains(name) => return Known::Unreadable,
            None => {}
        }
        let Some(held) = self.held.get(name).copied() else { return self.read_now(name, file) };
        let row = match self.base.as_ref().map(|base| base.change(file)) {
            Some(RowChange::Facts) if self.digests.was_lost(name) => RowChange::FactsAndLost,
            Some(change) => change,
            None => RowChange::Unknown,
        };
        self.carried.set(self.carried.get() + 1);
        Known::Kept { held, row }
    }

    /// The SHA-1 of what is stored of a file that came. An error of the disk ends the check, rather than speak for the file.
    fn sha1_of(&self, name: &Name) -> Option<Sha1> {
        match super::checksum::of_file(&name.below(&self.layout.next_tree())) {
            Ok(read) => read.sha1,
            Err(unreadable) => {
                self.failed.borrow_mut().get_or_insert(unreadable);
                None
            }
        }
    }

    /// A file that came in an earlier try, or that the phone made of another one: only the disk knows what is in it. A
    /// long one waits for the weekly check.
    fn read_now(&self, name: &Name, file: &ManifestFile<'_>) -> Known {
        let path = name.below(&self.layout.next_tree());
        let is_short =
            path.symlink_metadata().is_ok_and(|facts| facts.is_file() && facts.len() <= DIGEST_NOW_BYTES_MAX);
        if file.record.digest.is_none() || !is_short {
            return Known::Nothing;
        }
        match super::checksum::of_file(&path) {
            Ok(Checksums { size, digest, sha1 }) => {
                let held = Held { size, digest: Some(digest), sha1, proof: Proof::Missing };
                Known::Kept { held, row: RowChange::Unknown }
            }
            // The check that reads it next reports the error.
            Err(_) => Known::Nothing,
        }
    }

    /// True for a file that belongs to the backup though no row names it: it came in this run, or it is one of those
    /// beside the manifest.
    pub fn is_part(&self, name: &Name) -> bool {
        match name {
            Name::Payload(_) | Name::Staged(_) => {
                let came = matches!(self.digests.of(name), Some(Origin::Received { .. }));
                came && self.digests.came_earlier(name).is_none()
            }
            Name::Other(_) => {
                let known = self.held.contains_key(name) || self.digests.of(name).is_some();
                Parts::by_form().contains(name) || known && !is_foreign(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{transfer::digests::Kept, vault::manifest::Record};

    #[test]
    fn what_came_in_an_earlier_try_is_known_with_its_time() {
        const ID: &str = "ab0d7e5fb2ce288813306e4d4636395e047a3d28";
        let name = Name::of_file_id(ID).unwrap();
        let checksums = Checksums { size: 1, digest: [0; 32], sha1: Some([0; 20]) };
        let mut digests = Digests::default();
        digests.keep(Kept::File(name.clone(), Origin::Received { checksums, whole: true }, Some(1000)));
        let evidence = Evidence {
            digests: &digests,
            unreadable: &HashSet::new(),
            held: &HashMap::new(),
            base: None,
            layout: &Layout::new("/nowhere".as_ref(), &"00008120-001A2D3E0C40201E".parse().unwrap()),
            carried: Cell::new(0),
            failed: RefCell::default(),
        };
        let file = ManifestFile { file_id: ID, domain: "", relative_path: "", record: Record::default() };
        assert!(matches!(evidence.of(&name, &file), Known::Came { since: Some(1000), .. }));
    }
}
