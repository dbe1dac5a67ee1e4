//! What comes out of trees whose files are not as their rows say.

use std::{collections::HashMap, fs, path::Path};

use super::*;
use crate::vault::{
    checksum,
    encryption::tests::{FILE_KEY, PASSWORD, SIZES, content, encrypt, name, password, scratch, tree},
    ledger::Held,
    name::Name,
    proof::Proof,
    reader::Unopened,
};

fn reader(tree: &Path) -> Reader {
    Reader::open(tree, &[password(PASSWORD)], &scratch(tree, u64::MAX)).unwrap()
}

/// What was told, and the names of what is there now.
fn taken_out(reader: &Reader) -> (Vec<Event>, Vec<String>, tempfile::TempDir) {
    let destination = tempfile::tempdir().unwrap();
    let (told, names) = taken_out_to(destination.path(), reader, false);
    (told, names, destination)
}

fn taken_out_to(destination: &Path, reader: &Reader, overwrite: bool) -> (Vec<Event>, Vec<String>) {
    let selection::Found::One(selection) = Selection::find(reader.manifest(), "HomeDomain").unwrap() else {
        panic!("no domain")
    };
    let survey = selection.survey(reader).unwrap();
    let order = Order { selection: &selection, twins: &survey.twins, destination, overwrite };
    let mut told = Vec::new();
    extract(reader, &order, &AtomicBool::new(false), |event| told.push(event)).unwrap();
    let names = fs::read_dir(destination.join("HomeDomain"))
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    (told, names)
}

fn damages(told: &[Event]) -> Vec<(&str, &str)> {
    let mut damages: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            Event::Damaged(finding) => Some((finding.relative_path.as_str(), finding.what)),
            _ => None,
        })
        .collect();
    damages.sort_unstable();
    damages
}

fn stored(tree: &Path, index: usize) -> std::path::PathBuf {
    tree.join(&name(index)[..2]).join(name(index))
}

#[test]
fn all_that_is_stored_comes_whatever_the_row_says() {
    let tree = tree();
    // Longer and shorter than their rows tell, and one that is padding alone.
    for (index, size) in [(0, 40), (1, 0), (5, 4999), (6, 262_200)] {
        fs::write(stored(tree.path(), index), encrypt(&FILE_KEY, &content(size))).unwrap();
    }
    assert_eq!(fs::metadata(stored(tree.path(), 1)).unwrap().len(), 16);
    let reader = reader(tree.path());
    let (told, names, destination) = taken_out(&reader);
    assert_eq!((damages(&told).len(), names.len()), (0, SIZES.len()), "{told:?}");
    let mut lengths = HashMap::new();
    let add = |file: ManifestFile<'_>| lengths.extend([(file.relative_path.to_owned(), reader.length(&file))]);
    reader.manifest().for_each_file(add).unwrap();
    for (index, size) in SIZES.into_iter().enumerate() {
        let held = [40, 0, size, size, size, 4999, 262_200, size][index];
        let path = destination.path().join(format!("HomeDomain/file {size}"));
        assert!(fs::read(&path).unwrap() == content(held), "{size}");
        // A size that fits the blocks is not looked into.
        let listed = if [1, 5].contains(&index) { size } else { held };
        assert_eq!(lengths[&format!("file {size}")], Some(listed as u64), "{size}");
    }
}

#[test]
fn a_wrong_end_and_a_wrong_key_write_nothing_and_are_told() {
    let tree = tree();
    let other_end = "does not end as an encrypted file does";
    // Of another key, one byte changed at the end, cut within a block, and gone.
    fs::write(stored(tree.path(), 4), encrypt(&[1; 32], &content(17))).unwrap();
    for (index, cut) in [(3, 0), (5, 1), (6, 16)] {
        let mut bytes = fs::read(stored(tree.path(), index)).unwrap();
        bytes.truncate(bytes.len() - cut);
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(stored(tree.path(), index), bytes).unwrap();
    }
    // Ends as if with three bytes of padding, of which only the last is there.
    let plain = [&content(31)[..], &[3], &[0; 16]].concat();
    fs::write(stored(tree.path(), 2), &encrypt(&FILE_KEY, &plain)[..32]).unwrap();
    fs::remove_file(stored(tree.path(), 7)).unwrap();
    let (told, mut names, _destination) = taken_out(&reader(tree.path()));
    let mut wrong =
        ["file 15", "file 16", "file 17", "file 262144", "file 5000"].map(|path| (path, other_end)).to_vec();
    wrong.insert(4, ("file 3000000", "is missing"));
    assert_eq!(damages(&told), wrong);
    names.sort();
    assert_eq!(names, ["file 0", "file 1"]);
    assert!(!told.iter().any(|event| matches!(event, Event::Unwritable(_) | Event::Existing { .. })), "{told:?}");
}

