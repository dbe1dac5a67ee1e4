//! Files that the phone could not read itself. A run goes on after them, and so may the phone's own success.

use std::collections::HashMap;

use crate::vault::name::Name;

/// Files that are named; more are only counted.
const KEPT_MAX: usize = 100;

/// More than these are taken for damage: no backup lacks so many.
const NAMES_MAX: usize = 10_000;

/// Harmless files that the phone can't read, by the end of their paths: iOS makes them again. Source: pymobiledevice3 755,
/// iOS 17.2.1, where it happens in each backup.
const HARMLESS: &[&str] = &["Library/Application Support/FileProvider/backup/backup_manifest.db"];

/// True for a harmless file, by its path on the phone or below its domain.
pub fn is_harmless(path: &str) -> bool {
    HARMLESS
        .iter()
        .any(|known| path.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with('/')))
}

/// A file that the phone could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path on the phone.
    pub device_path: String,
    /// What the phone said.
    pub reason: String,
}

/// All of them in one run.
#[derive(Debug, Clone, Default)]
pub struct UnreadableFiles {
    count: u64,
    /// More than can be named.
    unnamed: u64,
    first: Vec<(Name, Unreadable)>,
    /// And whether it is harmless.
    names: HashMap<Name, bool>,
}

impl UnreadableFiles {
    /// Those of an earlier try.
    pub fn of_earlier(names: HashMap<Name, bool>) -> Self {
        let missed = names.iter().filter(|(_, is_harmless)| !**is_harmless).take(KEPT_MAX);
        let told = |name: &Name| Unreadable { device_path: name.to_string(), reason: "in an earlier try".into() };
        let first = missed.map(|(name, _)| (name.clone(), told(name))).collect();
        Self { count: names.len() as u64, unnamed: 0, first, names }
    }

    /// One more, which would be under this name.
    pub fn add(&mut self, name: Name, file: Unreadable) {
        if self.names.contains_key(&name) {
            return;
        }
        let is_harmless = is_harmless(&file.device_path);
        match (is_harmless, self.first.len() < KEPT_MAX) {
            (true, _) => tracing::debug!(?file, "the phone could not read a harmless file"),
            (false, true) => tracing::warn!(?file, "the phone could not read one of its files"),
            // Thousands of lines would hide the rest of the log.
            (false, false) => {}
        }
        self.count += 1;
        if self.names.len() < NAMES_MAX {
            self.names.insert(name.clone(), is_harmless);
        } else {
            self.unnamed += 1;
        }
        if self.first.len() < KEPT_MAX && !is_harmless {
            self.first.push((name, file));
        }
    }

    /// The phone sent it after all.
    pub fn came(&mut self, name: &Name) {
        if self.names.remove(name).is_some() {
            self.count -= 1;
            self.first.retain(|(of, _)| of != name);
        }
    }

    /// How many.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Where they are, and whether they are harmless.
    pub const fn names(&self) -> &HashMap<Name, bool> {
        &self.names
    }

    /// The first file that a person may miss, and the count of such files.
    pub fn missed(&self) -> Option<(&Unreadable, u64)> {
        let missed = self.names.values().filter(|is_harmless| !**is_harmless).count() as u64;
        self.first.first().map(|(_, file)| (file, missed + self.unnamed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Unreadable {
        Unreadable { device_path: path.into(), reason: "Input/output error (5)".into() }
    }

    #[test]
    fn harmless_files_are_no_news() {
        let known = "/var/mobile/Library/Application Support/FileProvider/backup/backup_manifest.db";
        for (path, harmless) in [
            (known, true),
            (known.strip_prefix("/var/mobile/").unwrap(), true),
            ("/var/mobile/Library/Notes/backup_manifest.db", false),
            ("/var/mobile/MyLibrary/Application Support/FileProvider/backup/backup_manifest.db", false),
        ] {
            assert_eq!(is_harmless(path), harmless, "{path}");
        }
        let mut files = UnreadableFiles::default();
        files.add(Name::new("49/49128ab4"), file(known));
        assert_eq!((files.count(), files.missed()), (1, None));
        files.add(Name::new("50/one"), file("/var/mobile/one"));
        files.add(Name::new("51/two"), file("/var/mobile/two"));
        assert_eq!(files.missed().map(|(file, count)| (&*file.device_path, count)), Some(("/var/mobile/one", 2)));
        files.came(&Name::new("50/one"));
        assert_eq!(files.missed().map(|(file, count)| (&*file.device_path, count)), Some(("/var/mobile/two", 1)));
        files.came(&Name::new("51/two"));
        assert_eq!((files.count(), files.missed()), (1, None));
    }

    #[test]
    fn twenty_thousand_of_them_take_no_room() {
        let mut files = UnreadableFiles::default();
        for number in 0..20_000 {
            files.add(Name::new(&format!("file {number}")), file("/var/mobile/one"));
        }
        assert_eq!((files.count(), files.names().len(), files.first.len()), (20_000, NAMES_MAX, KEPT_MAX));
    }
}
