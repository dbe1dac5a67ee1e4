//! When backups start by themselves, and that it is told.

use backstay_shared::{
    health::{Condition, FailureId::DeviceNotCharging},
    overview::{Activity, PhoneOverview},
};
use backstay_tests::{
    phone::{Event, dataset::DataSetSpec},
    told::Listener,
    world::{World, age_receipts, text},
};
use chrono::{DateTime, Duration, Utc};
use serde_json::Value;

use super::{backed_up, backups_asked_for, comes_again, cured, happens};

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
