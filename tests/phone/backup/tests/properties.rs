//! What the phone makes of the properties of the backup before.

use plist::{Dictionary, Value};

use super::memory_host::MemoryHost;
use crate::phone::{Phone, PhoneSpec, dataset::DataSetSpec};

fn phone() -> Phone {
    let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::uniform(1, 60, 500)));
    phone.plug_in();
    phone
}

async fn outcome(phone: &Phone, host: &mut MemoryHost, full: bool) -> (i64, String) {
    let options = Dictionary::from_iter([("ForceFullBackup", Value::from(full))]);
    let answer = host.ask(phone, "Backup", options).await.unwrap();
    let text = answer.get("ErrorDescription").unwrap().as_string().unwrap().to_owned();
    (answer.get("ErrorCode").unwrap().as_signed_integer().unwrap(), text)
}

async fn code(phone: &Phone, host: &mut MemoryHost, full: bool) -> i64 {
    outcome(phone, host, full).await.0
}

fn place(phone: &Phone, name: &str) -> String {
    format!("{}/{name}", phone.udid())
}

#[tokio::test]
async fn what_is_missing_must_be_said_properly() {
    let phone = phone();
    let mut host = MemoryHost::new();
    for (not_there, expected) in [((-1, Some(-6)), 103), ((0, None), 103), ((-13, None), 205), ((-13, Some(-11)), 205)]
    {
        host.not_there = not_there;
        assert_eq!(code(&phone, &mut host, false).await, expected, "{not_there:?}");
        assert_eq!(host.uploaded, 0);
    }
    host.not_there = (-13, Some(-6));
    assert_eq!(code(&phone, &mut host, false).await, 0);
}

/// Also where the host asks for everything (libimobiledevice 1582).
#[tokio::test]
async fn broken_properties_end_in_205_each_time() {
    for name in ["Status.plist", "Manifest.plist", "Manifest.db"] {
        for broken in [&b""[..], b"?"] {
            let (phone, mut host) = (phone(), MemoryHost::new());
            assert_eq!(code(&phone, &mut host, false).await, 0);
            let sound = host.files.insert(place(&phone, name), broken.to_vec()).unwrap();
            for full in [false, true, false] {
                let (code, text) = outcome(&phone, &mut host, full).await;
                // A database of no bytes is one without tables.
                assert_eq!(code, 205, "{name} {broken:?} {full}: {text}");
                let zero = text.contains("Cannot parse a NULL or zero-length data (MBErrorDomain/11)");
                assert_eq!(zero, name != "Manifest.db" && broken.is_empty(), "{text}");
            }
            assert_eq!(host.uploaded, 60);
            host.files.insert(place(&phone, name), sound);
            assert_eq!(code(&phone, &mut host, false).await, 0);
            assert_eq!(host.uploaded, 60);
        }
    }
}

#[tokio::test]
async fn a_manifest_that_is_gone_makes_the_backup_full_or_ends_it() {
    for name in ["Manifest.plist", "Manifest.db"] {
        let (phone, mut host) = (phone(), MemoryHost::new());
        assert_eq!(code(&phone, &mut host, false).await, 0);
        host.files.remove(&place(&phone, name));
        phone.set_strict_properties(true);
        let (refused, text) = outcome(&phone, &mut host, false).await;
        assert!(refused == 205 && text.contains("No such file or directory"), "{refused} {text}");
        phone.set_strict_properties(false);
        assert_eq!(code(&phone, &mut host, false).await, 0);
        assert_eq!(host.uploaded, 120);
    }
}

/// As pymobiledevice3 begins a full backup.
#[tokio::test]
async fn a_status_that_says_full_beside_an_empty_manifest_is_taken() {
    let (phone, mut host) = (phone(), MemoryHost::new());
    for (full, expected) in [(false, 205), (true, 0)] {
        let status = Dictionary::from_iter([("SnapshotState", Value::from("finished")), ("IsFullBackup", full.into())]);
        let mut bytes = Vec::new();
        Value::Dictionary(status).to_writer_binary(&mut bytes).unwrap();
        host.files.insert(place(&phone, "Status.plist"), bytes);
        host.files.insert(place(&phone, "Manifest.plist"), Vec::new());
        assert_eq!(code(&phone, &mut host, false).await, expected);
    }
}

#[tokio::test]
async fn only_old_phones_say_that_a_backup_was_full() {
    let phone = phone();
    for says in [false, true] {
        phone.set_says_full(says);
        let mut host = MemoryHost::new();
        for full in [says, false] {
            assert_eq!(code(&phone, &mut host, false).await, 0);
            let status: Value = plist::from_bytes(&host.files[&place(&phone, "Status.plist")]).unwrap();
            assert_eq!(status.as_dictionary().unwrap()["IsFullBackup"].as_boolean(), Some(full));
        }
    }
}
