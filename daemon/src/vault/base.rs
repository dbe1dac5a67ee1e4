//! The rows of the backup that a new one builds on: what of them changed while nothing came?

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::{
    manifest::{Manifest, ManifestError, ManifestFile, Record},
    name::Name,
    proof::RowChange,
};

/// The rows of the files, each in few bytes: there are hundreds of thousands.
#[derive(Debug, Default)]
pub struct BaseRows {
    rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    id: [u8; 20],
    /// A hash of what only new bytes change.
    content: u64,
    /// A hash of what may change without them.
    facts: u64,
    /// The row could not be read.
    unknown: bool,
}

impl Row {
    fn of(file: &ManifestFile<'_>) -> Option<Self> {
        let Some(Name::Payload(id)) = Name::of_file_id(file.file_id) else { return None };
        let Record { size, modified, digest, key, .. } = file.record;
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let unknown = file.record == Record::default();
        Some(Self { id, content: hasher.hash_one((digest, key)), facts: hasher.hash_one((size, modified)), unknown })
    }
}

impl BaseRows {
    /// Reads those of a manifest.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(manifest: &Manifest) -> Result<Self, ManifestError> {
        let mut rows = Vec::new();
        let seen = manifest.for_each_file(|file| rows.extend(Row::of(&file)))?;
        rows.extend(seen.of_unknown_kind.into_iter().filter_map(|name| match name {
            Name::Payload(id) => Some(Row { id, content: 0, facts: 0, unknown: true }),
            _ => None,
        }));
        rows.sort_unstable();
        Ok(Self { rows })
    }

    /// How the row of a file that did not come differs. A row that is new has brought nothing either.
    pub fn change(&self, file: &ManifestFile<'_>) -> RowChange {
        let Some(now) = Row::of(file).filter(|row| !row.unknown) else { return RowChange::Unknown };
        let before = self.rows.binary_search_by(|row| row.id.cmp(&now.id)).ok().and_then(|index| self.rows.get(index));
        match before {
            Some(Row { unknown: true, .. }) => RowChange::Unknown,
            Some(before) if before.content == now.content && before.facts == now.facts => RowChange::Nothing,
            Some(before) if before.content == now.content => RowChange::Facts,
            _ => RowChange::Content,
        }
    }
}
