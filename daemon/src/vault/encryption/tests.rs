//! Encrypted trees built by the reverse operations, and what is made of broken ones.

use std::{fs, io::Write, path::Path};

use aes_kw::KekAes256;
use cbc::cipher::{BlockEncryptMut, KeyIvInit, block_padding::Pkcs7};
use pbkdf2::pbkdf2_hmac;
use tempfile::TempDir;

use super::{content::stored_size_fits, *};
use crate::vault::{
    manifest::Manifest,
    proof::Known,
    verify::{Findings, Opened, Verified, VerifyError, verify},
};

pub(in crate::vault) fn scratch(folder: &Path, memory_bytes_max: u64) -> Scratch {
    Scratch::new(vec![folder.to_owned()], memory_bytes_max)
}

/// As another program's backup: nothing is known of its files.
fn verified(tree: &Path, passwords: &[Password]) -> Result<Verified, VerifyError> {
    let opened = Opened::new(tree, passwords, &scratch(tree, u64::MAX))?;
    verify(tree, &opened, |_, _| Known::Nothing, |_| false)
}

pub(in crate::vault) const PASSWORD: &str = "korrekt pferd";
const CLASS: u32 = 3;
const CLASS_KEY: [u8; 32] = [0x5A; 32];
pub(in crate::vault) const FILE_KEY: [u8; 32] = [0x77; 32];

pub(in crate::vault) fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

pub(in crate::vault) fn encrypt(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<aes::Aes256>::new(key.into(), &[0; 16].into()).encrypt_padded_vec_mut::<Pkcs7>(plain)
}

/// Four bytes of class and a wrapped key, as files and the manifest have them.
fn wrapped(key: &[u8; 32]) -> Vec<u8> {
    let mut bytes = CLASS.to_le_bytes().to_vec();
    bytes.extend(KekAes256::new(&CLASS_KEY.into()).wrap_vec(key).unwrap());
    bytes
}

fn item(bag: &mut Vec<u8>, tag: &[u8; 4], value: &[u8]) {
    bag.extend(tag);
    bag.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
    bag.extend(value);
}

/// A keybag of one class; without the first derivation it is one from before iOS 10.2.
fn keybag(first: Option<u32>, iterations: u32) -> Vec<u8> {
    let (mut middle, mut key) = ([0; 32], [0; 32]);
    let secret = match first {
        Some(first) => {
            pbkdf2_hmac::<sha2::Sha256>(PASSWORD.as_bytes(), b"first salt", first.min(1000), &mut middle);
            &middle[..]
        }
        None => PASSWORD.as_bytes(),
    };
    pbkdf2_hmac::<sha1::Sha1>(secret, b"second salt", iterations.min(1000), &mut key);
    let mut bag = Vec::new();
    item(&mut bag, b"VERS", &5_u32.to_be_bytes());
    item(&mut bag, b"TYPE", &1_u32.to_be_bytes());
    item(&mut bag, b"UUID", &[1; 16]);
    item(&mut bag, b"HMCK", &[2; 40]);
    item(&mut bag, b"WRAP", &0_u32.to_be_bytes());
    item(&mut bag, b"SALT", b"second salt");
    item(&mut bag, b"ITER", &iterations.to_be_bytes());
    if let Some(first) = first {
        item(&mut bag, b"DPWT", &1_u32.to_be_bytes());
        item(&mut bag, b"DPIC", &first.to_be_bytes());
        item(&mut bag, b"DPSL", b"first salt");
    }
    // A class that only the phone itself can open is left alone.
    for (class, wrap) in [(CLASS, 2_u32), (11, 1)] {
        item(&mut bag, b"UUID", &[3; 16]);
        item(&mut bag, b"CLAS", &class.to_be_bytes());
        item(&mut bag, b"WRAP", &wrap.to_be_bytes());
        item(&mut bag, b"KTYP", &0_u32.to_be_bytes());
        item(&mut bag, b"WPKY", &KekAes256::new(&key.into()).wrap_vec(&CLASS_KEY).unwrap());
    }
    bag
}

