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
}

impl Row {
    fn of(file: &ManifestFile<'_>) -> Option<Self> {
        let Some(Name::Payload(id)) = Name::of_file_id(file.file_id) else { return None };
        let Record { size, modified, digest, key, .. } = file.record;
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        Some(Self { id, content: hasher.hash_one((digest, key)), facts: hasher.hash_one((size, modified)) })
    }
}

impl BaseRows {
    /// Reads those of a manifest.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(manifest: &Manifest) -> Result<Self, ManifestError> {
        let mut rows = Vec::new();
        manifest.for_each_file(|file| rows.extend(Row::of(&file)))?;
        rows.sort_unstable();
        Ok(Self { rows })
    }

    /// How the row of a file that did not come differs. A row that is new has brought nothing either.
    pub fn change(&self, file: &ManifestFile<'_>) -> RowChange {
        let Some(now) = Row::of(file).filter(|_| file.record != Record::default()) else { return RowChange::Unknown };
        let before = self.rows.binary_search_by(|row| row.id.cmp(&now.id)).ok().and_then(|index| self.rows.get(index));
        match before {
            Some(before) if before.content == now.content && before.facts == now.facts => RowChange::Nothing,
            Some(before) if before.content == now.content => RowChange::Facts,
            _ => RowChange::Content,
        }
    }
}
