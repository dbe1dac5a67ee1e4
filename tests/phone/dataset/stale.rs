//! Which files have another `Size` in the manifest than they have bytes in the backup.
//!
//! Reports on real backups (avibrazil/iOSbackup 26, novkostya/ios-backup-crypt, MaxiHuHe04/iTunes-Backup-Explorer 66)
//! tell of some per cent, nearly all of them databases, longer and shorter ones.

use super::{DataFile, content::mix, sqlite};

/// Of so many files some have a wrong `Size`, at least.
const FILES_MIN: usize = 10;

/// What the recorded size of a file has to do with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    /// They are the same.
    No,
    /// The live file was empty: everything is in its write-ahead log.
    Empty,
    /// The live file had its first page alone.
    FirstPage,
    /// The live file was longer than the copy by so many pages.
    Longer(u64),
    /// The live file was a third shorter than the copy.
    Shorter,
}

impl Stale {
    /// `Size` of a file of so many bytes.
    pub(super) fn recorded(self, size: u64) -> u64 {
        match self {
            Self::No => size,
            Self::FirstPage if size != sqlite::PAGE_MAX => sqlite::PAGE_MAX,
            Self::Empty | Self::FirstPage => 0,
            Self::Longer(pages) => size + pages * sqlite::PAGE_MAX,
            Self::Shorter => size - size.div_ceil(3),
        }
    }
}

/// Makes some sizes wrong, in 3 of 200 files, of which 6 in 7 are databases.
pub(super) fn spread(entries: &mut [DataFile], seed: u64) {
    let files = entries.iter().filter(|entry| entry.is_file()).count();
    if files < FILES_MIN {
        return;
    }
    let wanted = (files * 3 / 200).max(1);
    let places = |entries: &[DataFile], databases: bool| -> Vec<usize> {
        let fits = |entry: &DataFile| {
            entry.is_file() && entry.size > 0 && sqlite::is_database(&entry.relative_path) == databases
        };
        (0..entries.len()).filter(|place| fits(&entries[*place])).collect()
    };
    let (databases, others) = (places(entries, true), places(entries, false));
    let of_others = if databases.is_empty() { wanted } else { wanted / 7 };
    let of_databases = (wanted - of_others).min(databases.len());
    let kinds = [Stale::FirstPage, Stale::Longer(1 + seed % 7), Stale::Empty, Stale::Longer(30), Stale::Shorter];
    for (order, place) in every(&databases, of_databases, seed).enumerate() {
        set(&mut entries[place], kinds[(order + seed as usize) % kinds.len()]);
    }
    let kinds = [Stale::Shorter, Stale::Longer(1)];
    for (order, place) in every(&others, of_others, seed).enumerate() {
        set(&mut entries[place], kinds[order % kinds.len()]);
    }
}

/// `count` of these places, spread evenly.
fn every(places: &[usize], count: usize, seed: u64) -> impl Iterator<Item = usize> + '_ {
    let start = mix(seed) as usize;
    let step = move |order: usize| order * places.len() / count.max(1);
    (0..count.min(places.len())).map(move |order| places[(start % places.len() + step(order)) % places.len()])
}

fn set(file: &mut DataFile, stale: Stale) {
    file.stale = stale;
    file.recorded_size = stale.recorded(file.size);
}
