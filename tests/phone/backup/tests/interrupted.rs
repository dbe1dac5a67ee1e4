//! What becomes of the tree that an interrupted backup left.

use plist::{Dictionary, Value};

use super::{World, memory_host::MemoryHost};
use crate::{
    oracle,
    phone::{
        Interrupted, Mishap, Moment, Phone, PhoneSpec,
        dataset::{DataSetSpec, Mutation},
    },
};

const SIZE: u64 = 5000;

fn phone(interrupted: Interrupted) -> Phone {
    let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::uniform(1, 300, SIZE)));
    phone.set_interrupted(interrupted);
    phone.plug_in();
    phone
}

async fn code(phone: &Phone, host: &mut MemoryHost) -> i64 {
    host.backup(phone).await.unwrap().get("ErrorCode").unwrap().as_signed_integer().unwrap()
}

async fn broken_at(phone: &Phone, host: &mut MemoryHost, moment: Moment) {
    phone.during_backups(moment, Mishap::Closed);
    host.backup(phone).await.unwrap_err();
    phone.clear_mishaps();
}

#[tokio::test]
async fn a_phone_goes_on_begins_anew_or_refuses() {
    for (interrupted, again) in [(Interrupted::Resumes, 200), (Interrupted::StartsOver, 300)] {
        let (phone, mut host) = (phone(interrupted), MemoryHost::new());
        broken_at(&phone, &mut host, Moment::BeforeFile(100)).await;
        assert_eq!(host.uploaded, 100);
        host.log.clear();
        assert_eq!(code(&phone, &mut host).await, 0);
        assert_eq!(host.uploaded - 100, again, "{interrupted:?}");
        assert_eq!(phone.bytes_resumed(), (300 - again as u64) * SIZE);
        let removed = host.log.iter().filter(|line| *line == "DLMessageRemoveItems U/Snapshot").count();
        assert_eq!(removed, if again == 200 { 1 } else { 2 }, "{interrupted:?}");
        assert_eq!(code(&phone, &mut host).await, 0);
        assert_eq!((host.uploaded - 100, phone.bytes_resumed()), (again, 0));
    }
    let (phone, mut host) = (phone(Interrupted::Refuses), MemoryHost::new());
    broken_at(&phone, &mut host, Moment::BeforeFile(100)).await;
    assert_eq!(code(&phone, &mut host).await, 205);
    host.files.clear();
    assert_eq!(code(&phone, &mut host).await, 0);
}

#[tokio::test]
async fn only_what_is_whole_and_unchanged_is_not_sent_again() {
    let (phone, mut host) = (phone(Interrupted::Resumes), MemoryHost::new());
    broken_at(&phone, &mut host, Moment::BeforeFile(100)).await;
    // The host has one of them no more, and of another less than came.
    let file = |index| format!("{}/Snapshot/{}", phone.udid(), phone.data().file(index).unwrap().file_id.path());
    host.files.remove(&file(5)).unwrap();
    host.shorten(&file(6));
    phone.mutate(Mutation::Change { count: 300 });
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!((host.uploaded, phone.bytes_resumed()), (400, 0));
    phone.mutate(Mutation::Change { count: 300 });
    broken_at(&phone, &mut host, Moment::BeforeFile(100)).await;
    host.files.remove(&file(5)).unwrap();
    host.shorten(&file(6));
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!(host.uploaded, 400 + 100 + 202);
}

/// It builds on the manifest of the backup before, though the status is that of the broken one.
#[tokio::test]
async fn a_broken_incremental_backup_stays_one() {
    let (phone, mut host) = (phone(Interrupted::Resumes), MemoryHost::new());
    assert_eq!(code(&phone, &mut host).await, 0);
    phone.mutate(Mutation::Change { count: 40 });
    for (files, uploaded) in [(10, 310), (20, 330)] {
        broken_at(&phone, &mut host, Moment::BeforeFile(files)).await;
        assert_eq!(host.uploaded, uploaded);
    }
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!(host.uploaded, 340);
    // A host that threw the tree of the broken run away.
    phone.mutate(Mutation::Change { count: 40 });
    let kept = host.files.clone();
    broken_at(&phone, &mut host, Moment::BeforeFile(10)).await;
    host.files = kept;
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!((host.uploaded, phone.bytes_resumed()), (340 + 10 + 40, 0));
}

/// Whether the host carried out the last message or not; of a first backup, of a full one over another, of one that builds
/// on another.
#[tokio::test]
async fn a_backup_that_breaks_among_the_moves_is_whole_in_the_end() {
    for (is_first, full, messages) in [(true, false, 5), (false, true, 5), (false, false, 4)] {
        for (message, carries_out) in (1..=messages).flat_map(|message| [(message, false), (message, true)]) {
            let (phone, mut host) = (phone(Interrupted::Resumes), MemoryHost::new());
            if !is_first {
                assert_eq!(code(&phone, &mut host).await, 0);
            }
            if !is_first && !full {
                phone.mutate(Mutation::Change { count: 250 });
                phone.mutate(Mutation::Remove { count: 20 });
            }
            host.breaks_at = Some(("DLMessageMoveItems", message));
            host.carries_out = carries_out;
            let options = Dictionary::from_iter([("ForceFullBackup", Value::from(full))]);
            host.ask(&phone, "Backup", options).await.unwrap_err();
            assert_eq!(code(&phone, &mut host).await, 0, "{is_first} {full} {message} {carries_out}");
            host.check(&phone);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_stay_right_where_files_are_not_sent_again() {
    for password in [None, Some("first")] {
        let world = World::new(DataSetSpec::mixed(1, 300, 3_000_000));
        world.phone.set_backup_password(password);
        for moment in [Moment::BeforeFile(100), Moment::BeforeManifest, Moment::BeforeMoves] {
            world.phone.during_backups(moment, Mishap::Closed);
            world.backup(None).await.unwrap_err();
            world.phone.clear_mishaps();
            world.phone.digests().forget();
            let answer = world.backup(None).await.unwrap().unwrap();
            assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(0), "{answer:?}");
            assert!(world.phone.bytes_resumed() > 0, "{moment:?}");
            std::fs::write(world.folder().join("Info.plist"), super::INFO).unwrap();
            match password {
                None => oracle::check_backup(&world.folder(), &world.phone.data()).unwrap(),
                Some(word) => oracle::check_encrypted_backup(&world.folder(), &world.phone.data(), word).unwrap(),
            }
            world.phone.mutate(Mutation::Change { count: 200 });
        }
    }
}
