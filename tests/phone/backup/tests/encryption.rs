//! Backup encryption, against the `idevice` crate's client and the independent decryption of the oracle.

use idevice::{IdeviceError, services::mobilebackup2::FsBackupDelegate, services::mobilebackup2::RestoreOptions};
use plist::{Dictionary, Value};

use super::{INFO, World};
use crate::{
    oracle,
    phone::{
        Event, Fault, KeyDerivation, PasscodeAnswer,
        backup::{cipher, keybag::Keybag},
        dataset::{DataSetSpec, Mutation},
    },
};

const PASSWORD: &str = "correct horse – Batterie";

impl World {
    /// Backs up and judges; how many bytes the phone sent.
    async fn encrypted_backup(&self, password: &str) -> u64 {
        self.phone.set_fault(None);
        let answer = self.backup(None).await.unwrap().unwrap();
        assert_eq!(code(&answer), 0, "{answer:?}");
        std::fs::write(self.folder().join("Info.plist"), INFO).unwrap();
        oracle::check_encrypted_backup(&self.folder(), &self.phone.data(), password).unwrap();
        *self.phone.bytes_sent().borrow()
    }

    async fn change_password(&self, old: Option<&str>, new: Option<&str>) -> Result<(), IdeviceError> {
        self.client().await.change_password_from_path(self.root.path(), old, new, &FsBackupDelegate).await
    }

    async fn restore(&self, password: Option<&str>) -> Dictionary {
        let options = password.map(|password| RestoreOptions::new().with_password(password));
        let mut client = self.client().await;
        client.restore_from_path(self.root.path(), None, options, &FsBackupDelegate).await.unwrap().unwrap()
    }

    fn manifest(&self) -> Dictionary {
        Value::from_file(self.folder().join("Manifest.plist")).unwrap().into_dictionary().unwrap()
    }
}

fn code(answer: &Dictionary) -> i64 {
    answer.get("ErrorCode").unwrap().as_signed_integer().unwrap()
}