#[test]
fn a_file_of_another_length_than_it_came_with_is_not_written() {
    let tree = tree();
    let held = |size| Held { size, digest: None, sha1: None, proof: Proof::Received };
    let held: HashMap<Name, Held> = [(4, 33), (5, 16), (6, 262_160)]
        .map(|(index, size)| (Name::of_file_id(&name(index)).unwrap(), held(size)))
        .into();
    let (told, names, _destination) = taken_out(&reader(tree.path()).with_held(held));
    let expected =
        [("file 17", "is shorter than it was when it came"), ("file 5000", "is longer than it was when it came")];
    assert_eq!(damages(&told), expected);
    assert_eq!(names.len(), SIZES.len() - 2);
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// What the ledger has when it knows all checksums.
fn ledger_of(tree: &Path, proof: Proof) -> HashMap<Name, Held> {
    let held = |index| {
        let checksum::Checksums { size, digest, sha1 } = checksum::of_file(&stored(tree, index)).unwrap();
        let held = Held { size, digest: Some(digest), sha1, proof };
        (Name::of_file_id(&name(index)).unwrap(), held)
    };
    (0..SIZES.len()).map(held).collect()
}

/// Where the padding shows nothing: in the first chunk, before a chunk that is padding alone, and in the middle.
const FLIPPED: [(usize, usize); 3] = [(5, 100), (6, 262_100), (7, 1_000_000)];

#[test]
fn of_a_file_with_a_flipped_bit_nothing_is_written() {
    let tree = tree();
    let held = ledger_of(tree.path(), Proof::Received);
    let (told, names, earlier) = taken_out(&reader(tree.path()).with_held(held.clone()));
    assert_eq!((damages(&told).len(), names.len()), (0, SIZES.len()), "{told:?}");
    FLIPPED.iter().for_each(|(index, at)| flip(&stored(tree.path(), *index), *at));
    let what = "is not what it was when it came";
    let expected = ["file 262144", "file 3000000", "file 5000"].map(|path| (path, what));
    let reader_with = |held| reader(tree.path()).with_held(held);
    let (told, names, _destination) = taken_out(&reader_with(held.clone()));
    assert_eq!((&damages(&told)[..], names.len()), (&expected[..], SIZES.len() - 3));
    let bytes_done = |told: &[Event]| {
        told.iter().map(|event| if let Event::Done { bytes } = event { *bytes } else { 0 }).sum::<u64>()
    };
    assert_eq!(bytes_done(&told), 49, "of whole files alone");
    // What came out whole earlier stays.
    let (told, names) = taken_out_to(earlier.path(), &reader_with(held), true);
    assert_eq!((&damages(&told)[..], names.len()), (&expected[..], SIZES.len()));
    for size in SIZES {
        let path = earlier.path().join(format!("HomeDomain/file {size}"));
        assert!(fs::read(path).unwrap() == content(size), "{size}");
    }
    // Nothing tells when there is neither ledger nor digest.
    let (told, names, _destination) = taken_out(&reader(tree.path()));
    assert_eq!((damages(&told).len(), names.len()), (0, SIZES.len()), "{told:?}");
}

#[test]
fn a_row_proves_what_the_ledger_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stored");
    let plain = content(600_000);
    fs::write(&path, encrypt(&FILE_KEY, &plain)).unwrap();
    let tree = tree();
    let file_id = name(4);
    let name = Name::of_file_id(&file_id).unwrap();
    let sums = checksum::of_file(&path).unwrap();
    let key = {
        let (reader, mut key) = (reader(tree.path()), None);
        reader.manifest().for_each_file(|file| key = file.record.key.map(<[u8]>::to_vec)).unwrap();
        key.unwrap()
    };
    let held = |digest, sha1, proof| Some(Held { size: sums.size, digest, sha1, proof });
    let wrong = Err("is not what the list says it is");
    for (held, listed, expected) in [
        (None, sums.sha1, Ok(())),
        (None, Some([1; 20]), wrong),
        (held(None, None, Proof::Missing), Some([1; 20]), wrong),
        (held(None, None, Proof::Contradicted), Some([1; 20]), Ok(())),
        (held(Some(sums.digest), sums.sha1, Proof::Contradicted), Some([1; 20]), Ok(())),
        (held(Some([1; 32]), None, Proof::Contradicted), None, Err("is not what it was when it came")),
        (held(Some(sums.digest), None, Proof::Missing), Some([1; 20]), Ok(())),
        (held(Some(sums.digest), sums.sha1, Proof::Missing), Some([1; 20]), wrong),
    ] {
        let reader = reader(tree.path()).with_held(held.map(|held| (name.clone(), held)).into_iter().collect());
        let open = || fs::File::open(&path).unwrap();
        let said = |unopened| match unopened {
            Unopened::Damaged(what, _) => what,
            error => panic!("{error:?}"),
        };
        let copied = reader.content(&file_id, open(), Some(&key), listed).map_err(said).and_then(|mut content| {
            let mut target = tempfile::tempfile().unwrap();
            while content.copy_piece(&mut target, 70_000).unwrap() > 0 {}
            content.finish().unwrap().map_or(Ok(()), |(what, _)| Err(what))
        });
        assert_eq!(copied, expected, "{held:?} {listed:?}");
        let mut file = open();
        let proved = reader.prove(&file_id, &mut file, listed, || true).map_err(said);
        assert_eq!(proved, expected, "{held:?} {listed:?}");
    }
}
