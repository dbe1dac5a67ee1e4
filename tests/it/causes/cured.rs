//! Each cause that goes is followed by its backup within ten seconds, with at most one passcode before and one after.

use std::time::Duration;

use backstay_shared::{
    health::FailureId,
    overview::{Activity, PhoneOverview},
};
use backstay_tests::{
    phone::{Event, Fault, PasscodeAnswer, Phone, dataset::DataSetSpec},
    told::Listener,
    world::World,
};

use super::{backups_asked_for, comes_again, cured, fails, happens};
use crate::encryption::{Desktop, PASSWORD, done};

async fn world(seed: u64) -> World {
    World::new(DataSetSpec::mixed(seed, 50, 1_000_000)).await
}

/// A person who types the passcode whenever the phone asks.
fn types_every_passcode(phone: &Phone) {
    phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenPresent { patience: Duration::from_secs(60) }));
    phone.set_person_present(true);
}

/// A cause of the phone: it is due, fails for it or does not begin, and is cured.
async fn of_the_phone(seed: u64, id: FailureId, cause: impl Fn(&Phone), cure: impl Fn(&Phone), sheets: u64) {
    let world = world(seed).await;
    types_every_passcode(&world.phone);
    cause(&world.phone);
    let daemon = world.daemon().await;
    let listener = Listener::to(&world).await;
    fails(&daemon, id).await;
    assert_eq!(world.phone.sheets_shown(), 0, "{id}: nothing was asked that could not help");
    cured(&world, &daemon, id.slug(), async || cure(&world.phone)).await;
    assert_eq!(world.phone.sheets_shown(), sheets, "{id}");
    let told = listener.ids().into_iter().filter(|told| *told == id).count();
    assert_eq!(told, 1, "{id}: {:?}", listener.news());
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_phone_that_is_unlocked() {
    let locked = |phone: &Phone| phone.set_fault(Some(Fault::Locked));
    of_the_phone(401, FailureId::DeviceLocked, locked, |phone| phone.set_fault(None), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_was_not_unlocked_since_its_restart() {
    let id = FailureId::DeviceNotUnlockedSinceRestart;
    let sealed = |phone: &Phone| phone.set_unlocked_since_restart(false);
    of_the_phone(402, id, sealed, |phone| phone.set_locked(false), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_battery_that_gets_power() {
    let id = FailureId::DeviceBatteryLow;
    of_the_phone(403, id, |phone| phone.set_battery(12, false), |phone| phone.set_battery(12, true), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_battery_that_was_charged_elsewhere() {
    let id = FailureId::DeviceBatteryLow;
    of_the_phone(404, id, |phone| phone.set_battery(12, false), |phone| phone.set_battery(80, false), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_phone_that_is_tidied_up() {
    let id = FailureId::DeviceStorageFull;
    let full = |phone: &Phone| phone.set_free_space(90_000_000);
    of_the_phone(405, id, full, |phone| phone.set_free_space(20_000_000_000), 1).await;
}

/// A person types a password; the phone has it from then on, and so has the password store.
#[tokio::test(flavor = "multi_thread")]
async fn encryption_that_is_required_and_switched_on() {
    let desktop = Desktop::new(406).await;
    let world = &desktop.world;
    world.phone.set_lockdown_value("com.apple.mobile.backup", "RequiresEncryption", Some(true.into()));
    let daemon = world.daemon().await;
    fails(&daemon, FailureId::EncryptionRequired).await;
    cured(world, &daemon, "encryption-required", async || {
        done(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    })
    .await;
    backstay_tests::oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), PASSWORD).unwrap();
}

/// Nobody is asked again before somebody is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_passcode_that_was_not_typed_is_asked_for_when_somebody_unlocks_the_phone() {
    let world = world(407).await;
    world.phone.set_passcode_sheet(Some(PasscodeAnswer::Cancelled));
    let mut events = world.phone.events();
    let daemon = world.daemon().await;
    fails(&daemon, FailureId::PasscodeNotEntered).await;
    assert_eq!(world.phone.sheets_shown(), 1);
    types_every_passcode(&world.phone);
    world.phone.set_locked(true);
    happens(&mut events, &Event::LockTold { locked: true }).await;
    assert_eq!(world.phone.sheets_shown(), 1, "it lies there");
    cured(&world, &daemon, "passcode-not-entered", async || world.phone.set_locked(false)).await;
    assert_eq!(world.phone.sheets_shown(), 2);
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drive_that_comes_back() {
    let world = world(408).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", super::backed_up).await;
    types_every_passcode(&world.phone);
    world.change();
    let away = world.folder.path().join("the drive");
    std::fs::rename(world.root(), &away).unwrap();
    let listener = Listener::to(&world).await;
    drop(world.backstay(&["backup"]).await);
    fails(&daemon, FailureId::BackupDriveMissing).await;
    assert_eq!(world.phone.sheets_shown(), 0, "no passcode for a drive that is not there");
    cured(&world, &daemon, "backup-drive-missing", async || std::fs::rename(&away, world.root()).unwrap()).await;
    assert_eq!(world.phone.sheets_shown(), 1);
    daemon.shows("all is well", |overview| overview.problems.is_empty().then_some(())).await;
    assert_eq!(listener.news(), [(FailureId::BackupDriveMissing, None)], "told of the computer, and once");
    world.judge();
}

/// It was at another computer meanwhile, which made the backup that failed here.
#[tokio::test(flavor = "multi_thread")]
async fn a_drive_that_comes_back_with_a_younger_backup() {
    let world = world(412).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", super::backed_up).await;
    world.change();
    let away = world.folder.path().join("the drive");
    std::fs::rename(world.root(), &away).unwrap();
    drop(world.backstay(&["backup"]).await);
    fails(&daemon, FailureId::BackupDriveMissing).await;
    let elsewhere = world.backstay(&["backup", "--once", "--root", away.to_str().unwrap()]).await;
    assert!(elsewhere.status.success(), "{}", backstay_tests::world::text(&elsewhere));
    let mut events = world.phone.events();
    std::fs::rename(&away, world.root()).unwrap();
    let is_at_rest =
        |phone: &PhoneOverview| (phone.activity == Activity::Idle && phone.problems.is_empty()).then_some(());
    daemon.phone_shows("nothing is wrong", is_at_rest).await;
    comes_again(&world, &daemon).await;
    daemon.phone_shows("nothing is wrong", is_at_rest).await;
    assert_eq!(backups_asked_for(&mut events), 0, "it is not due");
    world.judge();
}

/// A drive that is back is no problem of a phone that is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_drive_that_comes_back_while_the_phone_is_away() {
    let world = world(409).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", super::backed_up).await;
    let away = world.folder.path().join("the drive");
    std::fs::rename(world.root(), &away).unwrap();
    drop(world.backstay(&["backup"]).await);
    fails(&daemon, FailureId::BackupDriveMissing).await;
    world.phone.unplug();
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    std::fs::rename(&away, world.root()).unwrap();
    daemon
        .shows("nothing is wrong", |overview| {
            (overview.problems.is_empty() && overview.phones[0].problems.is_empty()).then_some(())
        })
        .await;
    cured(&world, &daemon, "backup-drive-missing, phone away", async || world.phone.plug_in()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usbmuxd_that_starts_again() {
    let world = world(410).await;
    world.phone.unplug();
    let daemon = world.daemon().await;
    world.usbmuxd.stop().await;
    let id = FailureId::UsbmuxdNotRunning;
    daemon.shows("usbmuxd is missing", |overview| super::computer_has(overview, id)).await;
    types_every_passcode(&world.phone);
    world.phone.plug_in();
    cured(&world, &daemon, id.slug(), async || world.usbmuxd.start_again().await.unwrap()).await;
    assert_eq!(world.phone.sheets_shown(), 1);
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_that_is_plugged_in_again() {
    let world = world(411).await;
    types_every_passcode(&world.phone);
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 300_000 }));
    let daemon = world.daemon().await;
    let told = daemon.phone_shows("it was unplugged", |phone| super::has(phone, FailureId::UsbDisconnected)).await;
    assert!(told.evidence.bytes_received.is_some() || told.why.contains("cable"), "{told:?}");
    assert_eq!(world.phone.sheets_shown(), 1);
    cured(&world, &daemon, "usb-disconnected", async || world.phone.plug_in()).await;
    assert_eq!(world.phone.sheets_shown(), 2, "one before, one after");
    world.judge();
}
