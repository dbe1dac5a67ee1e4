//! Which names are part of a backup. Other programs leave files of their own in any folder (`.DS_Store`, `Thumbs.db`,
//! `@eaDir`): they are neither damage nor carried on.

use std::collections::HashSet;

use super::{ledger::Held, name::Name};

/// Files at the top of a backup, today's and those from before iOS 10.
const AT_THE_TOP: [&str; 6] =
    ["Info.plist", "Manifest.db", "Manifest.mbdb", "Manifest.mbdx", "Manifest.plist", "Status.plist"];

/// Where the phone puts files while a run lasts.
const STAGING: &str = "Snapshot";

/// The names of a backup that is there.
#[derive(Debug, Default)]
pub struct Parts {
    /// What the phone brought under names of another form.
    others: HashSet<Name>,
}

impl Parts {
    /// Those by their form alone, for a backup of another program.
    pub fn by_form() -> Self {
        Self::default()
    }

    /// Also what the ledger knows beside these.
    pub fn of<'a>(held: impl IntoIterator<Item = (&'a Name, &'a Held)>) -> Self {
        let names = held.into_iter().map(|(name, _)| name);
        Self { others: names.filter(|name| !has_form(name) && !is_foreign(name)).cloned().collect() }
    }

    /// True for a file of the backup.
    pub fn contains(&self, name: &Name) -> bool {
        has_form(name) || self.others.contains(name)
    }

    /// True for a folder, a path below the tree, in which such files may be.
    pub fn contains_folder(&self, folder: &str) -> bool {
        let is_payload_folder = |name: &str| name.len() == 2 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
        let below_staging = folder.strip_prefix(STAGING).map(|rest| rest.trim_start_matches('/'));
        let by_form =
            below_staging.map_or_else(|| is_payload_folder(folder), |rest| rest.is_empty() || is_payload_folder(rest));
        let is_above = |name: &Name| match name {
            Name::Other(path) => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
            _ => false,
        };
        by_form || self.others.iter().any(is_above)
    }
}

fn has_form(name: &Name) -> bool {
    match name {
        Name::Payload(_) | Name::Staged(_) => true,
        Name::Other(path) => {
            let path = path.strip_prefix(STAGING).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
            AT_THE_TOP.contains(&path)
        }
    }
}

/// True for what other programs leave in every folder, whatever an older ledger says of it.
pub fn is_foreign(name: &Name) -> bool {
    let Name::Other(path) = name else { return false };
    path.split('/').any(|part| {
        part.starts_with(['.', '@'])
            || ["Thumbs.db", "desktop.ini", "System Volume Information", "lost+found"]
                .iter()
                .any(|foreign| part.eq_ignore_ascii_case(foreign))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_programs_leave_is_no_part() {
        let id = "3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28";
        let held = Held { size: 0, digest: None, sha1: None, proof: Default::default() };
        let known = [Name::new("Later.plist"), Name::new("new/kind"), Name::new("3d/.DS_Store")];
        let parts = Parts::of(known.iter().map(|name| (name, &held)));
        for (path, by_form, by_ledger) in [
            (id, true, true),
            (&format!("Snapshot/{id}"), true, true),
            ("Manifest.db", true, true),
            ("Snapshot/Manifest.db", true, true),
            ("Manifest.db-wal", false, false),
            ("Later.plist", false, true),
            ("new/kind", false, true),
            ("3d/.DS_Store", false, false),
            ("3d/._x", false, false),
            ("3d/stray", false, false),
            ("Thumbs.db", false, false),
            ("DESKTOP.INI", false, false),
            ("@eaDir/x", false, false),
            (".nfs0001", false, false),
        ] {
            let name = Name::new(path);
            assert_eq!((Parts::by_form().contains(&name), parts.contains(&name)), (by_form, by_ledger), "{path}");
        }
        for (folder, is_part) in
            [("3d", true), ("Snapshot", true), ("Snapshot/3d", true), ("new", true), ("@eaDir", false), ("3d/x", false)]
        {
            assert_eq!(parts.contains_folder(folder), is_part, "{folder}");
        }
    }
}
