//! The tray companion as a person meets it: the real executable, a status bar, a notification service and a daemon.

mod comings;

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::{RunId, Udid},
    overview::{Activity, EndedRun, LastGood, Overview, Pause, Phase, PhoneOverview, Problem, Progress},
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
        link: None,
        wifi_allowed: None,
        activity: Activity::Idle,
        last_good: Some(LastGood { at: Utc::now(), files: 1, bytes: 1 }),
        next_due: None,
        next_due_reason: None,
        last_run: None,
        problems: Vec::new(),
        turned_off: false,
        earlier: None,
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

/// Key and label of each; the first is what a click on the notification itself does.
const BUTTONS: [&str; 8] =
    ["default", "What to do", "retry", "Try again", "what-to-do", "What to do", "snooze", "Not today"];

/// What the menu ends with, whatever the phones do.
const HOUSE: [&str; 11] = [
    "",
    "Pause backups",
    "> For an hour",
    "> For today",
    "> Until I resume",
    "Open backups",
    "History",
    "Settings",
    "Report a problem",
    "",
    "Quit",
];

fn with_house(lines: &[&str]) -> Vec<String> {
    lines.iter().chain(&HOUSE).map(|line| (*line).to_owned()).collect()
}

fn is_failure(notification: &Notification) {
    let entry = FULL.entry();
    assert_eq!(notification.summary, entry.title);
    assert_eq!(notification.body, format!("Anna &amp; Tom's &lt;i_Phone&gt;: {}\n{}", entry.why, entry.steps[0]));
    assert_eq!(notification.actions, BUTTONS);
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
    assert_eq!(labels[1..], with_house(&["Back up now"]));
    assert!(host.tooltip().await.starts_with("Anna & Tom's <i_Phone>: last backup today"));
    let fine = host.icon().await;
    assert!(fine.width >= 32 && fine.width == fine.height);

    host.click("Back up now").await;
    assert_eq!(daemon.request().await, back_up());

    for percent in [5, 42, 73] {
        daemon.push(running(percent));
        let labels = host.wait_for_text(&format!("backing up {percent} %")).await;
        assert_eq!(labels[1..], with_house(&["Cancel backup"]));
    }
    assert_ne!(host.icon().await, fine);
    host.click("Cancel backup").await;
    assert_eq!(daemon.request().await, Request::Cancel { phone: Some(udid().to_string()) });

    daemon.push(well());
    host.wait_for_text("last backup today").await;
    assert_eq!(notifications.more(), [], "quiet while all is well");

    host.click("Quit").await;
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
    let below: Vec<&str> = labels.iter().filter_map(|label| label.strip_prefix("> ")).collect();
    let told = below.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(&format!("1. {}", FULL.entry().steps[0])), "{told}");
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

/// Each entry below the title and each of the rest asks the daemon for what it says.
#[tokio::test(flavor = "multi_thread")]
async fn every_click_reaches_the_daemon() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let mut daemon = desk.daemon(failed(1));
    desk.start();
    let shown = notifications.shown().await;
    host.wait_for_text("Try again").await;
    let anna = || Some(udid().to_string());

    host.click("Remove the oldest snapshots").await;
    assert_eq!(daemon.request().await, Request::FreeSpace { phone: anna() });
    let said = notifications.shown().await;
    assert_eq!((said.summary.as_str(), said.urgency), ("There is room on the backup disk", 1));

    let tomorrow = Utc::now() + chrono::TimeDelta::days(1);
    let snooze = |request| match request {
        Request::Snooze { phone, problem, until } => {
            assert_eq!((phone, problem), (anna(), FULL));
            assert!((until - tomorrow).abs() < chrono::TimeDelta::minutes(1), "{until}");
        }
        other => panic!("{other:?}"),
    };
    host.click("Don't remind me today").await;
    snooze(daemon.request().await);
    notifications.press(shown.id, "snooze").await;
    snooze(daemon.request().await);

    host.click("Until I resume").await;
    assert_eq!(daemon.request().await, Request::Pause { until: None });
    host.click("For an hour").await;
    let Request::Pause { until: Some(until) } = daemon.request().await else { panic!("no pause") };
    assert!((until - Utc::now() - chrono::TimeDelta::hours(1)).abs() < chrono::TimeDelta::minutes(1), "{until}");
    daemon.push(Overview { paused: Some(Pause { until: None }), ..failed(1) });
    host.wait_for_text("Paused until you resume it").await;
    host.click("Resume backups").await;
    assert_eq!(daemon.request().await, Request::Resume);
    assert_eq!(daemon.more_requests(), []);
}

