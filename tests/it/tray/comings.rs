//! What the tray needs goes and comes back: the daemon, the status bar, the notification service, the bus.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_goes_and_comes_back() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    desk.start();
    host.wait_for_text("Start Backstay").await;
    let offline = host.icon().await;

    let daemon = desk.daemon(failed(1));
    host.wait_for_text("Try again").await;
    let notification = notifications.shown().await;
    assert_ne!(host.icon().await, offline);

    daemon.stop().await;
    host.wait_for_text("Start Backstay").await;
    // A click waits for a daemon that restarts, and is answered when there is none.
    notifications.press(notification.id, "retry").await;
    let started = Instant::now();
    let mut daemon = desk.daemon(failed(1));
    assert_eq!(daemon.request().await, back_up());
    daemon.stop().await;
    host.wait_for_text("Start Backstay").await;
    let daemon = desk.daemon(well());
    host.wait_for_text("last backup").await;
    println!("the menu follows {:?} after the daemon is back", started.elapsed());
    drop(daemon);
    host.wait_for_text("Start Backstay").await;
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
        format!("Anna & Tom's <i_Phone>: {}\n{}\nThe Backstay menu has more.", entry.why, entry.steps[0])
    );
}

/// Some desktops start the companion once more when somebody clicks on a notification of its.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_ends_at_once() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let _daemon = desk.daemon(well());
    desk.start();
    host.wait_for_text("last backup").await;
    let first = desk.take();
    desk.start();
    assert!(desk.ended().await.success());
    desk.put_back(first);
    host.wait_for_text("last backup").await;
    assert_eq!(host.registrations(), 1);
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
    host.click("Quit").await;
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
