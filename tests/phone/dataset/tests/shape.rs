//! The default data set has the properties of real backups, in about their shares.

use std::collections::{HashMap, HashSet};

use super::super::*;

fn mixed() -> DataSet {
    DataSet::generate(&DataSetSpec::mixed(1, 1000, 40_000_000))
}

fn count(data: &DataSet, fits: impl Fn(&&DataFile) -> bool) -> usize {
    data.entries().iter().filter(fits).count()
}

#[test]
fn rows_are_mostly_directories_and_none_lacks_its_parents() {
    let data = mixed();
    assert_eq!(data.file_count(), 1000);
    let directories = count(&data, |entry| entry.flags == FLAG_DIRECTORY);
    assert!(directories > 800, "{directories}");
    assert!(count(&data, |entry| entry.flags == FLAG_LINK) >= 10);
    assert_eq!(count(&data, |entry| entry.flags == FLAG_BARE), 1);
    let rows: HashSet<FileId> = data.entries().iter().map(|entry| entry.file_id).collect();
    assert_eq!(rows.len(), data.entries().len(), "each row once");
    for entry in data.entries().iter().filter(|entry| entry.flags != FLAG_BARE) {
        let mut path = &*entry.relative_path;
        while !path.is_empty() {
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            assert!(rows.contains(&FileId::of(&entry.domain, path)), "{} has no {path}", entry.name());
        }
    }
    let links: String = data.entries().iter().filter_map(|entry| entry.target.as_deref()).collect();
    assert!(links.starts_with('/') && links.contains(':') && links.contains('+') && links.contains(' '));
}

#[test]
fn sizes_are_wrong_both_ways_mostly_of_databases() {
    for spec in [DataSetSpec::mixed(1, 1000, 40_000_000), DataSetSpec::uniform(7, 1000, 8192)] {
        let data = DataSet::generate(&spec);
        let stale: Vec<&DataFile> = data.files().filter(|file| file.size != file.recorded_size).collect();
        assert!((10..=20).contains(&stale.len()), "{}", stale.len());
        assert!(stale.iter().any(|file| file.recorded_size == 0 && file.size > 0));
        assert!(stale.iter().any(|file| file.recorded_size == 4096 && file.size > 4096));
        assert!(stale.iter().any(|file| file.recorded_size > file.size));
        let databases = stale.iter().filter(|file| file.relative_path.ends_with(".sqlite")).count();
        assert!(databases * 4 > stale.len() * 3 && databases < stale.len(), "{databases} of {}", stale.len());
    }
    for seed in 0..30 {
        for spec in [DataSetSpec::mixed(seed, 20, 100_000), DataSetSpec::uniform(seed, 20, 1000)] {
            assert!(DataSet::generate(&spec).files().any(|file| file.size != file.recorded_size), "{spec:?}");
        }
    }
}

#[test]
fn databases_begin_as_sqlite_has_it_also_when_they_changed() {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let first = mixed();
    for data in [&first, &first.mutated(Mutation::Change { count: 1000 })] {
        let mut found = 0;
        for file in data.files().filter(|file| file.relative_path.ends_with(".sqlite") && file.size > 0) {
            let content = file.content();
            assert_eq!(&content[..16], b"SQLite format 3\0", "{}", file.name());
            assert_eq!(number(&content[16..18]) * number(&content[28..32]), file.size, "{}", file.name());
            assert_eq!(content[24..28], content[92..96]);
            found += 1;
        }
        assert!(found > 80, "{found}");
    }
}

#[test]
fn the_domain_decides_which_files_have_a_digest() {
    let data = mixed();
    let mut domains: HashMap<&str, HashSet<bool>> = HashMap::new();
    for file in data.files() {
        domains.entry(&file.domain).or_default().insert(file.has_digest());
    }
    let all = |domain: &str, has| domains[domain] == HashSet::from([has]);
    assert!(all("HomeDomain", true) && all("CameraRollDomain", false));
    assert!(all("AppDomain-com.example.notes", false) && all("MediaDomain", false));
    assert!(DataSet::generate(&DataSetSpec::uniform(1, 3, 3)).files().all(DataFile::has_digest));
}

