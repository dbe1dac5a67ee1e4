//! The tray companion as a person meets it: the real executable, a status bar, a notification service and a daemon.

use std::time::{Duration, Instant};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::{RunId, Udid},
    overview::{Activity, EndedRun, LastGood, Overview, Phase, PhoneOverview, Problem, Progress},
    protocol::{Refusal, Request},
};
use backstay_tests::desktop::{Desk, Noted, Notification, NotificationHost, TrayHost};
use chrono::Utc;

const FULL: FailureId = FailureId::HostDiskFull;
const SECOND: Duration = Duration::from_secs(1);

fn udid() -> Udid {
    "00008120-001A2D3E0C40201E".parse().unwrap()
}

fn phone() -> PhoneOverview {
    PhoneOverview {
        udid: udid(),
        name: "Anna & Tom's <i_Phone>".to_owned(),
        model: None,
        ios: None,
        activity: Activity::Idle,
        last_good: Some(LastGood { at: Utc::now(), files: 1, bytes: 1 }),
        next_due: None,
        last_run: None,
        problems: Vec::new(),
    }
}

fn of(phone: PhoneOverview) -> Overview {
    Overview { phones: vec![phone], ..Overview::default() }
}

fn well() -> Overview {
    of(phone())
}

fn failed(run: u64) -> Overview {
    let problem = Problem::new(&Failure::from(FULL), Utc::now());
    let last_run = EndedRun {
        run: RunId(run),
        at: Utc::now(),
        files_received: 0,
        bytes_received: 0,
        failure: Some(problem.clone()),
    };
    of(PhoneOverview { activity: Activity::Blocked, last_run: Some(last_run), problems: vec![problem], ..phone() })
}

fn running(percent: u8) -> Overview {
    let progress =
        Progress { phase: Phase::Transferring, fraction: Some(f64::from(percent) / 100.0), ..Progress::start() };
    of(PhoneOverview { activity: Activity::Running { run: RunId(9), progress }, ..phone() })
}

fn back_up() -> Request {
    Request::BackUp { phone: Some(udid().to_string()), full: false }
}

