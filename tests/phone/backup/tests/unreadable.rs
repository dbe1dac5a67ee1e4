//! Files that the phone can't read, and what becomes of their backup.

use super::memory_host::MemoryHost;
use crate::phone::{
    Fault, Phone, PhoneSpec, Unreadable,
    dataset::{DataSetSpec, FILE_PROVIDER},
};

fn phone() -> Phone {
    let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::uniform(1, 60, 5000).with_file_provider()));
    phone.plug_in();
    phone
}

async fn outcome(phone: &Phone, host: &mut MemoryHost) -> (i64, String) {
    let answer = host.backup(phone).await.unwrap();
    let text = answer.get("ErrorDescription").unwrap().as_string().unwrap().to_owned();
    (answer.get("ErrorCode").unwrap().as_signed_integer().unwrap(), text)
}

#[tokio::test]
async fn hosts_must_leave_something_where_such_a_file_belongs() {
    let phone = phone();
    let (domain, path) = FILE_PROVIDER;
    let index = phone.data().place_of(domain, path).unwrap();
    let id = phone.data().file(index).unwrap().file_id;
    for (code, bytes_before) in [(0x0B, 0), (0x06, 0), (0x0B, 320)] {
        phone.set_unreadable(vec![(index, Unreadable { code, bytes_before, ..Unreadable::default() })]);
        let mut host = MemoryHost::new();
        assert_eq!(outcome(&phone, &mut host).await.0, 0);
        assert_eq!((host.unreadable, host.moved), (1, 63));
        assert!(host.devices.contains(&format!("/var/mobile/{path}")), "{:?}", host.devices);
        let kept = bytes_before.min(phone.data().file(index).unwrap().size) / 16 * 16;
        assert_eq!(host.length(&format!("{}/{}", phone.udid(), id.path())), Some(kept));
        let mut host = MemoryHost { loses: Some(id.hex()), ..MemoryHost::new() };
        assert_eq!(outcome(&phone, &mut host).await.0, 205, "its row is in the manifest");
    }
}

/// Its digest could not be taken, so that its row differs from that of a file which can be read.
#[tokio::test]
async fn it_comes_again_once_it_can_be_read() {
    let (phone, mut host) = (phone(), MemoryHost::new());
    phone.set_fault(Some(Fault::FileUnreadable { index: 3, manner: Unreadable::default() }));
    assert_eq!(outcome(&phone, &mut host).await.0, 0);
    phone.set_fault(None);
    for uploaded in [62, 62] {
        assert_eq!(outcome(&phone, &mut host).await.0, 0);
        assert_eq!((host.uploaded, host.unreadable), (uploaded, 1));
    }
}

#[tokio::test]
async fn several_of_them_may_end_the_backup() {
    let (phone, mut host) = (phone(), MemoryHost::new());
    let manner = Unreadable { fatal: true, ..Unreadable::default() };
    phone.set_unreadable(vec![(1, manner), (30, manner), (59, Unreadable::LEFT_OUT)]);
    for round in 1..3 {
        let (code, text) = outcome(&phone, &mut host).await;
        assert_eq!((code, &*text), (104, "Multiple errors uploading files (MBErrorDomain/104)"));
        assert_eq!((host.unreadable, host.moved), (3 * round, 0));
        assert!(!host.files.contains_key(&format!("{}/Snapshot/Manifest.db", phone.udid())));
    }
    phone.set_unreadable(Vec::new());
    assert_eq!(outcome(&phone, &mut host).await.0, 0);
    assert_eq!(host.moved, 63);
}
