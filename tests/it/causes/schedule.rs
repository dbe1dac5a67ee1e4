//! When backups start by themselves, and that it is told.

use backstay_shared::{
    health::{
        Condition,
        FailureId::{DeviceNotCharging, UsbDisconnected},
    },
    overview::{Activity, DueReason, PhoneOverview},
    protocol::{Reply, Request},
};
use backstay_tests::{
    phone::{Event, Fault, dataset::DataSetSpec},
    told::Listener,
    world::{World, age_receipts, text},
};
use chrono::{DateTime, Duration, Utc};
use serde_json::Value;

use super::{ask, backed_up, backups_asked_for, comes_again, cured, fails, happens};

async fn world(seed: u64) -> World {
    World::new(DataSetSpec::mixed(seed, 50, 1_000_000)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_without_power_waits_where_a_person_wants_that() {
    let world = world(481).await;
    world.configure("[backup]\nonly_when_charging = true\n");
    world.phone.set_battery(80, false);
    let daemon = world.daemon().await;
    let listener = Listener::to(&world).await;
    let mut events = world.phone.events();
    let waits = Activity::Waiting { until: Condition::Charging };
    daemon.phone_shows("it waits", |phone: &PhoneOverview| (phone.activity == waits).then_some(())).await;
    let status = text(&world.backstay(&["status"]).await);
    assert!(status.contains("as soon as the iPhone charges"), "{status}");
    let told = text(&world.backstay(&["schedule"]).await);
    assert!(told.contains("   1. as soon as the iPhone charges\n   2. "), "{told}");
    assert_eq!(backups_asked_for(&mut events), 0);
    cured(&world, &daemon, "charging", async || world.phone.set_battery(80, true)).await;
    assert!(!listener.ids().contains(&DeviceNotCharging), "nothing has failed: {:?}", listener.news());
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn plugging_it_in_starts_one_where_a_person_wants_that_and_not_too_often() {
    let world = world(482).await;
    world.configure("[backup]\nevery_hours = 8760\non_connect_hours = 6\n");
    assert_eq!(world.back_up_once().await.0, 0);
    world.phone.unplug();
    age_receipts(&world, Duration::hours(7));
    let daemon = world.daemon().await;
    let mut events = world.phone.events();
    world.phone.plug_in();
    happens(&mut events, &Event::BackupRequested).await;
    daemon.phone_shows("the backup is done", backed_up).await;
    comes_again(&world, &daemon).await;
    comes_again(&world, &daemon).await;
    assert_eq!(backups_asked_for(&mut events), 0, "the last good one is younger than six hours");
    let told = text(&world.backstay(&["schedule"]).await);
    assert!(told.contains("when it is plugged in and the last good one is 6 h old"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_ten_are_told_with_why() {
    let world = world(483).await;
    world.configure("[backup]\nschedule = \"30 12 * * *\"\nhours = \"18:00-08:00\"\n");
    let daemon = world.daemon().await;
    world.backstay(&["backup"]).await;
    daemon.phone_shows("the backup is done", backed_up).await;
    let output = world.backstay(&["schedule", "--json"]).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let times = told["times"].as_array().unwrap();
    assert_eq!(times.len(), 10, "{told}");
    let mut last = Utc::now();
    for time in times {
        let at: DateTime<Utc> = time["at"].as_str().unwrap().parse().unwrap();
        assert!(at > last && at - last < Duration::hours(36), "{told}");
        last = at;
        let shown = at.with_timezone(&chrono::Local).format("%H:%M").to_string();
        assert_eq!((shown.as_str(), time["reason"]["why"].as_str()), ("18:00", Some("allowed-hours")), "{told}");
    }
    let phone = daemon.overview().await.unwrap().phones.remove(0);
    assert_eq!(phone.next_due.unwrap().to_rfc3339(), times[0]["at"].as_str().unwrap().replace('Z', "+00:00"));
    for (arguments, word) in
        [(["schedule"], "moved into the allowed hours"), (["status"], "moved into the allowed hours")]
    {
        let told = text(&world.backstay(&arguments).await);
        assert!(told.contains(word), "{told}");
    }
    world.backstay(&["pause"]).await;
    let told = text(&world.backstay(&["schedule"]).await);
    assert!(told.contains("Nothing starts by itself"), "{told}");
}

/// What the last run left has a time of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_run_left_comes_first() {
    let world = world(484).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    world.change();
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 1000 }));
    let mut events = world.phone.events();
    assert!(matches!(ask(&world, Request::BackUp { phone: None, full: false }).await, Reply::Started { .. }));
    happens(&mut events, &Event::Paused).await;
    let told = text(&world.backstay(&["schedule"]).await);
    assert!(!told.contains("as soon as it can be"), "what runs is no time to come: {told}");
    let cancelled = world.backstay(&["cancel"]).await;
    assert!(cancelled.status.success(), "{}", text(&cancelled));
    world.phone.go_on();
    let again = daemon
        .phone_shows("it is left in peace", |phone| match phone.activity {
            Activity::RetryAt { at, .. } => Some((at, phone.next_due, phone.next_due_reason)),
            _ => None,
        })
        .await;
    let tomorrow = again.0;
    assert!(tomorrow > Utc::now() + Duration::hours(23), "{tomorrow}");
    assert_eq!((again.1, again.2), (Some(tomorrow), Some(DueReason::Cancelled)));
    let shown = tomorrow.with_timezone(&chrono::Local).format("%a %Y-%m-%d %H:%M").to_string();
    let told = text(&world.backstay(&["schedule"]).await);
    assert!(told.contains(&format!("   1. {shown}  a day after the last one was cancelled")), "{told}");
    assert!(told.contains("\n   2. ") && !told.contains("as soon as it can be"), "{told}");
    let status = text(&world.backstay(&["status"]).await);
    assert!(status.contains("(a day after the last one was cancelled)"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_say_whose_local_time_it_is() {
    let world = world(485).await;
    world.configure("[backup]\nschedule = \"30 12 * * *\"\ntime_zone = \"Pacific/Kiritimati\"\n");
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    let output = world.backstay(&["schedule", "--json"]).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let at: DateTime<Utc> = told["times"][0]["at"].as_str().unwrap().parse().unwrap();
    // Fourteen hours ahead, all the year.
    assert_eq!(at.format("%H:%M").to_string(), "22:30", "{told}");
    let told = text(&world.backstay(&["schedule"]).await);
    assert!(
        told.contains("time zone  Pacific/Kiritimati") && told.contains(" 12:30  a time of the schedule"),
        "{told}"
    );
    drop(daemon);
    world.configure("[backup]\ntime_zone = \"Pacific/Kiritimaty\"\n");
    let told = text(&world.backstay(&["history"]).await);
    assert!(told.contains("config.toml: line 2") && told.contains("did you mean \"Pacific/Kiritimati\"?"), "{told}");
}

/// Nothing was typed wrongly, and nothing that is not there is comforted with.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_without_a_backup_is_told_so() {
    let world = world(486).await;
    for command in ["history", "verify"] {
        let output = world.backstay(&[command]).await;
        assert!(text(&output).contains("holds no backup yet"), "{}", text(&output));
        assert_eq!(output.status.code(), Some(1), "{command}");
    }
    let is_comforted = |told: &str| told.contains("untouched");
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1000 }));
    let (code, told) = world.back_up_once().await;
    assert_eq!((code, told["failure"]["id"].as_str()), (1, Some("usb-disconnected")), "{told}");
    assert!(!is_comforted(&told.to_string()), "{told}");
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1000 }));
    let daemon = world.daemon().await;
    world.phone.plug_in();
    fails(&daemon, UsbDisconnected).await;
    let status = text(&world.backstay(&["status"]).await);
    assert!(status.contains("last good  none yet") && !is_comforted(&status), "{status}");
    world.phone.set_fault(None);
    cured(&world, &daemon, "the cable", async || world.phone.plug_in()).await;
    world.change();
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1000 }));
    drop(world.backstay(&["backup"]).await);
    fails(&daemon, UsbDisconnected).await;
    assert!(is_comforted(&text(&world.backstay(&["status"]).await)));
}
