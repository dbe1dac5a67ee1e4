//! How a data set changes between two backups.

use super::{
    DataFile, DataSet,
    builder::Builder,
    content::mix,
    spec::{FileGroup, SizeRule},
    sqlite, stale,
};

/// Later than every first mtime, also of 400,000 files.
const LATER: i64 = 1_710_000_000;

/// One change; which files it hits follows from the seed and the generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// So many files get new content; every other one also another size.
    Change {
        /// How many.
        count: usize,
    },
    /// So many files come into being.
    Add {
        /// How many.
        count: usize,
        /// Bytes of each.
        size: u64,
    },
    /// So many files go.
    Remove {
        /// How many.
        count: usize,
    },
}

impl DataSet {
    /// The same phone, later.
    #[must_use]
    pub fn mutated(&self, mutation: Mutation) -> Self {
        let generation = self.generation + 1;
        let mut entries = self.entries.clone();
        match mutation {
            Mutation::Change { count } => {
                for (order, index) in self.chosen(count).into_iter().enumerate() {
                    change(&mut entries[index], generation, order);
                }
            }
            Mutation::Add { count, size } => {
                let group = FileGroup {
                    domain: "HomeDomain".into(),
                    directory: format!("Library/Added/{generation}"),
                    count,
                    size: SizeRule::Fixed(size),
                };
                let before = entries.len();
                let mut builder = Builder::new(self.seed, entries);
                builder.group(&group, LATER + i64::from(generation) * 1_000_000);
                entries = builder.finish();
                stale::spread(&mut entries[before..], self.seed);
            }
            Mutation::Remove { count } => {
                let mut keep = vec![true; entries.len()];
                self.chosen(count).into_iter().for_each(|index| keep[index] = false);
                let mut keep = keep.into_iter();
                entries.retain(|_| keep.next().unwrap_or(true));
            }
        }
        Self { seed: self.seed, generation, entries }
    }

    /// `count` places of files, spread over the whole; fewer when there are fewer files.
    fn chosen(&self, count: usize) -> Vec<usize> {
        let files: Vec<usize> =
            self.entries.iter().enumerate().filter(|(_, entry)| entry.is_file()).map(|(index, _)| index).collect();
        if files.is_empty() {
            return files;
        }
        let count = count.min(files.len());
        let start = mix(self.seed ^ u64::from(self.generation)) as usize % files.len();
        // Equal steps around a ring never meet the same place twice.
        (0..count).map(|step| files[(start + step * files.len() / count) % files.len()]).collect()
    }
}

/// A changed file keeps its ways: a database stays one, a size that was recorded wrongly stays wrong.
fn change(file: &mut DataFile, generation: u32, order: usize) {
    file.version = generation;
    file.mtime = LATER + i64::from(generation) * 1_000_000 + order as i64;
    file.stat.changed = file.mtime;
    if let Some(odd) = file.odd {
        odd.bend_dates(file);
    }
    if order % 2 == 1 {
        let page = sqlite::page_size(file.size).filter(|_| sqlite::is_database(&file.relative_path));
        file.size += page.map_or(1 + order as u64 % 1000, |page| page * (1 + order as u64 % 5));
    }
    file.recorded_size = file.stale.recorded(file.size);
}
