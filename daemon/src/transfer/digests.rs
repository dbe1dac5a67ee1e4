//! The checksum of each file as it came, followed through the phone's moves.

use std::collections::HashMap;

use super::place::Place;
use crate::vault::{ledger::Digest, name::Name};

/// What is known of a file that the phone has touched in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It came in this run, or the computer wrote it.
    Received {
        /// Bytes.
        size: u64,
        /// BLAKE3, taken meanwhile.
        digest: Digest,
    },
    /// It was made from another of an earlier run: only the disk knows what is in it.
    Derived,
}

/// Files that the phone has touched, by where they are now. What is not here is as it was before the run.
#[derive(Debug, Default)]
pub struct Digests {
    touched: HashMap<Name, Origin>,
    /// Folders of earlier runs that were moved or copied as a whole.
    derived_folders: Vec<String>,
}

/// The name below the phone's folder.
pub fn name_of(place: &Place) -> Name {
    Name::new(below_tree(place))
}

fn below_tree(place: &Place) -> &str {
    place.as_str().split_once('/').map_or("", |(_, below)| below)
}

impl Digests {
    /// A file came.
    pub fn received(&mut self, name: Name, size: u64, digest: Digest) {
        self.touched.insert(name, Origin::Received { size, digest });
    }

    /// The computer wrote a file before the phone touched anything; what the phone did with it since is newer.
    pub fn written_before(&mut self, name: Name, size: u64, digest: Digest) {
        self.touched.entry(name).or_insert(Origin::Received { size, digest });
    }

    /// What is known of a file; none when it is as it was before the run.
    pub fn of(&self, name: &Name) -> Option<Origin> {
        self.touched.get(name).copied().or_else(|| {
            let path = name.to_string();
            let derived = self.derived_folders.iter().any(|folder| is_below(&path, folder));
            derived.then_some(Origin::Derived)
        })
    }

    /// True when the file came in this run, so that no earlier backup has it.
    pub fn came(&self, place: &Place) -> bool {
        matches!(self.touched.get(&name_of(place)), Some(Origin::Received { .. }))
    }

    /// A file or folder was moved.
    pub fn moved(&mut self, from: &Place, to: &Place) {
        self.copied(from, to);
        self.removed(from);
    }

    /// A file or folder was copied.
    pub fn copied(&mut self, from: &Place, to: &Place) {
        let (from, to) = (below_tree(from), below_tree(to));
        let origin = self.touched.get(&Name::new(from)).copied();
        self.touched.insert(Name::new(to), origin.unwrap_or(Origin::Derived));
        if matches!(Name::new(from), Name::Other(_)) && origin.is_none() {
            // It may be a folder.
            let inside: Vec<(Name, Origin)> = self
                .touched
                .iter()
                .filter_map(|(name, origin)| {
                    let path = name.to_string();
                    is_below(&path, from).then(|| (Name::new(&format!("{to}{}", &path[from.len()..])), *origin))
                })
                .collect();
            self.touched.extend(inside);
            self.derived_folders.push(to.to_owned());
        }
    }

    /// A file or folder was removed.
    pub fn removed(&mut self, place: &Place) {
        let path = below_tree(place);
        let name = Name::new(path);
        let known = self.touched.remove(&name);
        if matches!(name, Name::Other(_)) && !matches!(known, Some(Origin::Received { .. })) {
            // It may be a folder, and then what was derived is gone with it.
            self.touched.retain(|name, _| !is_below(&name.to_string(), path));
            self.derived_folders.retain(|folder| folder != path && !is_below(folder, path));
        }
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDID: &str = "00008120-001A2D3E0C40201E";

    fn place(path: &str) -> Place {
        Place::new(&format!("{UDID}/{path}"), UDID).unwrap()
    }

    fn arrived(digests: &mut Digests, path: &str, mark: u8) {
        digests.received(name_of(&place(path)), 1, [mark; 32]);
    }

    fn mark(digests: &Digests, path: &str) -> Option<u8> {
        digests.of(&Name::new(path)).map(|origin| match origin {
            Origin::Received { digest, .. } => digest[0],
            Origin::Derived => 0,
        })
    }

    #[test]
    fn what_the_computer_wrote_gives_way_to_what_came() {
        let mut digests = Digests::default();
        let name = || Name::new("Info.plist");
        digests.written_before(name(), 1, [1; 32]);
        assert_eq!(mark(&digests, "Info.plist"), Some(1));
        let mut digests = Digests::default();
        arrived(&mut digests, "Info.plist", 2);
        digests.written_before(name(), 1, [1; 32]);
        assert_eq!(mark(&digests, "Info.plist"), Some(2));
    }

    #[test]
    fn a_checksum_follows_its_file() {
        let mut digests = Digests::default();
        let (one, other) =
            ("3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28", "ab/ab0d7e5fb2ce288813306e4d4636395e047a3d28");
        arrived(&mut digests, &format!("Snapshot/{one}"), 1);
        arrived(&mut digests, "Snapshot/Manifest.db", 2);
        digests.moved(&place(&format!("Snapshot/{one}")), &place(one));
        assert_eq!((mark(&digests, one), mark(&digests, &format!("Snapshot/{one}"))), (Some(1), None));
        // A file of an earlier run that takes another name is not the one of that name.
        digests.moved(&place(other), &place(one));
        assert_eq!((mark(&digests, one), mark(&digests, other)), (Some(0), None));
        // Folders carry what is in them.
        digests.moved(&place("Snapshot"), &place("Kept"));
        assert_eq!((mark(&digests, "Kept/Manifest.db"), mark(&digests, "Snapshot/Manifest.db")), (Some(2), None));
        assert_eq!(mark(&digests, "Kept/Old.plist"), Some(0));
        assert_eq!(mark(&digests, "Keptsake"), None);
        digests.removed(&place("Kept"));
        assert_eq!(mark(&digests, "Kept/Manifest.db"), None);
    }
}