fn dictionary(entries: Vec<(&str, plist::Value)>) -> plist::Value {
    plist::Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn archive(size: u64, key: Option<Vec<u8>>) -> Vec<u8> {
    let uid = |number| plist::Value::Uid(plist::Uid::new(number));
    let mut file = vec![("Size", size.into()), ("$class", uid(2))];
    let mut objects = vec!["$null".into(), dictionary(vec![]), dictionary(vec![])];
    if let Some(key) = key {
        file.push(("EncryptionKey", uid(3)));
        objects.push(dictionary(vec![("NS.data", plist::Value::Data(key)), ("$class", uid(2))]));
    }
    objects[1] = dictionary(file);
    let top = dictionary(vec![("root", uid(1))]);
    let list = dictionary(vec![("$top", top), ("$objects", plist::Value::Array(objects))]);
    let mut bytes = Vec::new();
    list.to_writer_binary(&mut bytes).unwrap();
    bytes
}

fn write_manifest_list(tree: &Path, bag: Vec<u8>) {
    let list = dictionary(vec![
        ("IsEncrypted", true.into()),
        ("BackupKeyBag", plist::Value::Data(bag)),
        ("ManifestKey", plist::Value::Data(wrapped(&FILE_KEY))),
    ]);
    list.to_file_binary(tree.join("Manifest.plist")).unwrap();
}

pub(in crate::vault) fn content(size: usize) -> Vec<u8> {
    (0..size).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

pub(in crate::vault) const SIZES: [usize; 8] = [0, 1, 15, 16, 17, 5000, 262_144, 3_000_000];

pub(in crate::vault) fn name(index: usize) -> String {
    format!("{index:02x}{:038x}", index)
}

/// A finished encrypted tree with one file of each size.
pub(in crate::vault) fn tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path();
    write_manifest_list(tree, keybag(Some(10), 5));
    let status = dictionary(vec![("SnapshotState", "finished".into()), ("IsFullBackup", true.into())]);
    status.to_file_binary(tree.join("Status.plist")).unwrap();
    let plain = tree.join("plain.db");
    let database = rusqlite::Connection::open(&plain).unwrap();
    database.execute_batch("CREATE TABLE Files (fileID, domain, relativePath, flags, file)").unwrap();
    for (index, size) in SIZES.into_iter().enumerate() {
        let row =
            (name(index), "HomeDomain", format!("file {size}"), 1, archive(size as u64, Some(wrapped(&FILE_KEY))));
        database.execute("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", row).unwrap();
        fs::create_dir_all(tree.join(&name(index)[..2])).unwrap();
        fs::write(tree.join(&name(index)[..2]).join(name(index)), encrypt(&FILE_KEY, &content(size))).unwrap();
    }
    drop(database);
    fs::write(tree.join("Manifest.db"), encrypt(&FILE_KEY, &fs::read(&plain).unwrap())).unwrap();
    fs::remove_file(plain).unwrap();
    folder
}

fn read(unlocked: &Unlocked, stored: &[u8], key: Option<Vec<u8>>) -> Result<Vec<u8>, String> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(stored).unwrap();
    let mut plain = Vec::new();
    let mut reader = unlocked.content(file, key.as_deref()).map_err(|error| error.to_string())?;
    reader.read_to_end(&mut plain).map_err(|error| error.to_string())?;
    Ok(plain)
}

#[test]
fn an_encrypted_tree_is_verified() {
    let folder = tree();
    let whole = verified(folder.path(), &[password("an older one"), password(PASSWORD)]).unwrap();
    let stored = SIZES.iter().map(|size| size / 16 * 16 + 16).sum::<usize>() as u64;
    assert_eq!((whole.files, whole.bytes, whole.notes, whole.doubts.count), (SIZES.len() as u64, stored, 0, 0));
    for (passwords, wrong) in [(vec![], false), (vec![password("wrong")], true)] {
        let Err(VerifyError::Encryption(error)) = verified(folder.path(), &passwords) else { panic!("opened") };
        assert_eq!(matches!(error, EncryptionError::WrongPassword), wrong, "{error}");
    }
}