fn will_encrypt(world: &World) -> bool {
    world.phone.lockdown_value("com.apple.mobile.backup", "WillEncrypt").unwrap().as_boolean().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_files_keep_their_keys_and_are_not_sent_again() {
    let world = World::new(DataSetSpec::mixed(1, 300, 20_000_000));
    world.phone.set_backup_password(Some(PASSWORD));
    assert!(will_encrypt(&world));
    let full = world.encrypted_backup(PASSWORD).await;
    let (first, frozen) = (world.manifest(), oracle::snapshot_tree(&world.folder()).unwrap());
    let nothing = world.encrypted_backup(PASSWORD).await;
    assert!(nothing < full / 10, "{nothing} bytes of {full} though nothing changed");
    let second = world.manifest();
    assert_eq!(first.get("BackupKeyBag"), second.get("BackupKeyBag"));
    assert_ne!(first.get("ManifestKey"), second.get("ManifestKey"), "each Manifest.db has a key of its own");
    let after = oracle::snapshot_tree(&world.folder()).unwrap();
    assert_eq!(frozen.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());

    world.phone.mutate(Mutation::Change { count: 20 });
    world.phone.mutate(Mutation::Add { count: 10, size: 131_056 });
    world.phone.mutate(Mutation::Add { count: 10, size: 262_113 });
    world.phone.mutate(Mutation::Remove { count: 15 });
    let some = world.encrypted_backup(PASSWORD).await;
    assert!(some < full / 2, "{some} bytes of {full}");
    let wrong = oracle::check_encrypted_backup(&world.folder(), &world.phone.data(), "wrong").unwrap_err();
    assert_eq!(wrong, "the password does not open the key bag");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_set_changed_or_removed_makes_the_next_backup_full() {
    let world = World::new(DataSetSpec::uniform(2, 100, 50_000));
    world.good_backup().await;
    let mut bags = Vec::new();
    for password in ["first", "second", "second"] {
        world.phone.set_backup_password(Some(password));
        let sent = world.encrypted_backup(password).await;
        assert!(sent > 100 * 50_000, "{sent} bytes");
        bags.push(world.manifest().get("BackupKeyBag").unwrap().as_data().unwrap().to_owned());
    }
    assert!(bags[0] != bags[1] && bags[1] != bags[2]);
    world.phone.set_backup_password(None);
    world.phone.set_fault(None);
    world.good_backup().await;
    assert!(*world.phone.bytes_sent().borrow() > 100 * 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_changed_by_message() {
    let world = World::new(DataSetSpec::uniform(3, 10, 1000));
    let (mut events, mut notifications) = (world.phone.events(), world.phone.notifications().subscribe());
    // The client does not tell what the phone answered, so that what it holds is looked at.
    for (old, new, then) in [
        (Some("none yet"), Some("a"), None),
        (None, Some("a"), Some("a")),
        (None, Some("b"), Some("a")),
        (Some("wrong"), Some("b"), Some("a")),
        (Some("wrong"), None, Some("a")),
        (Some("a"), Some("b"), Some("b")),
        (Some("b"), None, None),
    ] {
        world.change_password(old, new).await.unwrap();
        assert_eq!(world.phone.backup_password().as_deref(), then, "{old:?} to {new:?}");
        assert_eq!(will_encrypt(&world), then.is_some());
    }
    for encrypts in [true, true, false] {
        assert_eq!(events.recv().await.unwrap(), Event::BackupPasswordChanged { encrypts });
        assert_eq!(notifications.recv().await.unwrap(), "com.apple.mobile.backup.domain_changed");
    }
    world.phone.set_fault(Some(Fault::PasscodeSheet { answer: PasscodeAnswer::Cancelled }));
    world.change_password(None, Some("c")).await.unwrap();
    assert_eq!(world.phone.backup_password(), None, "the phone wants its passcode");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_needs_the_password_of_the_backup() {
    let world = World::new(DataSetSpec::mixed(4, 300, 5_000_000));
    world.phone.set_backup_password(Some(PASSWORD));
    world.encrypted_backup(PASSWORD).await;
    // Whatever the phone's own password is by now.
    world.phone.set_backup_password(Some("another"));
    for password in [None, Some("another")] {
        let answer = world.restore(password).await;
        assert_eq!(code(&answer), 207, "{answer:?}");
        let text = answer.get("ErrorDescription").unwrap().as_string().unwrap();
        assert!(text.starts_with("Invalid password when restoring encrypted backup"), "{text}");
        assert!(world.phone.restored().unwrap().files.is_empty());
    }
    assert_eq!(code(&world.restore(Some(PASSWORD)).await), 0);
    world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();

    let data = world.phone.data();
    let payload = world.folder().join(data.file(9).unwrap().file_id.path());
    let mut bytes = std::fs::read(&payload).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&payload, &bytes).unwrap();
    assert_eq!(code(&world.restore(Some(PASSWORD)).await), 205);
    assert!(oracle::check_encrypted_backup(&world.folder(), &data, PASSWORD).is_err());
}

#[test]
fn content_is_the_same_however_it_comes() {
    let key = [7; 32];
    for length in [0, 1, 15, 16, 17, 31, 32, 1000] {
        let content: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        let encrypted = cipher::encrypt(&key, content.clone());
        assert_eq!(encrypted.len() as u64, cipher::encrypted_length(length));
        assert_eq!(cipher::decrypt(&key, &encrypted).as_ref(), Some(&content));
        assert!(cipher::decrypt(&[8; 32], &encrypted).is_none_or(|other| other != content));
        assert!(cipher::decrypt(&key, &encrypted[1..]).is_none());
        for piece in [1, 5, 16, 40] {
            let (mut decryptor, mut found) = (cipher::Decryptor::new(&key), Vec::new());
            encrypted.chunks(piece).for_each(|piece| decryptor.decrypt(piece, |bytes| found.extend_from_slice(bytes)));
            decryptor.finish(|bytes| found.extend_from_slice(bytes)).unwrap();
            assert_eq!(found, content);
        }
    }
}

#[test]
fn a_bag_opens_with_its_password_only() {
    let bag = Keybag::create("password", KeyDerivation::QUICK);
    let wrapped = bag.wrap(4, &[1; 32]);
    assert_eq!(wrapped.len(), 44);
    assert_eq!(Keybag::open(bag.bytes(), "password").unwrap().unwrap(&wrapped), Some([1; 32]));
    assert!(Keybag::open(bag.bytes(), "Password").is_none());
    for length in 0..bag.bytes().len() {
        // A bag that is cut off is no bag, or one with fewer keys.
        let cut = Keybag::open(&bag.bytes()[..length], "password");
        assert!(cut.is_none_or(|cut| cut.unwrap(&wrapped).is_none_or(|key| key == [1; 32])));
    }
}
