//! What a person can ask for: less, later, again, or something else.

use backstay_shared::{
    health::FailureId::{
        DeviceBatteryLow, DeviceNotUnlockedSinceRestart, DeviceSnapshotStuck, PairingLost, PhotosCopyOnly, TrustPending,
    },
    overview::{Activity, PhoneOverview},
    protocol::{Refusal, Reply, Request},
};
use backstay_tests::{
    phone::{Event, Fault, dataset::DataSetSpec, lockdownd::Dialog},
    world::{World, eventually, text},
};
use chrono::{Local, TimeDelta, Utc};

use super::{ask, backed_up, backups_asked_for, comes_again, cured, fails, happens, has};

async fn world(seed: u64) -> World {
    World::new(DataSetSpec::mixed(seed, 50, 1_000_000)).await
}

async fn done(world: &World, arguments: &[&str]) -> String {
    let output = world.backstay(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

fn idle(phone: &PhoneOverview) -> Option<()> {
    (phone.activity == Activity::Idle).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_paused_nothing_starts_by_itself() {
    let world = world(471).await;
    world.phone.unplug();
    let daemon = world.daemon().await;
    done(&world, &["pause"]).await;
    assert!(daemon.overview().await.unwrap().paused.is_some());
    let mut events = world.phone.events();
    world.phone.plug_in();
    daemon.phone_shows("it is here", idle).await;
    comes_again(&world, &daemon).await;
    comes_again(&world, &daemon).await;
    assert_eq!(backups_asked_for(&mut events), 0);
    assert!(done(&world, &["status"]).await.contains("Paused until you resume it"));
    cured(&world, &daemon, "resumed", async || drop(done(&world, &["resume"]).await)).await;
    world.judge();

    // A pause outlives the daemon, however that ends; a person's own word counts also meanwhile.
    done(&world, &["pause"]).await;
    let kept = world.folder.path().join("home/.local/state/backstay/paused.json");
    eventually("the pause is kept", async || {
        std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("until")).then_some(())
    })
    .await;
    daemon.kill().await;
    let daemon = world.daemon().await;
    assert!(daemon.overview().await.unwrap().paused.is_some());
    world.change();
    done(&world, &["backup"]).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_by_itself() {
    let world = world(472).await;
    world.phone.unplug();
    let daemon = world.daemon().await;
    done(&world, &["pause", "--for", "2h"]).await;
    let until = daemon.overview().await.unwrap().paused.unwrap().until.unwrap();
    assert!((until - Utc::now() - TimeDelta::hours(2)).abs() < TimeDelta::minutes(5), "{until}");

    let until = Utc::now() + TimeDelta::seconds(3);
    assert_eq!(ask(&world, Request::Pause { until: Some(until) }).await, Reply::Done);
    let mut events = world.phone.events();
    world.phone.plug_in();
    happens(&mut events, &Event::BackupRequested).await;
    let late = Utc::now() - until;
    println!("the backup began {late} after the end of the pause");
    assert!(late >= TimeDelta::zero() && late <= TimeDelta::seconds(10), "{late}");
    daemon.phone_shows("the backup is done", backed_up).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_allowed_hours_nothing_starts_by_itself() {
    let world = world(473).await;
    let from = Local::now() + TimeDelta::hours(2);
    let to = from + TimeDelta::hours(3);
    world.configure(&format!("[backup]\nhours = \"{}-{}\"\n", from.format("%H:%M"), to.format("%H:%M")));
    world.phone.unplug();
    let daemon = world.daemon().await;
    let mut events = world.phone.events();
    world.phone.plug_in();
    daemon.phone_shows("it is here", idle).await;
    comes_again(&world, &daemon).await;
    comes_again(&world, &daemon).await;
    assert_eq!(backups_asked_for(&mut events), 0);
    let due = daemon.overview().await.unwrap().phones[0].next_due.unwrap();
    assert!((due.with_timezone(&Local) - from).abs() <= TimeDelta::minutes(1), "{due}, not {from}");
    let status = done(&world, &["status"]).await;
    assert!(status.contains(&from.format("%H:%M").to_string()), "{status}");
    done(&world, &["backup"]).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snoozed_problem_stays_and_is_marked() {
    let world = world(474).await;
    world.phone.set_battery(12, false);
    let daemon = world.daemon().await;
    let before = fails(&daemon, DeviceBatteryLow).await;
    assert_eq!(before.snoozed_until, None);
    done(&world, &["snooze", "device-battery-low", "--for", "2h"]).await;
    let told = daemon.phone_shows("it is snoozed", |phone| has(phone, DeviceBatteryLow)).await;
    let until = told.snoozed_until.unwrap();
    assert!((until - Utc::now() - TimeDelta::hours(2)).abs() < TimeDelta::minutes(5), "{until}");
    let none = Request::Snooze { phone: None, problem: PairingLost, until };
    assert_eq!(ask(&world, none).await, Reply::Refused(Refusal::NoSuchProblem { problem: PairingLost }));
    // Nor does a person want to hear of it again because the daemon started anew.
    daemon.kill().await;
    let daemon = world.daemon().await;
    assert_eq!(fails(&daemon, DeviceBatteryLow).await.snoozed_until, Some(until));
    // What a person does not want to hear of is done all the same.
    cured(&world, &daemon, "snoozed", async || world.phone.set_battery(12, true)).await;
}

/// The cure of a stuck snapshot: it comes back locked, waits for its first unlock, and is backed up.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_restarted() {
    let world = world(475).await;
    world.phone.set_comes_back_after_restart(true);
    world.phone.set_fault(Some(Fault::FinalError { code: 14, text: "Snapshot (MBErrorDomain/14)".into() }));
    let daemon = world.daemon().await;
    fails(&daemon, DeviceSnapshotStuck).await;
    world.phone.set_fault(None);
    let mut events = world.phone.events();
    let told = done(&world, &["restart"]).await;
    assert!(told.contains("Unlock it once afterwards"), "{told}");
    happens(&mut events, &Event::Restarted).await;
    fails(&daemon, DeviceNotUnlockedSinceRestart).await;
    cured(&world, &daemon, "restarted and unlocked", async || world.phone.set_locked(false)).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_that_was_lost_is_asked_for_again() {
    let world = world(476).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    world.change();
    world.phone.trust().forget_all();
    world.phone.trust().dialog = Dialog::Pending;
    drop(world.backstay(&["backup"]).await);
    fails(&daemon, PairingLost).await;
    assert_eq!(ask(&world, Request::PairAgain { phone: None }).await, Reply::Done);
    let told = daemon.phone_shows("the person is called", |phone| has(phone, TrustPending)).await;
    assert!(told.is_in_front(), "{told:?}");
    cured(&world, &daemon, "paired again", async || world.phone.trust().dialog = Dialog::Accepts).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_are_copied_beside_the_backups() {
    let world = world(477).await;
    let photos = ["100APPLE/IMG_0001.JPG", "100APPLE/IMG_0002.HEIC"];
    for (number, path) in (1..).zip(photos) {
        world.phone.media().put_made(&format!("DCIM/{path}"), number, 50_000);
    }
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    assert_eq!(ask(&world, Request::CopyPhotos { phone: None }).await, Reply::Done);
    let told = daemon.phone_shows("what it is is told", |phone| has(phone, PhotosCopyOnly)).await;
    let folder = told.evidence.path.clone().unwrap();
    assert!(folder.starts_with(world.root()) && told.why.contains(&*folder.to_string_lossy()), "{told:?}");
    for path in photos {
        let copied = std::fs::read(folder.join(path)).unwrap();
        assert!(copied == world.phone.media().get(&format!("DCIM/{path}")).unwrap(), "{path} differs");
    }
    world.change();
    done(&world, &["backup"]).await;
    daemon.phone_shows("a backup is more than photos", backed_up).await;
    world.judge();
}