/// In memory, or on the disk without a name; where there is no room, the place is named.
#[test]
fn the_manifest_is_decrypted_where_nobody_sees_it() {
    let folder = tree();
    let unlocked = Unlocked::open(folder.path(), &password(PASSWORD)).unwrap();
    let place = tempfile::tempdir().unwrap();
    let names = || fs::read_dir(place.path()).unwrap().count();
    // A database needs no filling up: some writers leave the padding out.
    let stored = fs::read(folder.path().join("Manifest.db")).unwrap();
    for stored in [&stored[..], &stored[..stored.len() - 16]] {
        fs::write(folder.path().join("Manifest.db"), stored).unwrap();
        for memory in [0, u64::MAX] {
            // What a killed process left goes; nobody has this number.
            fs::write(place.path().join("backstay-manifest-999999999-x"), "names").unwrap();
            let manifest = Manifest::encrypted(folder.path(), &unlocked, &scratch(place.path(), memory)).unwrap();
            assert_eq!(names(), usize::from(memory > 0 || cfg!(not(unix))));
            let mut files = 0;
            for _ in 0..2 {
                let rows = manifest.for_each_file(|_| files += 1).unwrap();
                assert_eq!((rows.files, rows.unreadable.count), (SIZES.len() as u64, 0));
            }
            assert_eq!(files, 2 * SIZES.len());
        }
    }
    let nowhere = scratch(&place.path().join("no/such"), 0);
    fs::write(place.path().join("no"), "is no folder").unwrap();
    let error = Manifest::encrypted(folder.path(), &unlocked, &nowhere).unwrap_err();
    assert!(matches!(&error, EncryptionError::Disk { path, .. } if path.ends_with("no/such")), "{error}");
}

#[test]
fn a_file_that_changed_is_found() {
    let folder = tree();
    let passwords = [password(PASSWORD)];
    for index in 0..SIZES.len() {
        let path = folder.path().join(&name(index)[..2]).join(name(index));
        let stored = fs::read(&path).unwrap();
        let mut bad = stored.clone();
        *bad.last_mut().unwrap() ^= 1;
        for bad in [&bad[..], &stored[..stored.len() - 1]] {
            fs::write(&path, bad).unwrap();
            let Err(VerifyError::Damaged(Findings { count: 1, first, .. })) = verified(folder.path(), &passwords)
            else {
                panic!("damage in {index} was not found")
            };
            assert_eq!(first[0].path, path);
        }
        fs::write(&path, stored).unwrap();
    }
    verified(folder.path(), &passwords).unwrap();
}

/// Whatever the list says of the size: the padding tells.
#[test]
fn content_is_all_but_the_padding() {
    let folder = tree();
    let unlocked = Unlocked::open(folder.path(), &password(PASSWORD)).unwrap();
    let key = || Some(wrapped(&FILE_KEY));
    for size in [0, 1, 15, 16, 17, 262_143, 262_144, 262_145, 262_160, 262_161, 524_288, 600_000] {
        let plain = content(size);
        let stored = encrypt(&FILE_KEY, &plain);
        assert!(read(&unlocked, &stored, key()).unwrap() == plain, "{size}");
        assert!(stored_size_fits(size as u64, stored.len() as u64));
        assert!(!stored_size_fits(size as u64, stored.len() as u64 + 16));
        assert!(!stored_size_fits(stored.len() as u64, stored.len() as u64), "there is always some padding");
        read(&unlocked, &stored[..stored.len() - 1], key()).unwrap_err();
        let mut bad = stored.clone();
        *bad.last_mut().unwrap() ^= 1;
        read(&unlocked, &bad, key()).unwrap_err();
    }
    assert!(read(&unlocked, &[], None).unwrap().is_empty());
    assert!(read(&unlocked, &[], key()).unwrap().is_empty());
    read(&unlocked, &encrypt(&FILE_KEY, b"a"), None).unwrap_err();
    read(&unlocked, &encrypt(&FILE_KEY, b"a"), Some(wrapped(&FILE_KEY)[..43].to_vec())).unwrap_err();
    read(&unlocked, &encrypt(&[1; 32], b"a"), key()).unwrap_err();
    let mut other_class = wrapped(&FILE_KEY);
    other_class[0] = 9;
    read(&unlocked, &encrypt(&FILE_KEY, b"a"), Some(other_class)).unwrap_err();
}

