//! The conversation itself: what comes in which order, and what differs between phones.

use std::{collections::BTreeSet, time::Duration};

use plist::Dictionary;
use tokio::time::{Instant, timeout};

use super::memory_host::MemoryHost;
use crate::phone::{
    Event, Fault, Mishap, Moment, Phone, PhoneSpec,
    dataset::{DataSetSpec, Mutation},
};

/// Long enough for an answer that would come, short enough for a test.
const MOMENT: Duration = Duration::from_millis(100);

fn phone_with(data: DataSetSpec) -> Phone {
    let phone = Phone::new(PhoneSpec::numbered(1, data));
    phone.plug_in();
    phone
}

fn phone() -> Phone {
    phone_with(DataSetSpec::uniform(1, 300, 5000))
}

async fn outcome(phone: &Phone, host: &mut MemoryHost) -> (i64, String) {
    let answer = host.backup(phone).await.unwrap();
    let text = answer.get("ErrorDescription").unwrap().as_string().unwrap().to_owned();
    (answer.get("ErrorCode").unwrap().as_signed_integer().unwrap(), text)
}

async fn code(phone: &Phone, host: &mut MemoryHost) -> i64 {
    outcome(phone, host).await.0
}

#[tokio::test]
async fn hosts_answer_400_or_the_number_of_the_phone() {
    let phone = phone();
    assert_eq!(phone.device_link_answer(), None);
    for (version, answer, good) in [
        ([400, 0], 400, true),
        ([300, 0], 400, true),
        ([300, 0], 300, true),
        ([400, 0], 300, false),
        ([500, 1], 500, true),
    ] {
        phone.set_device_link_version(version);
        let mut host = MemoryHost { device_link: answer, ..MemoryHost::new() };
        assert_eq!(host.backup(&phone).await.is_ok(), good, "{answer} to {version:?}");
        assert_eq!(phone.device_link_answer(), Some(answer));
    }
}

#[tokio::test]
async fn a_backup_begins_and_ends_as_on_real_phones() {
    let (phone, mut host) = (phone(), MemoryHost::new());
    let creations = ["DLMessageCreateDirectory U", "DLMessageCreateDirectory U/Snapshot", "DLMessageUploadFiles"];
    let questions = ["DLContentsOfDirectory U/Snapshot", "DLContentsOfDirectory U", "DLMessageGetFreeDiskSpace"];
    assert_eq!(code(&phone, &mut host).await, 0);
    let first = [&["DLMessageDownloadFiles U/Status.plist"][..], &questions, &creations].concat();
    assert_eq!(host.log[..first.len()], first);
    assert_eq!(host.move_counts, [128, 128, 44, 1, 1]);
    let end = host.log.iter().rposition(|line| line == "DLMessageRemoveItems U/Snapshot").unwrap();
    assert_eq!(host.log[end - 2..end], ["DLMessageMoveItems", "DLMessageUploadFiles"]);
    let check =
        ["U/Status.plist", "U/Manifest.plist", "U/Manifest.db"].map(|file| format!("DLMessageDownloadFiles {file}"));
    assert_eq!(host.log[host.log.len() - 4..host.log.len() - 1], check);
    let percents: Vec<f64> = host.percents.iter().rev().take(4).map(|(_, percent)| *percent).collect();
    assert_eq!(percents, [100.0; 4]);

    host.log.clear();
    assert_eq!(code(&phone, &mut host).await, 0);
    let next = [&check.each_ref().map(String::as_str)[..], &questions[1..], &creations].concat();
    assert_eq!(host.log[..next.len()], next);
}

#[tokio::test]
async fn batches_are_as_large_as_told_and_their_percents_go_down_now_and_then() {
    let (phone, mut host) = (phone(), MemoryHost::new());
    phone.set_batch_bytes(50_000);
    assert_eq!(code(&phone, &mut host).await, 0);
    let uploads = host.percents.iter().filter(|(name, _)| name == "DLMessageUploadFiles");
    // The status goes without one.
    let percents: Vec<f64> = uploads.map(|(_, percent)| *percent).filter(|percent| *percent >= 0.0).collect();
    assert_eq!(percents.len(), 30 + 2);
    assert!(percents.windows(2).any(|pair| pair[1] < pair[0]) && percents.iter().all(|percent| *percent <= 100.0));
}

