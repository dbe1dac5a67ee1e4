//! Rows that a reader of manifests may meet and must survive.

use super::DataFile;

/// How the row of a file is out of the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OddRow {
    /// The column `file` holds bytes that are no plist.
    BlobNoPlist,
    /// The column `file` is NULL.
    BlobMissing,
    /// The archived file has no `Size`.
    NoSize,
    /// Its dates lie far in the future, as if they were microseconds.
    HugeDates,
    /// Its dates lie before 1970.
    NegativeDates,
    /// `Digest` is an archived data object in place of raw data.
    DigestInData,
}

impl OddRow {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::BlobNoPlist, Self::BlobMissing, Self::NoSize, Self::HugeDates, Self::NegativeDates, Self::DigestInData];

    /// True when nothing but the columns of the row tells of the file, so that a restore leaves it out.
    pub fn hides_file(self) -> bool {
        matches!(self, Self::BlobNoPlist | Self::BlobMissing)
    }

    /// The dates as this row has them.
    pub(super) fn bend_dates(self, file: &mut DataFile) {
        // Those that a change of the file left as they are were bent before.
        let is_usual = |date: i64| (0..100_000_000_000).contains(&date);
        let bent = |date: i64| match self {
            Self::HugeDates if is_usual(date) => date * 1_000_000,
            Self::NegativeDates if is_usual(date) => -date,
            _ => date,
        };
        file.mtime = bent(file.mtime);
        file.stat.birth = bent(file.stat.birth);
        file.stat.changed = bent(file.stat.changed);
    }
}

/// Gives each kind to a file of its own, spread evenly; with more kinds than files some are left out.
pub(super) fn spread(entries: &mut [DataFile], kinds: &[OddRow]) {
    let files: Vec<usize> = (0..entries.len()).filter(|place| entries[*place].is_file()).collect();
    for (order, kind) in kinds.iter().enumerate() {
        let place = (order + 1) * files.len() / (kinds.len() + 1);
        let Some(file) = files.get(place).map(|place| &mut entries[*place]).filter(|file| file.odd.is_none()) else {
            continue;
        };
        file.odd = Some(*kind);
        kind.bend_dates(file);
    }
}