#[test]
fn an_old_keybag_is_opened_too() {
    let keybag = Keybag::parse(&keybag(None, 7)).unwrap();
    assert!(keybag.unlock(&password(PASSWORD)).unwrap().is_some());
    assert!(keybag.unlock(&password("other")).unwrap().is_none());
}

#[test]
fn a_keybag_that_would_compute_for_hours_is_refused() {
    for bag in
        [keybag(Some(4_000_000_000), 5), keybag(Some(10), 2_000_000_000), keybag(Some(0), 5), keybag(Some(10), 0)]
    {
        assert!(Keybag::parse(&bag).unwrap_err().contains("iteration count"));
    }
    Keybag::parse(&keybag(Some(10_000_000), 10_000)).unwrap();
}

/// Every truncation and every changed byte: an error or another reading, but no panic and no long computation.
#[test]
fn broken_keybags_are_survived() {
    let good = keybag(Some(10), 5);
    for length in 0..good.len() {
        let _answer: Result<Keybag, _> = Keybag::parse(&good[..length]);
    }
    for index in 0..good.len() {
        let mut bad = good.clone();
        bad[index] ^= 0xFF;
        let Ok(keybag) = Keybag::parse(&bad) else { continue };
        // A changed count within the bounds only takes its time.
        if good[..index].ends_with(b"ITER\0\0\0\x04") || index.abs_diff(find(&good, b"DPIC")) < 12 {
            continue;
        }
        let _answer: Result<Option<_>, _> = keybag.unlock(&password(PASSWORD)).map(|keys| keys.map(|_| ()));
    }
    let wrapped = find(&good, b"WPKY") + 8;
    let mut bad = good.clone();
    bad[wrapped] ^= 1;
    assert!(Keybag::parse(&bad).unwrap().unlock(&password(PASSWORD)).unwrap().is_none());
}

fn find(bytes: &[u8], tag: &[u8]) -> usize {
    bytes.windows(tag.len()).position(|window| window == tag).unwrap()
}

#[test]
fn broken_lists_and_manifests_are_told() {
    let folder = tree();
    let tree = folder.path();
    let unlocked = Unlocked::open(tree, &password(PASSWORD)).unwrap();
    let stored = fs::read(tree.join("Manifest.db")).unwrap();
    for bad in [vec![], stored[..stored.len() - 1].to_vec(), stored[..16].to_vec(), vec![7; stored.len()]] {
        fs::write(tree.join("Manifest.db"), bad).unwrap();
        assert!(matches!(
            Manifest::encrypted(tree, &unlocked, &scratch(tree, u64::MAX)),
            Err(EncryptionError::Unreadable { .. })
        ));
    }
    let mut bad = stored.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(tree.join("Manifest.db"), bad).unwrap();
    assert!(matches!(
        Manifest::encrypted(tree, &unlocked, &scratch(tree, u64::MAX)),
        Err(EncryptionError::Unreadable { .. })
    ));
    let list = fs::read(tree.join("Manifest.plist")).unwrap();
    fs::write(tree.join("Manifest.plist"), &list[..list.len() / 2]).unwrap();
    assert!(matches!(is_encrypted(tree), Err(EncryptionError::Unreadable { .. })));
    fs::remove_file(tree.join("Manifest.plist")).unwrap();
    assert!(matches!(is_encrypted(tree), Err(EncryptionError::Unreadable { .. })));
    dictionary(vec![("IsEncrypted", false.into())]).to_file_binary(tree.join("Manifest.plist")).unwrap();
    assert!(!is_encrypted(tree).unwrap());
    assert!(matches!(open_any(tree, &[password(PASSWORD)]), Err(EncryptionError::Unreadable { .. })));
}
