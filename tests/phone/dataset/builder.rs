//! Puts the rows of a data set together.

use std::{collections::HashSet, sync::Arc};

use super::{
    DataFile, DataSet, FLAG_DIRECTORY, FLAG_FILE, FLAG_LINK, FileId,
    attributes::{self, Attributes},
    content::mix,
    extras, names, odd,
    spec::{DataSetSpec, FileGroup, SizeRule},
    sqlite,
    stale::{self, Stale},
    stat,
};

/// 14 November 2023, when every simulated phone was bought.
const FIRST_MTIME: i64 = 1_700_000_000;
/// Files of a data set from paths have fewer bytes than this.
const SMALL: u64 = 2000;

/// Puts rows together so that every directory of a file has its own row before it.
pub(super) struct Builder {
    seed: u64,
    directories: HashSet<FileId>,
    entries: Vec<DataFile>,
    /// Names that real phones have.
    lifelike: bool,
}

impl Builder {
    pub(super) fn new(seed: u64, entries: Vec<DataFile>) -> Self {
        let directories =
            entries.iter().filter(|entry| entry.flags == FLAG_DIRECTORY).map(|entry| entry.file_id).collect();
        Self { seed, directories, entries, lifelike: false }
    }

    pub(super) fn finish(self) -> Vec<DataFile> {
        self.entries
    }

    /// Goes up by one from row to row; what a row is like follows from it.
    fn turn(&self) -> u64 {
        self.entries.len() as u64 + self.seed % 10_000
    }

    /// Adds the files of a group.
    pub(super) fn group(&mut self, group: &FileGroup, first_mtime: i64) {
        let domain: Arc<str> = group.domain.as_str().into();
        let first = self.entries.len();
        for index in 0..group.count {
            let unusual = self.lifelike.then(|| names::unusual(&group.directory, index)).flatten();
            let fixed = unusual.as_deref().and_then(names::fixed_size);
            let path = unusual.unwrap_or_else(|| names::relative_path(&group.directory, index));
            self.directories_of(&domain, &path);
            let size = match group.size {
                SizeRule::Fixed(size) => size,
                SizeRule::Between(least, most) => {
                    let random = mix(self.seed ^ mix(self.entries.len() as u64));
                    let size = least + random % (most.saturating_sub(least) + 1);
                    if sqlite::is_database(&path) { sqlite::whole_pages(size) } else { size }
                }
            };
            self.file(&domain, &path, fixed.unwrap_or(size), first_mtime);
        }
        debug_assert!(self.entries.len() >= first + group.count);
    }

    /// Adds a file whose directories are there.
    fn file(&mut self, domain: &Arc<str>, path: &str, size: u64, first_mtime: i64) {
        let file_id = FileId::of(domain, path);
        let mtime = first_mtime + self.entries.len() as i64;
        let (mode, stat) = stat::of_file(self.turn(), &file_id, mtime);
        let attributes = Attributes::at(self.turn(), domain, FLAG_FILE);
        let row = Self::row(self.seed, domain, path, FLAG_FILE, mode, stat);
        self.entries.push(DataFile { size, recorded_size: size, mtime, attributes, ..row });
    }

    /// Adds a directory and those above it.
    pub(super) fn directory(&mut self, domain: &str, path: &str) {
        self.directories_of(&domain.into(), &format!("{path}/"));
    }

    /// Adds a link and the directories above it.
    pub(super) fn link(&mut self, domain: &str, path: &str, target: &str) {
        let domain = domain.into();
        self.directories_of(&domain, path);
        let (mode, stat) = stat::of_link(&FileId::of(&domain, path), FIRST_MTIME);
        let row = Self::row(self.seed, &domain, path, FLAG_LINK, mode, stat);
        self.entries.push(DataFile { target: Some(target.into()), ..row });
    }

    /// Adds a row that has an id and these flags alone.
    pub(super) fn bare(&mut self, file_id: FileId, flags: u8) {
        let (mode, stat) = stat::of_link(&file_id, 0);
        let row = Self::row(self.seed, &"".into(), "", flags, mode, stat);
        self.entries.push(DataFile { file_id, ..row });
    }

    fn directories_of(&mut self, domain: &Arc<str>, path: &str) {
        let ends = std::iter::once(0).chain(path.match_indices('/').map(|(end, _)| end));
        for end in ends {
            let directory = &path[..end];
            if self.directories.insert(FileId::of(domain, directory)) {
                let (mode, stat) = stat::of_directory(self.turn(), directory, FIRST_MTIME);
                let attributes = Attributes::at(self.turn(), domain, FLAG_DIRECTORY);
                let row = Self::row(self.seed, domain, directory, FLAG_DIRECTORY, mode, stat);
                self.entries.push(DataFile { attributes, ..row });
            }
        }
    }

    fn row(seed: u64, domain: &Arc<str>, path: &str, flags: u8, mode: u16, stat: stat::Stat) -> DataFile {
        DataFile {
            domain: domain.clone(),
            relative_path: path.into(),
            file_id: FileId::of(domain, path),
            size: 0,
            recorded_size: 0,
            version: 0,
            mtime: FIRST_MTIME,
            mode,
            flags,
            stat,
            target: None,
            odd: None,
            attributes: Attributes::None,
            stale: Stale::No,
            seed,
        }
    }

    /// Adds a file for each of these names, once; a name that others lie below is a directory.
    fn paths(&mut self, paths: &[(Arc<str>, Arc<str>)]) {
        let mut parents = HashSet::new();
        for (domain, path) in paths {
            // From below: where one is known all above it are.
            for (end, _) in path.rmatch_indices('/') {
                if !parents.insert((domain, &path[..end])) {
                    break;
                }
            }
        }
        let mut seen = HashSet::new();
        for (domain, path) in paths {
            if path.is_empty() || parents.contains(&(domain, &**path)) {
                self.directory(domain, path);
            } else if seen.insert((domain, path)) {
                self.directories_of(domain, path);
                let size = mix(self.seed ^ mix(self.entries.len() as u64)) % SMALL;
                self.file(domain, path, size, FIRST_MTIME);
            }
        }
    }
}

impl DataSet {
    /// Makes what the description says.
    pub fn generate(spec: &DataSetSpec) -> Self {
        let mut builder = Builder::new(spec.seed, Vec::new());
        builder.lifelike = spec.lifelike;
        for group in &spec.groups {
            builder.group(group, FIRST_MTIME);
        }
        builder.paths(&spec.paths);
        if spec.lifelike {
            extras::add(&mut builder, spec.groups.iter().map(|group| group.count).sum());
        }
        let mut entries = builder.finish();
        stale::spread(&mut entries, spec.seed);
        odd::spread(&mut entries, &spec.odd_rows);
        attributes::fill(&mut entries, spec.manifest_bytes_min);
        Self { seed: spec.seed, generation: 0, entries }
    }
}
