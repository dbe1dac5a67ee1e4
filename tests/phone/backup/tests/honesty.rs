//! Manifests, digests and the phone's own judgement.

use std::collections::{BTreeSet, HashMap};

use idevice::services::mobilebackup2::FsBackupDelegate;
use rusqlite::{Connection, OpenFlags};

use super::{INFO, World, memory_host::MemoryHost};
use crate::{
    oracle,
    phone::{
        CutEnding, Fault, Phone, PhoneSpec,
        backup::mbfile,
        dataset::{DataSetSpec, Mutation, OddRow},
    },
    real::real,
};

impl World {
    async fn code(&self) -> i64 {
        let answer = self.backup(None).await.unwrap().unwrap();
        std::fs::write(self.folder().join("Info.plist"), INFO).unwrap();
        answer.get("ErrorCode").unwrap().as_signed_integer().unwrap()
    }

    async fn restore_code(&self) -> (i64, String) {
        let mut client = self.client().await;
        let answer = client.restore_from_path(self.root.path(), None, None, &FsBackupDelegate).await.unwrap().unwrap();
        let text = answer.get("ErrorDescription").unwrap().as_string().unwrap().to_owned();
        (answer.get("ErrorCode").unwrap().as_signed_integer().unwrap(), text)
    }

    fn payload(&self, index: usize) -> std::path::PathBuf {
        self.folder().join(self.phone.data().file(index).unwrap().file_id.path())
    }

    fn verdict(&self) -> String {
        oracle::check_backup(&self.folder(), &self.phone.data()).err().unwrap_or_default()
    }
}

fn open(path: &std::path::Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags).unwrap()
}

