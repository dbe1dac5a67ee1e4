//! Disks that fill up: told with what is missing, and cured by room. Wants Linux and root; a test that can't run says
//! why and passes.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use backstay_shared::{
    health::FailureId::{DeviceFilesUnreadable, HostDiskFull, HostDiskLow, WifiLost},
    overview::Activity,
    protocol::{Reply, Request},
};
use backstay_tests::{
    disk::{Mounted, missing},
    phone::{
        Event, Fault, PasscodeAnswer, Unreadable,
        dataset::{DataSetSpec, Mutation},
    },
    told::Listener,
    world::World,
};

use super::{ask, backed_up, cured, fails, happens, has};

/// The phone wants some 130 MB of room before it begins.
const DISK_BYTES: u64 = 224 << 20;

/// A world whose backups go to a small disk of its own.
struct SmallDisk {
    // Unmounted before the world's folder goes.
    _mounted: Mounted,
    world: World,
}

impl SmallDisk {
    async fn new(data: DataSetSpec, bytes: u64) -> Option<Self> {
        if let Some(missing) = missing(&["mkfs.ext4"]) {
            println!("NOT RUN: this machine lacks {missing}");
            return None;
        }
        let world = World::new(data).await;
        let mounted = Mounted::fresh_ext4(&world.folder.path().join("image"), bytes, &world.root()).unwrap();
        // All that is on the phone, as it says; the most that a first backup can bring.
        let usage = |key, bytes: u64| world.phone.set_lockdown_value("com.apple.disk_usage", key, Some(bytes.into()));
        usage("TotalDataCapacity", 64_000_000_000);
        usage("TotalDataAvailable", 63_980_000_000);
        Some(Self { _mounted: mounted, world })
    }

    /// Other people's bytes, until so many are free; the file to remove for room.
    fn fill(&self, leave: u64) -> PathBuf {
        let path = self.world.root().join("other people's film");
        let mut film = File::create(&path).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let piece = vec![7; size];
            // Root may also have what ext4 keeps back, which is not free to others.
            let more = || leave == 0 || free(&self.world.root()) > leave;
            while more() && film.write_all(&piece).and_then(|()| film.sync_data()).is_ok() {}
        }
        path
    }
}

fn free(folder: &Path) -> u64 {
    let facts = rustix::fs::statvfs(folder).unwrap();
    facts.f_bavail * facts.f_frsize
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_filled_in_mid_transfer_is_told_with_the_missing_bytes() {
    let Some(disk) = SmallDisk::new(DataSetSpec::mixed(431, 60, 6_000_000), DISK_BYTES).await else { return };
    let world = &disk.world;
    world.phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenPresent { patience: super::PATIENCE }));
    world.phone.set_person_present(true);
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 1_000_000 }));
    let mut events = world.phone.events();
    let daemon = world.daemon().await;
    let listener = Listener::to(world).await;
    happens(&mut events, &Event::Paused).await;
    let film = disk.fill(0);
    world.phone.go_on();
    let told = fails(&daemon, HostDiskFull).await;
    assert!(told.evidence.bytes_missing() > Some(0), "{told:?}");
    assert!(told.why.contains("more would do"), "{}", told.why);
    let missing = backstay_shared::health::readable_bytes(told.evidence.bytes_missing().unwrap());
    assert!(told.why.contains(&missing), "{missing}: {}", told.why);
    assert_ne!(told.evidence.code, Some(104), "the computer's word, not the phone's");
    assert!(!told.why.contains("is kept"), "it takes the room that is missing: {}", told.why);
    assert_eq!(world.phone.sheets_shown(), 1);
    world.phone.set_fault(None);
    cured(world, &daemon, "host-disk-full in mid-transfer", async || fs::remove_file(&film).unwrap()).await;
    assert_eq!(world.phone.sheets_shown(), 2, "one before, one after");
    let told: Vec<_> = listener.ids().into_iter().filter(|id| *id != HostDiskLow).collect();
    assert_eq!(told, [HostDiskFull], "once");
    world.judge();
}

