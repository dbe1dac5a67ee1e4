//! The checksum of each file as it came, followed through the phone's moves.

use std::collections::{HashMap, HashSet};

use super::place::Place;
use crate::vault::{checksum::Checksums, name::Name};

/// What is known of a file that the phone has touched in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It came in this run.
    Received {
        /// Taken while it came.
        checksums: Checksums,
        /// The phone said that it is complete.
        whole: bool,
    },
    /// It was made from another of an earlier run: only the disk knows what is in it.
    Derived,
}

/// Files that the phone has touched, by where they are now. What is not here is as it was before the run.
#[derive(Debug, Clone, Default)]
pub struct Digests {
    touched: HashMap<Name, Origin>,
    /// Those of them that came in an earlier try, and when that began.
    earlier: HashMap<Name, i64>,
    /// Folders of earlier runs that were moved or copied as a whole.
    derived_folders: Vec<String>,
    /// Files that came and were thrown away without being put into their place.
    lost: HashSet<[u8; 20]>,
}

/// One entry of [`Digests`] as it is kept between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// A file and where it comes from; and when the try began that brought it, in seconds since 1970.
    File(Name, Origin, Option<i64>),
    /// A folder that was moved or copied as a whole, by its path below the tree.
    Folder(String),
    /// A file whose bytes came and were thrown away.
    Lost([u8; 20]),
}

/// The name below the phone's folder.
pub fn name_of(place: &Place) -> Name {
    Name::new(below_tree(place))
}

fn below_tree(place: &Place) -> &str {
    place.as_str().split_once('/').map_or("", |(_, below)| below)
}

impl Digests {
    /// A file came; `whole` when the phone said that it is complete.
    pub fn received(&mut self, name: Name, checksums: Checksums, whole: bool) {
        self.earlier.remove(&name);
        self.put(name, Origin::Received { checksums, whole });
    }

    fn put(&mut self, name: Name, origin: Origin) {
        if let (Name::Payload(id), Origin::Received { .. }) = (&name, origin) {
            self.lost.remove(id);
        }
        self.touched.insert(name, origin);
    }

    /// Nothing is known of this file any more.
    pub fn forget_file(&mut self, name: &Name) {
        self.touched.remove(name);
    }

    /// When the earlier try began in which a file came, in seconds since 1970.
    pub fn came_earlier(&self, name: &Name) -> Option<i64> {
        self.earlier.get(name).copied()
    }

    /// All of it, for a later run; this one began at `began`.
    pub fn kept(&self, began: i64) -> Vec<Kept> {
        let file = |(name, origin): (&Name, &Origin)| {
            let came = matches!(origin, Origin::Received { .. });
            Kept::File(name.clone(), *origin, came.then(|| self.came_earlier(name).unwrap_or(began)))
        };
        let files = self.touched.iter().map(file);
        let folders = self.derived_folders.iter().cloned().map(Kept::Folder);
        files.chain(folders).chain(self.lost.iter().copied().map(Kept::Lost)).collect()
    }

    /// Adds what an earlier run has kept.
    pub fn keep(&mut self, kept: Kept) {
        match kept {
            Kept::File(name, origin, began) => {
                if let Some(began) = began {
                    self.earlier.insert(name.clone(), began);
                }
                self.touched.insert(name, origin);
            }
            Kept::Folder(path) => self.derived_folders.push(path),
            Kept::Lost(id) => drop(self.lost.insert(id)),
        }
    }

    /// Each file that the phone has touched.
    pub fn touched(&self) -> impl Iterator<Item = (&Name, &Origin)> {
        self.touched.iter()
    }

