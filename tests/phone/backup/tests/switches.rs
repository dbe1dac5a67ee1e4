//! Switches that change how backups go, also together and while one runs.

use std::time::Duration;

use plist::{Dictionary, Value};
use tokio::time::Instant;

use super::memory_host::MemoryHost;
use crate::phone::{
    Event, Fault, Mishap, Moment, PasscodeAnswer, Phone, PhoneSpec, Unreadable, Versions, dataset::DataSetSpec,
};

fn phone() -> Phone {
    let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::uniform(1, 600, 5000)));
    phone.plug_in();
    phone
}

async fn outcome(phone: &Phone) -> (i64, String) {
    let answer = MemoryHost::new().backup(phone).await.unwrap();
    let text = answer.get("ErrorDescription").unwrap().as_string().unwrap().to_owned();
    (answer.get("ErrorCode").unwrap().as_signed_integer().unwrap(), text)
}

async fn until(events: &mut tokio::sync::broadcast::Receiver<Event>, wanted: Event) {
    while events.recv().await.unwrap() != wanted {}
}

#[tokio::test]
async fn errors_come_at_every_moment() {
    for (moment, files) in [
        (Moment::BeforeFiles, 0),
        (Moment::AfterIndexDownload, 0),
        (Moment::BeforeFile(0), 0),
        (Moment::BeforeFile(5), 5),
        (Moment::BeforeManifest, 600),
        (Moment::BeforeMoves, 600),
    ] {
        let phone = phone();
        phone.during_backups(moment, Mishap::Error { code: 3, text: "File exists (17)".into() });
        let mut host = MemoryHost::new();
        let answer = host.backup(&phone).await.unwrap();
        assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(3), "{moment:?}");
        assert_eq!((host.uploaded, host.moved), (files, 0), "{moment:?}");
        phone.clear_mishaps();
        assert_eq!(outcome(&phone).await.0, 0);
    }
}

#[tokio::test]
async fn the_same_file_breaks_every_backup() {
    let phone = phone();
    phone.during_backups(Moment::BeforeFile(123), Mishap::Closed);
    for _ in 0..2 {
        let mut host = MemoryHost::new();
        host.backup(&phone).await.unwrap_err();
        assert_eq!(host.uploaded, 123);
    }
    phone.clear_mishaps();
    phone.during_backups(Moment::BeforeManifest, Mishap::Disconnect);
    let mut host = MemoryHost::new();
    host.backup(&phone).await.unwrap_err();
    assert_eq!(host.messages.last().unwrap(), "DLMessageDisconnect");
}

#[tokio::test]
async fn silence_goes_with_a_fault_and_an_error() {
    let phone = phone();
    let for_time = Duration::from_millis(150);
    phone.set_fault(Some(Fault::FileUnreadable { index: 3, manner: Unreadable::LEFT_OUT }));
    phone.during_backups(Moment::BeforeManifest, Mishap::Silence { for_time });
    phone.during_backups(Moment::BeforeMoves, Mishap::Error { code: 17, text: "Retry later".into() });
    let (start, mut events, mut host) = (Instant::now(), phone.events(), MemoryHost::new());
    let answer = host.backup(&phone).await.unwrap();
    assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(17));
    assert_eq!((host.unreadable, host.files.contains_key(&manifest(&phone))), (1, true));
    assert!(start.elapsed() >= for_time);
    until(&mut events, Event::WentSilent).await;
}

fn manifest(phone: &Phone) -> String {
    format!("{}/Snapshot/Manifest.db", phone.udid())
}

#[tokio::test]
async fn a_link_freezes_at_the_very_byte_and_thaws() {
    let phone = phone();
    let mut events = phone.events();
    phone.set_fault(Some(Fault::FreezeAt { bytes: 100_000 }));
    let other = phone.clone();
    let host = tokio::spawn(async move { outcome(&other).await });
    until(&mut events, Event::Frozen).await;
    assert_eq!(*phone.bytes_sent().borrow(), 100_000);
    assert_ne!(*phone.link().borrow(), 0);
    phone.thaw();
    assert_eq!(host.await.unwrap().0, 0);
}