/// Keys of the archived files of a manifest by the flags of their rows.
fn keys(manifest: &Connection) -> HashMap<i64, BTreeSet<Vec<String>>> {
    let mut kinds = HashMap::<i64, BTreeSet<Vec<String>>>::new();
    let mut statement = manifest.prepare("SELECT flags, file FROM Files WHERE file NOT NULL").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let archive: plist::Value = plist::from_bytes(row.get_ref(1).unwrap().as_blob().unwrap()).unwrap();
        let archive = archive.into_dictionary().unwrap();
        let file = archive["$objects"].as_array().unwrap()[1].as_dictionary().unwrap();
        kinds.entry(row.get(0).unwrap()).or_default().insert(file.keys().cloned().collect());
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_has_the_shape_of_a_real_one() {
    let world = World::new(DataSetSpec::mixed(1, 1000, 5_000_000));
    for _ in 0..2 {
        world.good_backup().await;
        let path = world.folder().join("Manifest.db");
        let header = std::fs::read(&path).unwrap();
        assert_eq!((&header[16..20], header.len() % 4096), (&[16, 0, 2, 2][..], 0));
        let manifest = open(&path);
        let number = |pragma: &str| manifest.query_row(pragma, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((number("PRAGMA auto_vacuum"), number("PRAGMA user_version")), (2, 2));
        assert_eq!(number("SELECT count(*) FROM Properties"), 0);
        assert_eq!(number("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL"), 3);
        world.phone.mutate(Mutation::Change { count: 50 });
    }
}

/// Every kind of row that a real manifest has, ours has, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn archived_files_have_the_keys_of_a_real_manifest() {
    let Some(real) = real("mvt-ios14/Manifest.db") else { return };
    let password = "first";
    let world = World::new(DataSetSpec::mixed(1, 1000, 5_000_000));
    world.phone.set_backup_password(Some(password));
    assert_eq!(world.code().await, 0);
    let opened = world.root.path().join("opened");
    oracle::open_manifest(&world.folder(), password, &opened).unwrap();
    let stored = std::fs::metadata(world.folder().join("Manifest.db")).unwrap().len();
    assert_eq!(stored, std::fs::metadata(&opened).unwrap().len() + 16);
    let (ours, theirs) = (keys(&open(&opened)), keys(&open(&real)));
    assert_eq!(ours, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_looks_at_digests_and_not_at_sizes() {
    let world = World::new(DataSetSpec::uniform(1, 30, 10_000));
    world.good_backup().await;
    assert_eq!(world.restore_code().await.0, 0, "with sizes that are not those of the files");
    let payload = world.payload(3);
    let mut bytes = std::fs::read(&payload).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&payload, bytes).unwrap();
    let (code, text) = world.restore_code().await;
    assert!(code == 205 && text.starts_with("Digest didn't match for some files"), "{code} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_forgot_what_it_sent_takes_digests_anew() {
    for password in [None, Some("first")] {
        let world = World::new(DataSetSpec::uniform(1, 30, 10_000));
        world.phone.set_backup_password(password);
        assert_eq!(world.code().await, 0);
        world.phone.digests().forget();
        world.phone.set_fault(None);
        assert_eq!(world.code().await, 0);
        assert!(*world.phone.bytes_sent().borrow() < 200_000, "nothing is sent again");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_ends_in_205() {
    let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::uniform(1, 50, 100)));
    phone.plug_in();
    for (fault, code) in
        [(None, 205), (Some(Fault::FileForgotten { index: 7 }), 0), (Some(Fault::MoveLost { index: 7 }), 0)]
    {
        let mut host = MemoryHost::new();
        if fault.is_none() {
            host.loses = Some(phone.data().file(7).unwrap().file_id.hex());
        }
        phone.set_fault(fault);
        let answer = host.backup(&phone).await.unwrap();
        assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(code), "{answer:?}");
        if code == 205 {
            let text = answer.get("ErrorDescription").unwrap().as_string().unwrap();
            assert_eq!(text, "Manifest references files not in backup (MBErrorDomain/205)");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_be_cut_or_lost_on_its_way() {
    for password in [None, Some("first")] {
        let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::uniform(1, 50, 10_000)));
        phone.plug_in();
        phone.set_backup_password(password);
        phone.set_fault(Some(Fault::CutFile { index: 7, ending: CutEnding::EndOfList }));
        let mut host = MemoryHost::new();
        let answer = host.backup(&phone).await.unwrap();
        // That the cut file is nowhere is what this host tells of it.
        assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(205));
        assert_eq!((host.cut, host.uploaded, host.moved), (1, 49, 52), "the rest goes in the next list");
        phone.set_fault(Some(Fault::CutFile { index: 7, ending: CutEnding::NextName }));
        let error = MemoryHost::new().backup(&phone).await.unwrap_err();
        assert_eq!(error.to_string(), "a name behind data");
    }
    let world = World::new(DataSetSpec::uniform(1, 50, 10_000));
    world.phone.set_fault(Some(Fault::MoveLost { index: 7 }));
    assert_eq!(world.code().await, 0);
    assert!(!world.payload(7).exists() && !world.folder().join("Snapshot").exists());
    assert!(world.verdict().starts_with("1 differences"), "{}", world.verdict());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_digest_stays_wrong_and_a_touched_row_is_not_sent() {
    let world = World::new(DataSetSpec::uniform(1, 50, 10_000));
    world.phone.set_fault(Some(Fault::WrongDigest { index: 7 }));
    for _ in 0..2 {
        assert_eq!(world.code().await, 0);
        assert!(world.verdict().contains("its Digest is not that of the stored bytes"), "{}", world.verdict());
    }
    assert_eq!(world.restore_code().await.0, 205);
    world.phone.set_fault(None);
    world.good_backup().await;

    let before = std::fs::metadata(world.payload(9)).unwrap().modified().unwrap();
    world.phone.set_fault(Some(Fault::RowTouched { index: 9 }));
    assert_eq!(world.code().await, 0);
    assert!(world.verdict().contains("is another row"), "{}", world.verdict());
    assert_eq!(std::fs::metadata(world.payload(9)).unwrap().modified().unwrap(), before);
    world.phone.set_fault(None);
    world.good_backup().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_rows_are_backed_up_compared_and_restored() {
    for password in [None, Some("first")] {
        let world = World::new(DataSetSpec::mixed(1, 200, 2_000_000).with_odd_rows(&OddRow::ALL));
        world.phone.set_backup_password(password);
        for _ in 0..2 {
            world.phone.set_fault(None);
            assert_eq!(world.code().await, 0);
            match password {
                None => assert_eq!(world.verdict(), ""),
                Some(password) => {
                    oracle::check_encrypted_backup(&world.folder(), &world.phone.data(), password).unwrap();
                }
            }
        }
        assert!(*world.phone.bytes_sent().borrow() < 1_000_000);
        let options = password.map(|word| idevice::services::mobilebackup2::RestoreOptions::new().with_password(word));
        let mut client = world.client().await;
        let restored = client.restore_from_path(world.root.path(), None, options, &FsBackupDelegate).await;
        let answer = restored.unwrap().unwrap();
        assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(0), "{answer:?}");
        world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_as_large_as_it_is_asked_to_be() {
    let world = World::new(DataSetSpec::uniform(1, 200, 100).with_manifest_of(20_000_000));
    world.good_backup().await;
    let bytes = std::fs::metadata(world.folder().join("Manifest.db")).unwrap().len();
    assert!((20_000_000..25_000_000).contains(&bytes), "{bytes}");
    let manifest = open(&world.folder().join("Manifest.db"));
    let blob: Vec<u8> = manifest.query_row("SELECT file FROM Files WHERE flags = 1", [], |row| row.get(0)).unwrap();
    assert!(mbfile::decode(&blob).unwrap().attributes.unwrap().len() > 90_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn litter_is_told_apart() {
    let world = World::new(DataSetSpec::uniform(1, 20, 100));
    world.good_backup().await;
    std::fs::write(world.payload(3).with_file_name(".DS_Store"), b"").unwrap();
    std::fs::create_dir(world.folder().join("@eaDir")).unwrap();
    assert!(world.verdict().contains("stray"));
    oracle::check_backup_among_litter(&world.folder(), &world.phone.data()).unwrap();
}
