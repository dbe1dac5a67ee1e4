//! From a description to a data set.

use std::{collections::HashSet, sync::Arc};

use super::{DataFile, DataSet, FLAG_DIRECTORY, FLAG_FILE, FileId, content::mix};

/// 14 November 2023, when every simulated phone was bought.
const FIRST_MTIME: i64 = 1_700_000_000;
/// Cameras begin a new folder after so many pictures; here every directory does.
const FILES_PER_DIRECTORY: usize = 1000;

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
}

impl DataSetSpec {
    /// `count` files of `size` bytes each.
    pub fn uniform(seed: u64, count: usize, size: u64) -> Self {
        Self { seed, groups: vec![group("HomeDomain", "Library/Uniform", count, SizeRule::Fixed(size))] }
    }

    /// What people have: mostly pictures by size, mostly small files by count, some of them empty, names of every kind.
    /// `total_bytes` is met within some per cent.
    pub fn mixed(seed: u64, count: usize, total_bytes: u64) -> Self {
        let pictures = count * 4 / 10;
        let (notes, recordings, empty) = (count * 3 / 10, count / 20, count / 20);
        let library = count - pictures - notes - recordings - empty;
        let about = |share: u64, count: usize| {
            let mean = total_bytes / 100 * share / (count as u64).max(1);
            SizeRule::Between(mean / 2, mean + mean / 2)
        };
        Self {
            seed,
            groups: vec![
                group("HomeDomain", "Library/Preferences", library, about(5, library)),
                group("CameraRollDomain", "Media/DCIM", pictures, about(75, pictures)),
                group("AppDomain-com.example.notes", "Documents/My Notes", notes, about(10, notes)),
                group("MediaDomain", "Media/Recordings", recordings, about(10, recordings)),
                group("HomeDomain", "Library/Caches/Locks", empty, SizeRule::Fixed(0)),
            ],
        }
    }

    /// Nothing at all.
    pub fn empty(seed: u64) -> Self {
        Self { seed, groups: Vec::new() }
    }
}

fn group(domain: &str, directory: &str, count: usize, size: SizeRule) -> FileGroup {
    FileGroup { domain: domain.into(), directory: directory.into(), count, size }
}

fn relative_path(directory: &str, index: usize) -> String {
    let folder = index / FILES_PER_DIRECTORY;
    if directory.ends_with("DCIM") {
        return format!("{directory}/{}APPLE/IMG_{:04}.HEIC", 100 + folder, index % 10_000 + 1);
    }
    let name = match index % 5 {
        0 => format!("note {index}.txt"),
        1 => format!("com.example.settings-{index}.plist"),
        2 => format!("Grüße aus Köln {index}.pdf"),
        3 => format!("🎉 party {index}.m4a"),
        _ => format!("store-{index}.sqlite"),
    };
    if folder == 0 { format!("{directory}/{name}") } else { format!("{directory}/part {folder}/{name}") }
}

/// Puts rows together so that every directory of a file has its own row before it.
pub(super) struct Builder {
    seed: u64,
    directories: HashSet<FileId>,
    entries: Vec<DataFile>,
}

impl Builder {
    pub(super) fn new(seed: u64, entries: Vec<DataFile>) -> Self {
        let directories = entries.iter().filter(|entry| !entry.is_file()).map(|entry| entry.file_id).collect();
        Self { seed, directories, entries }
    }

    pub(super) fn finish(self) -> Vec<DataFile> {
        self.entries
    }

    /// Adds the files of a group.
    pub(super) fn group(&mut self, group: &FileGroup, first_mtime: i64) {
        let domain: Arc<str> = group.domain.as_str().into();
        for index in 0..group.count {
            let path = relative_path(&group.directory, index);
            self.directories_of(&domain, &path);
            let file_id = FileId::of(&domain, &path);
            let size = match group.size {
                SizeRule::Fixed(size) => size,
                SizeRule::Between(least, most) => {
                    let random = mix(self.seed ^ mix(self.entries.len() as u64));
                    least + random % (most.saturating_sub(least) + 1)
                }
            };
            self.entries.push(DataFile {
                domain: domain.clone(),
                relative_path: path.into(),
                file_id,
                size,
                version: 0,
                mtime: first_mtime + self.entries.len() as i64,
                mode: 0o100_644,
                flags: FLAG_FILE,
                seed: self.seed,
            });
        }
    }

    fn directories_of(&mut self, domain: &Arc<str>, path: &str) {
        let ends = std::iter::once(0).chain(path.match_indices('/').map(|(end, _)| end));
        for end in ends {
            let directory = &path[..end];
            let file_id = FileId::of(domain, directory);
            if self.directories.insert(file_id) {
                self.entries.push(DataFile {
                    domain: domain.clone(),
                    relative_path: directory.into(),
                    file_id,
                    size: 0,
                    version: 0,
                    mtime: FIRST_MTIME,
                    mode: 0o040_755,
                    flags: FLAG_DIRECTORY,
                    seed: self.seed,
                });
            }
        }
    }
}

impl DataSet {
    /// Makes what the description says.
    pub fn generate(spec: &DataSetSpec) -> Self {
        let mut builder = Builder::new(spec.seed, Vec::new());
        for group in &spec.groups {
            builder.group(group, FIRST_MTIME);
        }
        Self { seed: spec.seed, generation: 0, entries: builder.finish() }
    }
}
