//! The phone against the `idevice` crate's client, which is not ours, and against a host that keeps no payload.

mod encryption;
mod faults;
mod honesty;
mod interrupted;
mod memory_host;
mod properties;
mod sessions;
mod switches;
mod unreadable;

use idevice::{
    Idevice, IdeviceError, IdeviceService,
    services::mobilebackup2::{FsBackupDelegate, MobileBackup2Client},
};
use plist::Dictionary;

use super::serve;
use crate::{
    oracle,
    phone::{
        Event, Phone, PhoneSpec,
        dataset::{DataSetSpec, Mutation},
    },
};

struct World {
    phone: Phone,
    root: tempfile::TempDir,
}

impl World {
    fn new(data: DataSetSpec) -> Self {
        let phone = Phone::new(PhoneSpec::numbered(1, data));
        phone.plug_in();
        Self { phone, root: tempfile::tempdir().unwrap() }
    }

    async fn client(&self) -> MobileBackup2Client {
        let (here, there) = tokio::io::duplex(1 << 20);
        let phone = self.phone.clone();
        tokio::spawn(async move { serve(&phone, there).await });
        let mut idevice = Idevice::new(Box::new(here), "test");
        idevice.set_udid(self.phone.udid());
        MobileBackup2Client::from_stream(idevice).await.unwrap()
    }

    async fn backup(&self, options: Option<Dictionary>) -> Result<Option<Dictionary>, IdeviceError> {
        self.client().await.backup_from_path(self.root.path(), None, options, &FsBackupDelegate).await
    }

    async fn good_backup(&self) {
        let answer = self.backup(None).await.unwrap().unwrap();
        assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(0), "{answer:?}");
        std::fs::write(self.folder().join("Info.plist"), INFO).unwrap();
        oracle::check_backup(&self.folder(), &self.phone.data()).unwrap();
    }

    fn folder(&self) -> std::path::PathBuf {
        self.root.path().join(self.phone.udid())
    }
}

const INFO: &str = "<plist version=\"1.0\"><dict/></plist>";

#[tokio::test(flavor = "multi_thread")]
async fn idevice_backs_up_and_restores() {
    let world = World::new(DataSetSpec::mixed(1, 700, 30_000_000));
    world.good_backup().await;
    let full = *world.phone.bytes_sent().borrow();
    world.phone.set_fault(None);
    world.good_backup().await;
    let nothing = *world.phone.bytes_sent().borrow();
    assert!(nothing < full / 10, "{nothing} bytes of {full} though nothing changed");
    world.phone.mutate(Mutation::Change { count: 40 });
    world.phone.mutate(Mutation::Add { count: 30, size: 10_000 });
    world.phone.mutate(Mutation::Remove { count: 50 });
    world.good_backup().await;

    let mut events = world.phone.events();
    let mut client = world.client().await;
    let answer = client.restore_from_path(world.root.path(), None, None, &FsBackupDelegate).await.unwrap().unwrap();
    assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(0), "{answer:?}");
    assert_eq!(events.recv().await.unwrap(), Event::RestoreEnded { code: 0 });
    world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_full_backup_leaves_nothing_old_behind() {
    let world = World::new(DataSetSpec::uniform(1, 300, 100));
    world.good_backup().await;
    world.phone.mutate(Mutation::Remove { count: 100 });
    let options = Dictionary::from_iter([("ForceFullBackup".to_owned(), plist::Value::from(true))]);
    let events = world.phone.events();
    world.backup(Some(options)).await.unwrap();
    drop(events);
    oracle::check_backup(&world.folder(), &world.phone.data()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_sees_a_changed_byte_a_missing_file_and_a_stray_one() {
    let world = World::new(DataSetSpec::uniform(1, 10, 100_000));
    world.good_backup().await;
    let data = world.phone.data();
    let payload = world.folder().join(data.file(3).unwrap().file_id.path());
    let good = std::fs::read(&payload).unwrap();
    let mut bad = good.clone();
    bad[70_000] ^= 1;
    std::fs::write(&payload, &bad).unwrap();
    assert!(oracle::check_backup(&world.folder(), &data).unwrap_err().contains("differs from byte 70000"));
    std::fs::remove_file(&payload).unwrap();
    assert!(oracle::check_backup(&world.folder(), &data).unwrap_err().starts_with("1 differences"));
    std::fs::write(&payload, &good).unwrap();
    std::fs::write(payload.with_extension("part"), b"").unwrap();
    assert!(oracle::check_backup(&world.folder(), &data).unwrap_err().contains("stray"));
}
