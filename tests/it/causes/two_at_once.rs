//! Two faults at the same time: the root cause stands in front, and nobody is flooded.

use backstay_shared::health::FailureId::{self, BackupDriveMissing, DeviceLocked, UsbmuxdNotRunning};
use backstay_tests::{
    phone::{Fault, dataset::DataSetSpec},
    told::Listener,
    world::{Daemon, World},
};

use super::{backed_up, computer_has, cured, fails};

/// A world with one good backup, and something new on the phone.
async fn backed_up_once(seed: u64) -> (World, Daemon) {
    let world = World::new(DataSetSpec::mixed(seed, 50, 1_000_000)).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    world.change();
    (world, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_drive_and_a_locked_phone() {
    let (world, daemon) = backed_up_once(421).await;
    let listener = Listener::to(&world).await;
    let away = world.folder.path().join("the drive");
    std::fs::rename(world.root(), &away).unwrap();
    world.phone.set_locked(true);
    world.phone.set_fault(Some(Fault::Locked));
    drop(world.backstay(&["backup"]).await);
    fails(&daemon, BackupDriveMissing).await;
    // The second cause is learned of only now, and nothing is broken by it: the passcode can wait.
    std::fs::rename(&away, world.root()).unwrap();
    daemon
        .shows("the drive is there", |overview| computer_has(overview, BackupDriveMissing).is_none().then_some(()))
        .await;
    cured(&world, &daemon, "drive, then unlocked", async || {
        world.phone.set_fault(None);
        world.phone.set_locked(false);
    })
    .await;
    assert_eq!(listener.most_at_once(), 1, "{:?}", listener.news());
    let ids = listener.ids();
    assert_eq!(ids.first(), Some(&BackupDriveMissing), "{ids:?}");
    once_each(&ids, &[BackupDriveMissing, DeviceLocked]);
    world.judge();
}

/// Neither explains the other, and both have to be mended: two are told, and none of what follows from them.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_drive_and_no_usbmuxd() {
    let (world, daemon) = backed_up_once(422).await;
    let listener = Listener::to(&world).await;
    let away = world.folder.path().join("the drive");
    world.usbmuxd.stop().await;
    daemon.shows("usbmuxd is missing", |overview| computer_has(overview, UsbmuxdNotRunning)).await;
    std::fs::rename(world.root(), &away).unwrap();
    let output = world.backstay(&["backup"]).await;
    let told = backstay_tests::world::text(&output);
    assert!(told.contains(&UsbmuxdNotRunning.entry().title), "the cause, not that there is no phone: {told}");
    std::fs::rename(&away, world.root()).unwrap();
    world.usbmuxd.start_again().await.unwrap();
    daemon
        .shows("all is well", |overview| {
            (overview.problems.is_empty() && backed_up(&overview.phones[0]).is_some()).then_some(())
        })
        .await;
    once_each(&listener.ids(), &[UsbmuxdNotRunning, BackupDriveMissing]);
    assert_eq!(listener.ids().first(), Some(&UsbmuxdNotRunning));
}

/// A backup breaks with the drive and usbmuxd at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn the_drive_and_usbmuxd_go_during_a_backup() {
    let (world, daemon) = backed_up_once(423).await;
    let listener = Listener::to(&world).await;
    world.phone.set_fault(Some(Fault::SilentAt { bytes: 100_000 }));
    let mut events = world.phone.events();
    let away = world.folder.path().join("the drive");
    let asked = world.backstay(&["backup"]);
    let broken = async {
        super::happens(&mut events, &backstay_tests::phone::Event::WentSilent).await;
        std::fs::rename(world.root(), &away).unwrap();
        world.usbmuxd.stop().await;
    };
    tokio::join!(asked, broken);
    world.phone.set_fault(None);
    daemon.shows("the drive is missing", |overview| computer_has(overview, BackupDriveMissing)).await;
    daemon.shows("usbmuxd is missing", |overview| computer_has(overview, UsbmuxdNotRunning)).await;
    world.usbmuxd.start_again().await.unwrap();
    daemon.shows("usbmuxd is back", |overview| computer_has(overview, UsbmuxdNotRunning).is_none().then_some(())).await;
    cured(&world, &daemon, "usbmuxd, then drive", async || std::fs::rename(&away, world.root()).unwrap()).await;
    once_each(&listener.ids(), &[UsbmuxdNotRunning, BackupDriveMissing]);
    world.judge();
}

/// Nothing but these, and none of them twice.
#[track_caller]
pub(super) fn once_each(told: &[FailureId], allowed: &[FailureId]) {
    assert!(told.iter().all(|id| allowed.contains(id)), "{told:?}");
    for id in allowed {
        assert!(told.iter().filter(|told| *told == id).count() <= 1, "{id} more than once: {told:?}");
    }
}