#[tokio::test]
async fn names_on_the_phone_have_every_form_that_was_seen() {
    let phone = phone_with(DataSetSpec::mixed(1, 300, 300_000));
    let mut host = MemoryHost::new();
    assert_eq!(code(&phone, &mut host).await, 0);
    let forms = ["/.ba/mobile/", "/.b/6/", "/var/mobile/", "/var/tmp/", "HomeDomain-"];
    let form_of = |device: &String| forms.into_iter().find(|form| device.starts_with(form));
    let seen: BTreeSet<&str> = host.devices.iter().filter_map(form_of).collect();
    assert_eq!(seen.len(), forms.len(), "{seen:?}");
    for file in phone.data().files() {
        assert!(host.devices.iter().any(|device| device.ends_with(&*file.relative_path)), "{}", file.name());
    }
}

#[tokio::test]
async fn nothing_comes_between_two_batches() {
    let phone = phone();
    phone.set_batch_bytes(500_000);
    phone.during_backups(Moment::BetweenBatches(1), Mishap::Closed);
    let mut host = MemoryHost::new();
    host.backup(&phone).await.unwrap_err();
    assert_eq!(host.uploaded, 200);
    phone.clear_mishaps();
    phone.during_backups(Moment::BetweenBatches(2), Mishap::Closed);
    assert_eq!(code(&phone, &mut MemoryHost::new()).await, 0, "no batch follows the last");
}

#[tokio::test]
async fn room_that_was_made_is_asked_for_again() {
    let phone = phone();
    let mut host = MemoryHost { free: 1, free_after_purge: Some(1 << 40), ..MemoryHost::new() };
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!(phone.purges(), 1);
    host.free_after_purge = Some(2);
    host.free = 1;
    assert_eq!(code(&phone, &mut host).await, 105);
    assert_eq!(phone.purges(), 2);
}

#[tokio::test]
async fn a_snapshot_is_in_the_way_until_the_restart() {
    let phone = phone();
    for stuck in [false, true] {
        phone.set_stuck_after_abrupt_end(stuck);
        phone.during_backups(Moment::BeforeFile(5), Mishap::Closed);
        MemoryHost::new().backup(&phone).await.unwrap_err();
        phone.clear_mishaps();
        for _ in 0..2 {
            let (code, text) = outcome(&phone, &mut MemoryHost::new()).await;
            assert_eq!(code, if stuck { 3 } else { 0 }, "{text}");
            assert_eq!(text.contains("Failed to create snapshot: File exists (17) at path /private/var"), stuck);
        }
    }
    phone.restart();
    phone.plug_in();
    phone.set_locked(false);
    assert_eq!(code(&phone, &mut MemoryHost::new()).await, 0);
    phone.during_backups(Moment::BeforeFile(5), Mishap::Error { code: 1, text: String::new() });
    assert_eq!(code(&phone, &mut MemoryHost::new()).await, 1);
    phone.clear_mishaps();
    assert_eq!(code(&phone, &mut MemoryHost::new()).await, 0, "that one ended with a status");
}

#[tokio::test]
async fn the_service_is_busy_after_a_change_of_the_password() {
    let phone = phone();
    phone.set_busy_after_password(true);
    let ask = async |old: Option<&str>, new: Option<&str>| {
        let mut host = MemoryHost::new();
        host.password = (old.map(str::to_owned), new.map(str::to_owned));
        host.ask(&phone, "ChangePassword", Dictionary::new()).await
    };
    let refused = ask(Some("none"), Some("a")).await.unwrap();
    assert_eq!(refused.get("ErrorCode").unwrap().as_signed_integer(), Some(207));
    assert_eq!(code(&phone, &mut MemoryHost::new()).await, 0, "nothing was changed");
    ask(None, Some("a")).await.unwrap();
    for _ in 0..2 {
        let mut host = MemoryHost::new();
        assert!(timeout(MOMENT, host.backup(&phone)).await.is_err());
        assert_eq!(host.messages, [] as [&str; 0]);
    }
    let mut host = MemoryHost::new();
    let (served, ()) = tokio::join!(host.backup(&phone), async { phone.backup_service_is_idle() });
    assert_eq!(served.unwrap().get("ErrorCode").unwrap().as_signed_integer(), Some(0));
}

#[tokio::test]
async fn a_screen_that_locks_in_mid_run_is_nothing_to_an_escrow_bag() {
    let phone = phone();
    phone.set_locks_in_mid_run(true);
    phone.set_batch_bytes(500_000);
    for bag in [false, true] {
        phone.set_locked(false);
        phone.keep_escrow_bag(bag);
        let mut host = MemoryHost::new();
        let (code, text) = outcome(&phone, &mut host).await;
        assert!(phone.is_locked());
        assert_eq!((code, host.unreadable), if bag { (0, 0) } else { (104, 200) }, "{text}");
        assert!(bag || text == "Multiple errors uploading files (MBErrorDomain/104)");
    }
}