#[test]
fn modes_owners_classes_and_times_are_those_of_a_real_manifest() {
    let data = mixed();
    let (file, directory) =
        (|entry: &&DataFile| entry.flags == FLAG_FILE, |entry: &&DataFile| entry.flags == FLAG_DIRECTORY);
    for mode in [0o100_600, 0o100_644, 0o100_666, 0o100_000, 0o100_664, 0o100_400] {
        assert!(count(&data, |entry| file(entry) && entry.mode == mode) > 0, "{mode:o}");
    }
    for mode in [0o040_755, 0o040_000, 0o040_700] {
        assert!(count(&data, |entry| directory(entry) && entry.mode == mode) > 0, "{mode:o}");
    }
    assert!(count(&data, |entry| entry.flags == FLAG_LINK && entry.mode == 0o120_755) > 0);
    for user in [501, 0, -2, 25, 33, 64] {
        assert!(count(&data, |entry| entry.stat.user == user) > 0, "{user}");
    }
    for (of_files, of_directories) in [(3, 0), (4, 4), (1, 1), (2, 3)] {
        assert!(count(&data, |entry| file(entry) && entry.stat.protection_class == of_files) > 0);
        assert!(count(&data, |entry| directory(entry) && entry.stat.protection_class == of_directories) > 0);
    }
    assert!((1..40).contains(&count(&data, |entry| entry.stat.flags == 128)));
    assert!(count(&data, |entry| entry.stat.birth == 315_532_800) > 0);
    assert!(count(&data, |entry| entry.stat.changed < entry.mtime) > 0);
    assert!(count(&data, |entry| entry.stat.birth > entry.mtime) > 0);
    let mut inodes = HashMap::new();
    for entry in data.entries().iter().filter(directory) {
        *inodes.entry(entry.stat.inode).or_insert(0) += 1;
    }
    assert!(inodes.values().any(|shared| *shared > 1));
    let attributes: Vec<usize> =
        data.entries().iter().filter_map(|entry| Some(entry.extended_attributes()?.len())).collect();
    assert!(attributes.len() > 50 && attributes.iter().all(|length| *length <= 1155), "{attributes:?}");
}

#[test]
fn names_are_of_every_kind() {
    let data = mixed();
    let has = |fits: &dyn Fn(&str) -> bool| assert!(data.files().any(|file| fits(&file.relative_path)));
    let parts = |path: &str| path.split('/').map(str::len).collect::<Vec<_>>();
    has(&|path| path.contains("U\u{308}"));
    has(&|path| path.contains("\u{fc}cher/A\u{308}"));
    has(&|path| parts(path).iter().any(|length| *length > 255));
    has(&|path| path.contains('\\') && path.contains(':') && path.contains('*') && path.contains('?'));
    has(&|path| path.contains("/."));
    has(&|path| path.contains("  "));
    has(&|path| parts(path).len() >= 10);
    has(&|path| path.ends_with("/store-4.sqlite-shm"));
    let names: HashSet<&str> = data.files().map(|file| &*file.relative_path).collect();
    assert!(names.iter().any(|name| name.ends_with(".sqlite-wal") && names.contains(name.trim_end_matches("-wal"))));
    assert!(names.iter().any(|name| name.ends_with(".db-wal") && !names.contains(name.trim_end_matches("-wal"))));
    assert!(data.files().any(|file| file.relative_path.ends_with("-wal") && file.size == 0));
    let folded: HashSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
    assert!(folded.len() < names.len(), "two names differ in case only");
    assert!(names.contains("Media/DCIM/100APPLE/IMG_0001.HEIC"));
}

#[test]
fn odd_rows_are_one_of_each_kind() {
    let data = DataSet::generate(&DataSetSpec::mixed(1, 100, 100_000).with_odd_rows(&OddRow::ALL));
    for kind in OddRow::ALL {
        assert_eq!(count(&data, |entry| entry.odd == Some(kind)), 1, "{kind:?}");
    }
    assert!(count(&data, |entry| entry.mtime > 1_000_000_000_000_000) == 1);
    assert!(count(&data, |entry| entry.mtime < 0) == 1);
}
