//! Names of a selection that some disk could take for one: `SpringBoard` and `springboard` in one folder, or a name in
//! both Unicode forms. Real backups have a few of them.
//!
//! They are known before anything is written, so that they can be written one after the other in a fixed order: which
//! of them gets its real name must not depend on which thread was first.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::spelling;

/// Looks at all names of a selection; two numbers for each are kept, not the names.
#[derive(Debug, Default)]
pub struct Seen {
    /// What each folder or file is called, by what it could be taken for.
    names: HashMap<u64, u64>,
    twins: HashSet<u64>,
    /// The folder of the name before, which most names share.
    folder: String,
}

/// The twins among them. Two numbers may be equal by chance: a name that has no twin then counts as one, which costs time
/// and changes no name.
#[derive(Debug, Clone, Default)]
pub struct Twins(HashSet<u64>);

impl Seen {
    /// One more file.
    pub fn add(&mut self, domain: &str, relative_path: &str) {
        let path = format!("{domain}/{relative_path}");
        let known = path.rfind('/').is_some_and(|end| path[..end] == self.folder);
        for end in prefixes(&path) {
            if !known || end == path.len() {
                self.add_name(&path[..end]);
            }
        }
        self.folder = path;
        let end = self.folder.rfind('/').unwrap_or_default();
        self.folder.truncate(end);
    }

    fn add_name(&mut self, path: &str) {
        let (folded, own) = (key(path), number(path));
        if *self.names.entry(folded).or_insert(own) != own {
            self.twins.insert(folded);
        }
    }

    /// The twins of all.
    pub fn twins(self) -> Twins {
        Twins(self.twins)
    }
}

impl Twins {
    /// True when this folder or file has a twin.
    pub fn has(&self, path: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&key(path))
    }

    /// True when it or a folder above it has one.
    pub fn concern(&self, domain: &str, relative_path: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let path = format!("{domain}/{relative_path}");
        prefixes(&path).any(|end| self.has(&path[..end]))
    }
}

/// Where the path of each folder ends, and last that of the file.
fn prefixes(path: &str) -> impl Iterator<Item = usize> + '_ {
    path.match_indices('/').map(|(at, _)| at).chain([path.len()])
}

/// Twins are names of one folder, whose own name is taken as it is. FAT leaves dots and spaces at the end away.
fn key(path: &str) -> u64 {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    number((folder, spelling::folded(name.trim_end_matches(['.', ' ']))))
}

fn number(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_found_in_their_folder_alone() {
        let mut seen = Seen::default();
        for (domain, path) in [
            ("HomeDomain", "a/SpringBoard/x.plist"),
            ("HomeDomain", "a/y.plist"),
            ("HomeDomain", "a/springboard/x.plist"),
            ("HomeDomain", "a/springboard/z.plist"),
            ("HomeDomain", "a/springboard/Z.plist"),
            ("HomeDomain", "b/Y.plist"),
            ("HomeDomain", "b/\u{fc}"),
            ("HomeDomain", "b/u\u{308}"),
            ("HomeDomain", "b/note"),
            ("HomeDomain", "b/note."),
            ("HomeDomain", "b/note."),
        ] {
            seen.add(domain, path);
        }
        let twins = seen.twins();
        for (path, is_one) in [
            ("HomeDomain/a", false),
            ("HomeDomain/a/SpringBoard", true),
            ("HomeDomain/a/springboard", true),
            ("HomeDomain/a/springboard/x.plist", false),
            ("HomeDomain/a/springboard/z.plist", true),
            ("HomeDomain/a/SpringBoard/z.plist", false),
            ("HomeDomain/a/y.plist", false),
            ("HomeDomain/b/\u{fc}", true),
            ("HomeDomain/b/u\u{308}", true),
            ("HomeDomain/b/note.", true),
        ] {
            assert_eq!(twins.has(path), is_one, "{path}");
        }
        assert!(twins.concern("HomeDomain", "a/SpringBoard/deep/er"));
        assert!(!twins.concern("HomeDomain", "a/y.plist"));
    }
}