/// What can be seen beforehand costs nobody a passcode.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_from_the_start() {
    let Some(disk) = SmallDisk::new(DataSetSpec::mixed(432, 60, 3_000_000), DISK_BYTES).await else { return };
    let world = &disk.world;
    world.phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenPresent { patience: super::PATIENCE }));
    world.phone.set_person_present(true);
    let film = disk.fill(50_000_000);
    let daemon = world.daemon().await;
    let told = fails(&daemon, HostDiskFull).await;
    assert!(told.evidence.bytes_missing() > Some(0) && told.why.contains("more would do"), "{told:?}");
    assert_eq!(world.phone.sheets_shown(), 0);
    cured(world, &daemon, "host-disk-full", async || fs::remove_file(&film).unwrap()).await;
    assert_eq!(world.phone.sheets_shown(), 1);
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_lost_on_wifi_and_a_full_disk() {
    let Some(disk) = SmallDisk::new(DataSetSpec::mixed(433, 60, 3_000_000), DISK_BYTES).await else { return };
    let world = &disk.world;
    world.phone.appear_on_wifi();
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 500_000 }));
    let mut events = world.phone.events();
    let daemon = world.daemon().await;
    let listener = Listener::to(world).await;
    happens(&mut events, &Event::Paused).await;
    let film = disk.fill(0);
    world.phone.unplug();
    daemon.phone_shows("it is lost", |phone| has(phone, WifiLost)).await;
    world.phone.set_fault(None);
    world.phone.appear_on_wifi();
    fails(&daemon, HostDiskFull).await;
    cured(world, &daemon, "Wi-Fi back, then room", async || fs::remove_file(&film).unwrap()).await;
    let told: Vec<_> = listener.ids().into_iter().filter(|id| *id != HostDiskLow).collect();
    assert_eq!(told, [WifiLost, HostDiskFull], "each once, as it was learned");
    world.judge();
}

/// Old snapshots go when a person says so; the backup that wanted their room follows by itself.
#[tokio::test(flavor = "multi_thread")]
async fn room_is_made_of_old_snapshots() {
    let Some(disk) = SmallDisk::new(DataSetSpec::uniform(434, 5, 4_000_000), 384 << 20).await else { return };
    let world = &disk.world;
    world.configure("[backup]\nmake_room = false\n");
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    for _ in 0..3 {
        world.phone.mutate(Mutation::Change { count: 5 });
        assert!(world.backstay(&["backup"]).await.status.success());
    }
    let snapshots = || {
        let history = world.root().join(".backstay").join(world.phone.udid()).join("history");
        fs::read_dir(history).unwrap().count()
    };
    let before = snapshots();
    assert_eq!(before, 3);
    disk.fill(100_000_000);
    world.phone.mutate(Mutation::Change { count: 1 });
    drop(world.backstay(&["backup"]).await);
    let told = fails(&daemon, HostDiskFull).await;
    assert!(told.evidence.bytes_missing() > Some(0), "{told:?}");
    cured(world, &daemon, "old snapshots removed", async || {
        assert_eq!(ask(world, Request::FreeSpace { phone: None }).await, Reply::Done);
    })
    .await;
    assert!(snapshots() < before + 1, "{} snapshots", snapshots());
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_photo_is_told_with_its_path() {
    let world = World::new(DataSetSpec::uniform(435, 30, 5000)).await;
    world.phone.set_fault(Some(Fault::FileUnreadable { index: 7, manner: Unreadable::LEFT_OUT }));
    let daemon = world.daemon().await;
    let told = daemon
        .phone_shows("the photo is told", |phone| {
            has(phone, DeviceFilesUnreadable).filter(|_| phone.activity == Activity::Idle && phone.last_good.is_some())
        })
        .await;
    let photo = world.phone.data().file(7).unwrap().relative_path.to_string();
    assert!(told.why.contains(&photo), "{photo}: {}", told.why);
    assert!(told.evidence.path.as_ref().is_some_and(|path| path.ends_with(&photo)), "{told:?}");
    world.phone.set_fault(None);
    assert!(world.backstay(&["backup"]).await.status.success());
    daemon.phone_shows("it is forgotten", backed_up).await;
    world.judge();
}