#[tokio::test]
async fn the_speed_changes_while_a_backup_runs() {
    let phone = phone();
    phone.set_link_speed(Some(200_000));
    let (other, mut sent) = (phone.clone(), phone.bytes_sent().subscribe());
    let host = tokio::spawn(async move { outcome(&other).await });
    let start = Instant::now();
    sent.wait_for(|sent| *sent >= 60_000).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
    phone.set_link_speed(None);
    assert_eq!(host.await.unwrap().0, 0);
    assert!(start.elapsed() < Duration::from_secs(10), "3 MB take 15 s at the first speed");
}

#[tokio::test]
async fn a_sheet_waits_for_the_person_and_is_counted() {
    let phone = phone();
    let timed_out = (208, "Device locked - timeout waiting for passcode entry (MBErrorDomain/208)".to_owned());
    phone.set_passcode_sheet(Some(PasscodeAnswer::TimedOut { after: Duration::from_millis(1) }));
    assert_eq!(outcome(&phone).await, timed_out);
    phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenPresent { patience: Duration::from_millis(1) }));
    assert_eq!(outcome(&phone).await, timed_out);
    phone.set_person_present(true);
    assert_eq!(outcome(&phone).await.0, 0);
    phone.set_passcode_sheet(Some(PasscodeAnswer::Cancelled));
    assert_eq!(outcome(&phone).await, (208, "Device locked (MBErrorDomain/208)".to_owned()));
    assert_eq!(phone.sheets_shown(), 4);
    // Beside the sheet a fault, and the other way round.
    phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenPresent { patience: Duration::MAX }));
    phone.set_fault(Some(Fault::FinalError { code: 209, text: "keys".into() }));
    assert_eq!(outcome(&phone).await.0, 209);
    assert_eq!(phone.sheets_shown(), 5);
}

#[tokio::test]
async fn a_lock_state_of_its_own_ends_no_backup_but_a_sealed_phone_does() {
    let phone = phone();
    phone.set_locked(true);
    assert_eq!(outcome(&phone).await.0, 0);
    phone.set_unlocked_since_restart(false);
    assert_eq!(outcome(&phone).await.0, 13);
    phone.set_locked(false);
    assert!(phone.was_unlocked_since_restart() && !phone.is_locked());
    assert_eq!(outcome(&phone).await.0, 0);
}

#[tokio::test]
async fn no_version_in_common() {
    let phone = phone();
    phone.set_versions(Versions::NoDeviceLink);
    let error = MemoryHost::new().backup(&phone).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    phone.set_versions(Versions::NoProtocol);
    let answer = MemoryHost::new().ask(&phone, "Hello", Dictionary::new()).await.unwrap();
    assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(1));
}

#[tokio::test]
async fn icloud_backup_is_switched_on_or_refused() {
    let phone = phone();
    let enabled = || phone.lockdown_value("com.apple.mobile.backup", "CloudBackupEnabled").unwrap().as_boolean();
    let ask = async || {
        let options = Dictionary::from_iter([("CloudBackupState", Value::from(true))]);
        let answer = MemoryHost::new().ask(&phone, "EnableCloudBackup", options).await.unwrap();
        answer.get("ErrorCode").unwrap().as_signed_integer().unwrap()
    };
    phone.refuse_cloud_backup(Some((22, "Cloud backup is disabled by MDM")));
    assert_eq!((ask().await, enabled()), (22, Some(false)));
    phone.refuse_cloud_backup(None);
    let mut events = phone.events();
    assert_eq!((ask().await, enabled()), (0, Some(true)));
    assert_eq!(events.recv().await.unwrap(), Event::CloudBackupSwitched { on: true });
}