#[tokio::test]
async fn a_cancel_on_the_phone_is_told_and_ends_nothing() {
    let phone = phone();
    let mut notifications = phone.notifications().subscribe();
    phone.cancel_on_phone();
    assert_eq!(notifications.recv().await.unwrap(), "com.apple.itunes-client.syncCancelRequest");
    assert_eq!(code(&phone, &mut MemoryHost::new()).await, 0);
}

#[tokio::test]
async fn a_slow_link_is_slow_both_ways() {
    const SPEED: u64 = 400_000;
    for by_fault in [false, true] {
        let phone = phone_with(DataSetSpec::uniform(1, 300, 10).with_manifest_of(400_000));
        let mut host = MemoryHost::new();
        assert_eq!(code(&phone, &mut host).await, 0);
        let before = host.served;
        phone.set_fault(by_fault.then_some(Fault::SlowLink { bytes_per_second: SPEED }));
        phone.set_link_speed((!by_fault).then_some(SPEED));
        let start = Instant::now();
        assert_eq!(code(&phone, &mut host).await, 0);
        // The manifest comes twice and goes once; nothing does so at the same time.
        let seconds = |bytes: u64| bytes as f64 / SPEED as f64;
        let (sent, received) = (seconds(*phone.bytes_sent().borrow()), seconds(host.served - before));
        assert!(received > 1.5, "{received}");
        assert!(start.elapsed().as_secs_f64() > 0.9 * (sent + received), "{:?}: {sent} {received}", start.elapsed());
    }
}

#[tokio::test]
async fn a_restore_ends_with_a_list_of_no_files() {
    let (phone, mut host) = (phone_with(DataSetSpec::empty(1)), MemoryHost::new());
    assert_eq!(code(&phone, &mut host).await, 0);
    host.files.insert(format!("{}/Info.plist", phone.udid()), super::INFO.into());
    host.log.clear();
    let answer = host.ask(&phone, "Restore", Dictionary::new()).await.unwrap();
    assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(0), "{answer:?}");
    assert_eq!(host.log[host.log.len() - 2], "DLMessageDownloadFiles");
    assert_eq!(host.percents.last().unwrap().1, 97.0);
}

#[tokio::test]
async fn refusals_of_odd_paths_end_the_backup_or_are_shrugged_off() {
    let (device, file) = (String::new(), "../escape".to_owned());
    let phone = phone();
    let mut events = phone.events();
    for (shrugs, status, expected) in [(false, -1, 104), (false, 0, 205), (true, -1, 0), (true, 0, 0)] {
        phone.set_shrugs_at_refusals(shrugs);
        phone.set_fault(Some(Fault::HostilePath { device: device.clone(), file: file.clone() }));
        let mut host = MemoryHost { odd_status: status, ..MemoryHost::new() };
        assert_eq!(code(&phone, &mut host).await, expected, "{shrugs} {status}");
        assert!(host.files.contains_key(&file));
        assert_eq!(host.uploaded, 300 + usize::from(shrugs));
        while events.recv().await.unwrap() != (Event::HostileAnswered { status, bytes: 0 }) {}
    }
    for shrugs in [false, true] {
        phone.set_shrugs_at_refusals(shrugs);
        phone.set_fault(Some(Fault::HostileDownload { path: file.clone() }));
        assert_eq!(code(&phone, &mut MemoryHost::new()).await, if shrugs { 0 } else { 103 });
        phone.set_fault(Some(Fault::HostileMove { from: file.clone(), to: file.clone() }));
        let mut host = MemoryHost { odd_status: -1, ..MemoryHost::new() };
        assert_eq!(code(&phone, &mut host).await, if shrugs { 0 } else { 104 });
    }
}

#[tokio::test]
async fn every_batch_has_its_odd_paths() {
    let phone = phone();
    phone.set_batch_bytes(500_000);
    phone.set_odd_paths(2);
    let mut host = MemoryHost::new();
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!(host.uploaded, 300 + 3 * 2);
    assert!(host.files.contains_key("/.b/6/Containers/odd-0") && host.files.contains_key("../../1"));
    phone.mutate(Mutation::Change { count: 1 });
    host.odd_status = -1;
    assert_eq!(code(&phone, &mut host).await, 104);
    phone.set_shrugs_at_refusals(true);
    phone.mutate(Mutation::Change { count: 1 });
    assert_eq!(code(&phone, &mut host).await, 0);
    let whole = phone
        .data()
        .files()
        .all(|file| host.length(&format!("{}/{}", phone.udid(), file.file_id.path())) == Some(file.size));
    assert!(whole);
}