    /// Forgets the files that came without their end, but for those that stay so, and says where they are.
    pub fn take_parts(&mut self, udid: &str, stays: impl Fn(&Name) -> bool) -> Vec<Place> {
        let mut parts = Vec::new();
        self.touched.retain(|name, origin| {
            // One that is in its place already can't be missed by a phone that goes on.
            let is_part = matches!(origin, Origin::Received { whole: false, .. })
                && !matches!(name, Name::Payload(_))
                && !stays(&name.in_place());
            parts.extend(is_part.then(|| Place::new(&format!("{udid}/{name}"), udid).ok()).flatten());
            !is_part
        });
        parts
    }

    /// True when new bytes of a file came, and the phone threw them away or left them lying rather than put them in its
    /// place.
    pub fn was_lost(&self, name: &Name) -> bool {
        let Name::Payload(id) = name else { return false };
        self.lost.contains(id) || matches!(self.touched.get(&Name::Staged(*id)), Some(Origin::Received { .. }))
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
        self.forget(from, false);
    }

    /// A file or folder was copied.
    pub fn copied(&mut self, from: &Place, to: &Place) {
        let (from, to) = (below_tree(from), below_tree(to));
        let origin = self.touched.get(&Name::new(from)).copied();
        self.put(Name::new(to), origin.unwrap_or(Origin::Derived));
        self.carry(&Name::new(from), Name::new(to));
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
            for (name, _) in &inside {
                let path = name.to_string();
                self.carry(&Name::new(&format!("{from}{}", &path[to.len()..])), name.clone());
            }
            self.touched.extend(inside);
            self.derived_folders.push(to.to_owned());
        }
    }

    fn carry(&mut self, from: &Name, to: Name) {
        match self.came_earlier(from) {
            Some(began) => drop(self.earlier.insert(to, began)),
            None => drop(self.earlier.remove(&to)),
        }
    }

    /// A file or folder was removed.
    pub fn removed(&mut self, place: &Place) {
        self.forget(place, true);
    }

    /// What is not there any more; `lost` when it is nowhere else either.
    fn forget(&mut self, place: &Place, lost: bool) {
        let path = below_tree(place);
        let name = Name::new(path);
        let known = self.touched.remove(&name);
        let mut note = |name: &Name, origin: &Origin| {
            if let (Name::Staged(id), Origin::Received { .. }, true) = (name, origin, lost) {
                self.lost.insert(*id);
            }
        };
        if let Some(known) = &known {
            note(&name, known);
        }
        if matches!(name, Name::Other(_)) && !matches!(known, Some(Origin::Received { .. })) {
            // It may be a folder, and then what was derived is gone with it.
            self.touched.retain(|name, origin| {
                let stays = !is_below(&name.to_string(), path);
                if !stays {
                    note(name, origin);
                }
                stays
            });
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
        let checksums = Checksums { size: 1, digest: [mark; 32], sha1: Some([mark; 20]) };
        digests.received(name_of(&place(path)), checksums, true);
    }

    fn mark(digests: &Digests, path: &str) -> Option<u8> {
        digests.of(&Name::new(path)).map(|origin| match origin {
            Origin::Received { checksums, .. } => checksums.digest[0],
            Origin::Derived => 0,
        })
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

    #[test]
    fn what_came_and_was_thrown_away_is_known() {
        let (one, other) =
            ("3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28", "ab/ab0d7e5fb2ce288813306e4d4636395e047a3d28");
        let mut digests = Digests::default();
        for file in [one, other] {
            arrived(&mut digests, &format!("Snapshot/{file}"), 1);
        }
        assert!(digests.was_lost(&Name::new(one)), "it was not put into its place yet");
        digests.moved(&place(&format!("Snapshot/{one}")), &place(one));
        digests.removed(&place("Snapshot"));
        assert!(!digests.was_lost(&Name::new(one)) && digests.was_lost(&Name::new(other)));
        // It came once more, and was put into its place.
        arrived(&mut digests, &format!("Snapshot/{other}"), 2);
        digests.moved(&place(&format!("Snapshot/{other}")), &place(other));
        assert!(!digests.was_lost(&Name::new(other)));
    }
}