/// A desktop opens what it is given: here a program that writes down what that was.
#[tokio::test(flavor = "multi_thread")]
async fn pages_folders_and_files_are_opened() {
    let mut desk = Desk::new();
    let opened = desk.record_what_is_opened();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let root = desk.folder().join("my backups");
    std::fs::create_dir(&root).unwrap();
    let config_file = desk.folder().join("conf/config.toml");
    let places = |overview: Overview| Overview {
        root: root.display().to_string(),
        config_file: config_file.display().to_string(),
        ..overview
    };
    let daemon = desk.daemon(places(failed(1)));
    desk.start();
    let shown = notifications.shown().await;
    let labels = host.wait_for_text("Try again").await;

    for from_menu in [true, false] {
        if from_menu {
            host.click("Show all of this in the browser").await;
        } else {
            notifications.press(shown.id, "what-to-do").await;
        }
        let page = opened.next().await;
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains("Anna &amp; Tom's &lt;i_Phone&gt;") && text.contains(&FULL.entry().title), "{text}");
        for step in &FULL.entry().steps {
            assert!(text.contains(step.as_str()), "{step}");
        }
        assert_eq!(std::fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600, "it names a phone");
    }

    host.click("Open backups").await;
    assert_eq!(opened.next().await, root);
    assert!(!config_file.exists());
    host.click("Settings").await;
    assert_eq!(opened.next().await, config_file);
    let written = std::fs::read_to_string(&config_file).unwrap();
    assert!(written.contains("#every_hours = 20"), "{written}");
    std::fs::write(&config_file, "[backup]\n").unwrap();
    host.click("Settings").await;
    assert_eq!(opened.next().await, config_file);
    assert_eq!(std::fs::read_to_string(&config_file).unwrap(), "[backup]\n", "a person's settings stay");

    host.click("History").await;
    let page = std::fs::read_to_string(opened.next().await).unwrap();
    assert!(page.contains("<h1>History</h1>"), "{page}");
    host.click("Report a problem").await;
    let saved = notifications.shown().await;
    assert_eq!(saved.summary, "The report is saved");
    let report = std::fs::read_to_string(opened.next().await).unwrap();
    assert!(report.len() > 500 && !report.contains("i_Phone"), "{report}");

    // What can't be shown is said.
    std::fs::remove_dir(&root).unwrap();
    host.click("Open backups").await;
    let said = notifications.shown().await;
    assert!(said.body.contains("my backups") && said.body.contains("not there"), "{}", said.body);
    drop((daemon, labels));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_browser_the_whole_story_is_a_notification() {
    let mut desk = Desk::new();
    desk.open_nothing();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let _daemon = desk.daemon(failed(1));
    desk.start();
    notifications.shown().await;
    host.wait_for_text("Try again").await;
    host.click("Show all of this in the browser").await;
    let story = notifications.shown().await;
    for (number, step) in FULL.entry().steps.iter().enumerate().skip(1) {
        assert!(story.body.contains(&format!("{}. {step}", number + 1)), "{}", story.body);
    }
}

/// What a person sees who looks at the icon while the daemon works.
#[tokio::test(flavor = "multi_thread")]
async fn icon_tooltip_and_menu_follow_within_a_fifth_of_a_second() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let daemon = desk.daemon(well());
    desk.start();
    host.wait_for_text("last backup").await;
    let mut times = Vec::new();
    for percent in 1..=20 {
        let before = host.icon().await;
        let changes = host.changes().await;
        let pushed = Instant::now();
        daemon.push(if percent % 2 == 0 { well() } else { running(percent) });
        let menu = changes.until_all(pushed).await;
        assert_ne!(host.icon().await, before);
        let text = if percent % 2 == 0 { "last backup" } else { "backing up" };
        assert!(host.tooltip().await.contains(text) && host.labels().await[0].contains(text));
        times.push(menu);
    }
    times.sort();
    println!("icon, tooltip and menu follow after {:?} (median), {:?} at most, of 20", times[10], times[19]);
    // The median, so that a busy computer fails nothing.
    assert!(times[10] < SECOND / 5, "{times:?}");
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
async fn a_refusal_is_answered() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let mut notifications = NotificationHost::start(&desk.bus).await;
    let mut daemon = desk.daemon(failed(1));
    desk.start();
    notifications.shown().await;
    daemon.push(well());
    assert!(matches!(notifications.next().await, Noted::Closed(_)));
    daemon.refuse_next(Refusal::Failure(Failure::from(FailureId::BackupDriveMissing)));
    host.wait_for_text("Back up now").await;
    host.click("Back up now").await;
    assert_eq!(daemon.request().await, back_up());
    let refused = notifications.shown().await;
    assert_eq!(refused.summary, FailureId::BackupDriveMissing.entry().title);
}