fn is_failure(notification: &Notification) {
    let entry = FULL.entry();
    assert_eq!(notification.summary, entry.title);
    assert_eq!(notification.body, format!("Anna &amp; Tom's &lt;i_Phone&gt;: {}\n{}", entry.why, entry.steps[0]));
    assert_eq!(notification.actions, ["retry", "Try again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn menu_icon_and_tooltip_follow_the_daemon() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let mut daemon = desk.daemon(well());
    desk.start();

    let labels = host.wait_for_text("last backup today").await;
    assert!(labels[0].starts_with("Anna & Tom's <i_Phone>: "), "{labels:?}");
    assert_eq!(labels[1..], ["Back up now", "", "Quit Backstay"]);
    assert!(host.tooltip().await.starts_with("Anna & Tom's <i_Phone>: last backup today"));
    let fine = host.icon().await;
    assert!(fine.width >= 32 && fine.width == fine.height);

    host.click("Back up now").await;
    assert_eq!(daemon.request().await, back_up());

    for percent in [5, 42, 73] {
        daemon.push(running(percent));
        let labels = host.wait_for_text(&format!("backing up {percent} %")).await;
        assert_eq!(labels[1..], ["Cancel backup", "", "Quit Backstay"]);
    }
    assert_ne!(host.icon().await, fine);
    host.click("Cancel backup").await;
    assert_eq!(daemon.request().await, Request::Cancel { phone: Some(udid().to_string()) });

    daemon.push(well());
    host.wait_for_text("last backup today").await;
    assert_eq!(notifications.more(), [], "quiet while all is well");

    host.click("Quit Backstay").await;
    assert!(desk.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_once_and_withdrawn_when_cured() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let daemon = desk.daemon(well());
    desk.start();
    host.wait_for_text("last backup").await;

    let pushed = Instant::now();
    daemon.push(failed(1));
    let notification = notifications.shown().await;
    let notified = pushed.elapsed();
    let labels = host.wait_for_text(&FULL.entry().title).await;
    let listed = pushed.elapsed();
    println!("a failure is in a notification after {notified:?} and was seen in the menu after {listed:?}");
    assert!(notified < SECOND && listed < SECOND);
    is_failure(&notification);
    assert_eq!(notification.urgency, 2);
    assert!(labels.iter().any(|label| label.trim() == FULL.entry().steps[0]), "{labels:?}");
    assert!(labels.contains(&"Try again".to_owned()), "{labels:?}");

    for run in 1..=10 {
        daemon.push(failed(run));
    }
    daemon.push(well());
    assert_eq!(notifications.next().await, Noted::Closed(notification.id), "the next thing after ten repeats");
    assert_eq!(notifications.open(), [0_u32; 0]);
    assert_eq!(notifications.more(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn try_again_in_the_menu_and_on_the_notification() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let mut daemon = desk.daemon(failed(1));
    desk.start();

    let first = notifications.shown().await;
    notifications.press(first.id, "retry").await;
    assert_eq!(daemon.request().await, back_up());

    daemon.push(running(1));
    host.wait_for_text("Cancel backup").await;
    daemon.push(failed(2));
    let second = notifications.shown().await;
    is_failure(&second);

    host.wait_for_text("Try again").await;
    host.click("Try again").await;
    assert_eq!(daemon.request().await, back_up());
    assert_eq!(notifications.next().await, Noted::Closed(second.id), "the person has seen it");
    assert_eq!(daemon.more_requests(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_press_counts_also_right_after_it_was_shown() {
    let mut desk = Desk::new();
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let mut daemon = desk.daemon(well());
    desk.start();
    for run in 1..=20 {
        daemon.push(failed(run));
        let notification = notifications.shown().await;
        // Somebody else's notifications come and go too.
        notifications.dismiss(notification.id + 1000).await;
        notifications.press(notification.id, "retry").await;
        assert_eq!(daemon.request().await, back_up(), "press {run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_on_a_title_explains_and_a_refusal_is_answered() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let mut daemon = desk.daemon(failed(1));
    desk.start();
    let first = notifications.shown().await;
    notifications.dismiss(first.id).await;

    let labels = host.wait_for_text(&FULL.entry().title).await;
    let title = labels.iter().find(|label| label.contains(&FULL.entry().title)).unwrap();
    host.click(title).await;
    is_failure(&notifications.shown().await);

    daemon.push(well());
    assert!(matches!(notifications.next().await, Noted::Closed(_)));
    daemon.refuse_next(Refusal::Failure(Failure::from(FailureId::BackupDriveMissing)));
    host.wait_for_text("Back up now").await;
    host.click("Back up now").await;
    assert_eq!(daemon.request().await, back_up());
    let refused = notifications.shown().await;
    assert_eq!(refused.summary, FailureId::BackupDriveMissing.entry().title);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_goes_and_comes_back() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    desk.start();
    host.wait_for_text("backstay daemon").await;
    let offline = host.icon().await;

    let daemon = desk.daemon(failed(1));
    host.wait_for_text("Try again").await;
    let notification = notifications.shown().await;
    assert_ne!(host.icon().await, offline);

    daemon.stop().await;
    host.wait_for_text("backstay daemon").await;
    // A click for which nobody is there is in the log.
    notifications.press(notification.id, "retry").await;
    desk.wait_for_log("not carried out: the daemon is not connected").await;

    let started = Instant::now();
    let daemon = desk.daemon(well());
    host.wait_for_text("last backup").await;
    println!("the menu follows {:?} after the daemon is back", started.elapsed());
    drop(daemon);
    host.wait_for_text("backstay daemon").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_bar_that_comes_late_and_restarts() {
    let mut desk = Desk::new();
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let daemon = desk.daemon(failed(1));
    desk.start();
    // By now the companion runs, and nobody has shown its icon.
    notifications.shown().await;

    let host = TrayHost::start(&desk.bus).await;
    host.wait_for_text("Try again").await;
    host.stop().await;

    daemon.push(running(7));
    let host = TrayHost::start(&desk.bus).await;
    host.wait_for_text("backing up 7 %").await;
    assert_eq!(host.registrations(), 1);
    daemon.push(well());
    host.wait_for_text("last backup").await;
}

/// As when both start at login: the icon registers just before there is somebody to hear it.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_bar_that_misses_the_icon_gets_it_again() {
    let mut desk = Desk::new();
    let host = TrayHost::that_misses(&desk.bus, 1).await;
    let _daemon = desk.daemon(well());
    desk.start();
    host.wait_for_text("last backup").await;
    assert_eq!(host.registrations(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_service_that_comes_late_restarts_and_has_no_buttons() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let daemon = desk.daemon(failed(1));
    desk.start();
    host.wait_for_text("Try again").await;

    let mut notifications = NotificationHost::start(&desk.bus).await;
    is_failure(&notifications.shown().await);
    notifications.stop().await;

    let mut plain = NotificationHost::with_capabilities(&desk.bus, &["body"]).await;
    daemon.push(well());
    // Overviews that come faster than they are read are merged, then nothing was ever cured.
    desk.wait_for_log("withdraw host-disk-full").await;
    daemon.push(failed(2));
    let notification = plain.shown().await;
    let entry = FULL.entry();
    assert_eq!((notification.id, notification.replaces), (1, 0), "ids of the old service are forgotten");
    assert_eq!(notification.actions, [""; 0]);
    assert_eq!(
        notification.body,
        format!(
            "Anna & Tom's <i_Phone>: {}\n{}\nThen choose Try again in the Backstay menu.",
            entry.why, entry.steps[0]
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn quitting_takes_the_notifications_along() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let _daemon = desk.daemon(failed(1));
    desk.start();
    let shown = notifications.shown().await;
    host.wait_for_text("Try again").await;
    host.click("Quit Backstay").await;
    assert!(desk.ended().await.success());
    assert_eq!(notifications.next().await, Noted::Closed(shown.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_bus_it_waits_for_one() {
    let mut desk = Desk::new();
    let _daemon = desk.daemon(well());
    let later = desk.folder().join("bus");
    desk.start_on_bus(&format!("unix:path={}", later.display()));
    desk.wait_for_log("no tray icon").await;

    let address = desk.bus.address().strip_prefix("unix:path=").unwrap().to_owned();
    let host = TrayHost::start(&desk.bus).await;
    std::os::unix::fs::symlink(address, &later).unwrap();
    host.wait_for_text("last backup").await;
    assert!(desk.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_bus_crashes_and_comes_back() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let daemon = desk.daemon(well());
    desk.start();
    host.wait_for_text("last backup").await;

    let (crashed, used) = (Instant::now(), desk.processor_time());
    desk.bus.stop();
    desk.wait_for_log("no tray icon").await;
    daemon.push(failed(1));
    desk.bus.restart();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    host.wait_for_text("Try again").await;
    is_failure(&notifications.shown().await);
    println!("back {:?} after the bus crashed, with {:?} of work", crashed.elapsed(), desk.processor_time() - used);
    // Who reads from a closed connection over and over makes a core busy.
    assert!(desk.processor_time() - used < crashed.elapsed() / 4);
}
