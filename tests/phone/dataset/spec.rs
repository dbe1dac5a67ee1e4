//! The description of a data set.

use std::sync::Arc;

use super::{names, odd::OddRow};

/// Domain and path of the file that phones since iOS 17 answer with 0x0b for (pymobiledevice3 755).
pub const FILE_PROVIDER: (&str, &str) =
    ("HomeDomain", "Library/Application Support/FileProvider/backup/backup_manifest.db");

/// How large the files of a group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeRule {
    /// All the same.
    Fixed(u64),
    /// Anything from the first to the second, both included.
    Between(u64, u64),
}

/// Files of one kind at one place.
#[derive(Debug, Clone)]
pub struct FileGroup {
    /// For example `AppDomain-com.example.notes`.
    pub domain: String,
    /// Path inside the domain.
    pub directory: String,
    /// How many.
    pub count: usize,
    /// How large.
    pub size: SizeRule,
}

/// What a phone holds, in brief; the same description always makes the same phone.
#[derive(Debug, Clone)]
pub struct DataSetSpec {
    /// Sizes and contents follow from it.
    pub seed: u64,
    /// The kinds of files.
    pub groups: Vec<FileGroup>,
    /// Further small files, by domain and path.
    pub paths: Arc<[(Arc<str>, Arc<str>)]>,
    /// Some names are as unusual as on a real phone, and there are rows without a payload: empty directories, links, one
    /// that is but an id.
    pub lifelike: bool,
    /// Rows that are out of the ordinary, one of each kind in this list.
    pub odd_rows: Vec<OddRow>,
    /// `Manifest.db` has at least so many bytes.
    pub manifest_bytes_min: u64,
}

impl DataSetSpec {
    /// `count` files of `size` bytes each.
    pub fn uniform(seed: u64, count: usize, size: u64) -> Self {
        Self::of_groups(seed, vec![group("HomeDomain", "Library/Uniform", count, SizeRule::Fixed(size))])
    }

    /// What people have: mostly pictures by size, mostly small files by count, some of them empty, names of every kind,
    /// and the rows of a real manifest. `total_bytes` is met within some per cent.
    pub fn mixed(seed: u64, count: usize, total_bytes: u64) -> Self {
        let pictures = count * 4 / 10;
        let (notes, recordings, empty) = (count * 3 / 10, count / 20, count / 20);
        let library = count - pictures - notes - recordings - empty;
        let about = |share: u64, count: usize| {
            let mean = total_bytes / 100 * share / (count as u64).max(1);
            SizeRule::Between(mean / 2, mean + mean / 2)
        };
        let groups = vec![
            group("HomeDomain", "Library/Preferences", library, about(5, library)),
            group("CameraRollDomain", "Media/DCIM", pictures, about(75, pictures)),
            group("AppDomain-com.example.notes", names::NOTES, notes, about(10, notes)),
            group("MediaDomain", "Media/Recordings", recordings, about(10, recordings)),
            group("HomeDomain", "Library/Caches/Locks", empty, SizeRule::Fixed(0)),
        ];
        Self { lifelike: true, ..Self::of_groups(seed, groups) }
    }

    /// Nothing at all.
    pub fn empty(seed: u64) -> Self {
        Self::of_groups(seed, Vec::new())
    }

    /// These files, and nothing but their directories beside them.
    pub fn of_groups(seed: u64, groups: Vec<FileGroup>) -> Self {
        Self { seed, groups, paths: Vec::new().into(), lifelike: false, odd_rows: Vec::new(), manifest_bytes_min: 0 }
    }

    /// With one row of each of these kinds.
    #[must_use]
    pub fn with_odd_rows(mut self, kinds: &[OddRow]) -> Self {
        self.odd_rows = kinds.to_vec();
        self
    }

    /// With the file that no phone since iOS 17 can read in a backup ([`FILE_PROVIDER`]).
    #[must_use]
    pub fn with_file_provider(mut self) -> Self {
        let (domain, path) = FILE_PROVIDER;
        self.paths = self.paths.iter().cloned().chain([(domain.into(), path.into())]).collect();
        self
    }

    /// With a `Manifest.db` of at least so many bytes.
    #[must_use]
    pub fn with_manifest_of(mut self, bytes_min: u64) -> Self {
        self.manifest_bytes_min = bytes_min;
        self
    }
}

fn group(domain: &str, directory: &str, count: usize, size: SizeRule) -> FileGroup {
    FileGroup { domain: domain.into(), directory: directory.into(), count, size }
}
