//! The loop closed: a real daemon and the real tray companion, from the failing phone to the click that mends it.

use std::time::{Duration, Instant};

use backstay_shared::{health::FailureId, overview::PhoneOverview};
use backstay_tests::{
    binaries::binary,
    desktop::{Noted, NotificationHost, PrivateBus, TrayHost},
    phone::{Event, Fault, dataset::DataSetSpec},
    world::World,
};

const FAILURE: FailureId = FailureId::DeviceInternalError;
const SECOND: Duration = Duration::from_secs(1);

fn failed(phone: &PhoneOverview) -> Option<()> {
    phone.problems.iter().any(|problem| problem.id == FAILURE).then_some(())
}

fn well(phone: &PhoneOverview) -> Option<()> {
    (phone.problems.is_empty() && phone.last_run.as_ref().is_some_and(|run| run.failure.is_none())).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_failure_is_seen_within_a_second_and_a_click_backs_up() {
    let mut world = World::new(DataSetSpec::mixed(51, 200, 3_000_000)).await;
    world.phone.unplug();
    let bus = PrivateBus::start();
    world.bus = Some(bus.address().to_owned());
    let (tray, mut notifications) = (TrayHost::start(&bus).await, NotificationHost::start(&bus).await);
    let daemon = world.daemon().await;
    let mut command = world.command(binary("backstay-tray"));
    let _companion = command.stdin(std::process::Stdio::null()).spawn().unwrap();
    tray.item().await;

    // P6: a backup that goes well is nobody's business.
    world.phone.plug_in();
    daemon.phone_shows("it is backed up", well).await;
    tray.wait_for_text("verified").await;
    assert_eq!(notifications.more().len(), 0, "silent while all is well");

    world.phone.set_fault(Some(Fault::FinalError { code: 1, text: "General failure".into() }));
    world.change();
    tray.click("Back up now").await;
    daemon.phone_shows("it failed", failed).await;
    let began = Instant::now();
    let notification = notifications.shown().await;
    let notified = began.elapsed();
    tray.wait_for_text(&FAILURE.entry().title).await;
    let shown = began.elapsed();
    println!("notification after {notified:?}, menu after {shown:?}");
    assert!(notified < SECOND && shown < SECOND, "notification after {notified:?}, menu after {shown:?}");
    assert_eq!(notification.summary, FAILURE.entry().title);
    assert!(notification.body.contains(&FAILURE.entry().steps[0]), "{}", notification.body);

    world.phone.set_fault(None);
    tray.click("Try again").await;
    daemon.phone_shows("the click backed up", well).await;
    world.judge();
    let withdrawn =
        async { while !matches!(notifications.next().await, Noted::Closed(id) if id == notification.id) {} };
    tokio::time::timeout(SECOND * 10, withdrawn).await.expect("the notification is withdrawn");
    tray.wait_for_text("verified").await;

    // The same once more, by the button on the notification.
    world.phone.set_fault(Some(Fault::FinalError { code: 1, text: "General failure".into() }));
    world.change();
    tray.click("Back up now").await;
    let notification = notifications.shown().await;
    daemon.phone_shows("it failed", failed).await;
    world.phone.set_fault(None);
    let mut events = world.phone.events();
    notifications.press(notification.id, "retry").await;
    while !matches!(events.recv().await.unwrap(), Event::BackupEnded { code: 0 }) {}
    daemon.phone_shows("the button backed up", well).await;
    world.judge();
}
