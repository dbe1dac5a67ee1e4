//! The daemon notifies while nobody else does: the real daemon, a failing phone and a notification service, no tray.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use backstay_shared::{
    client::Client,
    health::FailureId,
    ids::RunId,
    overview::{Activity, Overview, PhoneOverview},
    protocol::{Reply, Request},
};
use backstay_tests::{
    desktop::{Noted, Notification, NotificationHost, PrivateBus},
    phone::{Fault, dataset::DataSetSpec},
    world::{Daemon, World, eventually},
};
use chrono::{Local, TimeDelta};

const FAILURE: FailureId = FailureId::DeviceInternalError;
const SECOND: Duration = Duration::from_secs(1);

/// A world with a desktop and no tray.
struct Scene {
    world: World,
    notifications: NotificationHost,
    bus: PrivateBus,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let mut world = World::new(DataSetSpec::mixed(seed, 50, 1_000_000)).await;
        let bus = PrivateBus::start();
        world.bus = Some(bus.address().to_owned());
        let notifications = NotificationHost::start(&bus).await;
        Self { world, notifications, bus }
    }

    /// The daemon, once it shows notifications itself; its first backup went well.
    async fn daemon(&self) -> Daemon {
        let daemon = self.world.daemon().await;
        daemon.phone_shows("it is backed up", well).await;
        daemon
    }

    /// Waits for the next thing on the screen, which must be this failure.
    async fn told(&mut self) -> Notification {
        let notification = self.notifications.shown().await;
        assert_eq!(notification.summary, FAILURE.entry().title);
        notification
    }

    /// Waits until the notification was taken away, with nothing else in between.
    async fn withdrawn(&mut self, id: u32) {
        assert_eq!(self.notifications.next().await, Noted::Closed(id));
    }

    /// Nothing pops up for so long.
    async fn silent_for(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
        let shown = self.notifications.more();
        assert!(shown.iter().all(|noted| matches!(noted, Noted::Closed(_))), "{shown:?}");
    }

    fn breaks(&self) {
        self.world.phone.set_fault(Some(Fault::FinalError { code: 1, text: "General failure".into() }));
    }

    fn is_mended(&self) {
        self.world.phone.set_fault(None);
    }
}

fn well(phone: &PhoneOverview) -> Option<()> {
    (phone.problems.is_empty() && phone.last_run.as_ref().is_some_and(|run| run.failure.is_none())).then_some(())
}

fn is_at_rest(phone: &PhoneOverview) -> bool {
    !matches!(phone.activity, Activity::Running { .. } | Activity::Queued { .. })
}

/// Asks for a backup and waits until it has failed; the run.
async fn fails(world: &World, daemon: &Daemon) -> RunId {
    let mut client = Client::connect(&world.socket()).await.unwrap();
    let asked = client.request(Request::BackUp { phone: None, full: false }).await.unwrap();
    let Reply::Started { run } = asked else { panic!("{asked:?}") };
    let failed = |phone: &PhoneOverview| {
        let last = phone.last_run.as_ref().filter(|last| last.run == run && is_at_rest(phone))?;
        assert_eq!(last.failure.as_ref().map(|problem| problem.id), Some(FAILURE));
        Some(())
    };
    daemon.phone_shows("the backup failed", failed).await;
    run
}

/// A front end that shows notifications.
async fn front_end(world: &World) -> Client {
    let mut client = Client::connect(&world.socket()).await.unwrap();
    assert_eq!(client.request(Request::TakeNotifications).await.unwrap(), Reply::Done);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_without_a_tray_a_failure_is_told_once_within_a_second_and_a_press_mends_it() {
    let mut scene = Scene::new(701).await;
    let daemon = scene.daemon().await;
    scene.breaks();
    let first = fails(&scene.world, &daemon).await;
    // The first one waits for a tray that may come with the login.
    let told = scene.told().await;
    assert!(told.body.contains(&FAILURE.entry().why) && told.body.contains(&FAILURE.entry().steps[0]), "{}", told.body);
    assert_eq!(
        told.actions,
        ["default", "What to do", "retry", "Try again", "what-to-do", "What to do", "snooze", "Not today"]
    );

    for _ in 2..=10 {
        assert_ne!(fails(&scene.world, &daemon).await, first);
    }
    assert_eq!(scene.notifications.more(), [], "ten failures, one notification");
    scene.is_mended();
    scene.notifications.press(told.id, "retry").await;
    daemon.phone_shows("the press backed up", well).await;
    scene.world.judge();
    eventually("it is gone", async || scene.notifications.open().is_empty().then_some(())).await;

    // Within a second: from now on nobody is waited for.
    scene.breaks();
    fails(&scene.world, &daemon).await;
    let began = Instant::now();
    let told = scene.told().await;
    let took = began.elapsed();
    println!("without a tray a failure is in a notification after {took:?}");
    assert!(took < SECOND, "{took:?}");

    // "Not today": it goes, and a further failure of this cause does not bring it back.
    scene.notifications.press(told.id, "snooze").await;
    let snoozed = |phone: &PhoneOverview| phone.problems.iter().find_map(|problem| problem.snoozed_until);
    let until = daemon.phone_shows("it is snoozed", snoozed).await;
    assert!((until - chrono::Utc::now() - TimeDelta::days(1)).abs() < TimeDelta::minutes(5), "{until}");
    fails(&scene.world, &daemon).await;
    scene.silent_for(SECOND).await;
    assert_eq!(scene.notifications.open(), [0_u32; 0]);
    scene.is_mended();
    scene.world.backstay(&["backup"]).await;
    daemon.phone_shows("it is backed up", well).await;

    // Cured by itself: it is withdrawn.
    scene.breaks();
    fails(&scene.world, &daemon).await;
    let told = scene.told().await;
    scene.is_mended();
    scene.world.backstay(&["backup"]).await;
    scene.withdrawn(told.id).await;
    daemon.terminate().await;
    assert_eq!(scene.notifications.more(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_takes_notifications_over_and_gives_them_back() {
    let mut scene = Scene::new(702).await;
    let daemon = scene.daemon().await;
    let front = front_end(&scene.world).await;
    scene.breaks();
    fails(&scene.world, &daemon).await;
    // Others that come and go change nothing: a status query, a second tray.
    drop(front_end(&scene.world).await);
    // Longer than a front end is waited for.
    scene.silent_for(10 * SECOND).await;

    let gone = Instant::now();
    drop(front);
    let told = scene.told().await;
    println!("the daemon takes over {:?} after the last front end went", gone.elapsed());
    assert!(gone.elapsed() > 3 * SECOND, "a front end that restarts is back by then");

    let front = front_end(&scene.world).await;
    scene.withdrawn(told.id).await;
    drop(front);
    // Restarted: nothing pops up meanwhile.
    let front = front_end(&scene.world).await;
    drop(front);
    let told = scene.told().await;
    daemon.terminate().await;
    scene.withdrawn(told.id).await;
    assert_eq!(scene.notifications.more(), []);
}

/// Around this time of the day, wherever the test runs.
fn quiet_hours() -> String {
    let at = |hours| (Local::now() + TimeDelta::hours(hours)).format("%H:%M");
    format!("[notify]\nquiet_hours = \"{}-{}\"\n", at(-2), at(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_back_and_changed_settings_leave_what_is_shown() {
    let mut scene = Scene::new(703).await;
    scene.world.configure(&quiet_hours());
    let daemon = scene.daemon().await;
    let overview = daemon.overview().await.unwrap();
    assert!(overview.notifications.quiet && !overview.notifications.success, "{:?}", overview.notifications);
    assert_eq!(Path::new(&overview.config_file), scene.world.folder.path().join("home/.config/backstay/config.toml"));
    scene.breaks();
    fails(&scene.world, &daemon).await;
    scene.silent_for(10 * SECOND).await;

    scene.world.configure("[notify]\n");
    let told = scene.told().await;

    // Nothing but the settings changes: the same notification stays, and its buttons work.
    scene.world.configure("[notify]\nsuccess = true\n");
    let began_anew = async || {
        let overview = daemon.overview().await;
        overview.filter(|overview: &Overview| overview.notifications.success).map(drop)
    };
    eventually("the settings are in force", began_anew).await;
    // Longer than the daemon takes to know again what is wrong.
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(scene.notifications.more(), [], "it stays, untouched");
    assert_eq!(scene.notifications.open(), [told.id]);

    scene.is_mended();
    scene.notifications.press(told.id, "retry").await;
    let success = scene.notifications.shown().await;
    assert!(success.summary.ends_with("is backed up") && success.body.starts_with("Verified"), "{success:?}");
    scene.world.judge();
}

/// Programs that stand in for the desktop's, first in the `PATH`.
struct Programs {
    folder: PathBuf,
}

impl Programs {
    fn new(world: &World) -> Self {
        let folder = world.folder.path().join("programs");
        std::fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    fn add(&self, name: &str, script: &str) {
        let file = self.folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A daemon that finds these first.
    async fn daemon(&self, world: &World, more: &[(&str, &str)]) -> Daemon {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.folder.display());
        let variables: Vec<(&str, &str)> = [("PATH", path.as_str())].into_iter().chain(more.iter().copied()).collect();
        let root = world.root();
        let daemon = world.daemon_in(&variables, &["--root".as_ref(), root.as_os_str()]).await;
        daemon.phone_shows("it is backed up", well).await;
        daemon
    }
}

/// `systemd-run` and its arguments up to `--` are left out of what is run.
const RUN: &str = r#"echo ran >> "$0.log"; while [ "$1" != -- ]; do shift; done; shift; exec "$@""#;

#[tokio::test(flavor = "multi_thread")]
async fn what_to_do_is_a_page_in_the_browser() {
    let mut scene = Scene::new(704).await;
    let programs = Programs::new(&scene.world);
    programs.add("xdg-settings", "echo firefox.desktop");
    programs.add("xdg-open", r#"echo "$1" > "$0.new"; mv "$0.new" "$0.log""#);
    programs.add("systemd-run", RUN);
    // As in a service, whose limits are not for a browser.
    let daemon = programs.daemon(&scene.world, &[("INVOCATION_ID", "0123456789abcdef")]).await;
    scene.breaks();
    fails(&scene.world, &daemon).await;
    let told = scene.told().await;
    scene.notifications.press(told.id, "what-to-do").await;
    let opened = async || std::fs::read_to_string(programs.folder.join("xdg-open.log")).ok();
    let opened = eventually("the browser is asked", opened).await;
    let page = std::fs::read_to_string(opened.trim_end()).unwrap();
    let entry = FAILURE.entry();
    for text in [&entry.title, &entry.why].into_iter().chain(&entry.steps) {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert!(page.contains(&escaped), "{text}: {page}");
    }
    assert!(programs.folder.join("systemd-run.log").exists(), "beside the service");
    assert_eq!(scene.notifications.more(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_browser_what_to_do_is_told_by_the_notification() {
    let mut scene = Scene::new(705).await;
    let programs = Programs::new(&scene.world);
    for name in ["xdg-open", "gio", "gnome-open", "kde-open6", "kde-open5", "kde-open", "systemd-run"] {
        // As xdg-open does when there is none; it looks for a while.
        programs.add(name, "sleep 0.4; exit 3");
    }
    let daemon = programs.daemon(&scene.world, &[]).await;
    scene.breaks();
    fails(&scene.world, &daemon).await;
    let told = scene.told().await;
    // A click on the notification itself is the same as its button.
    scene.notifications.press(told.id, "default").await;
    let story = scene.told().await;
    for step in &FAILURE.entry().steps {
        let escaped = step.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert!(story.body.contains(&escaped), "{step}: {}", story.body);
    }
    assert!(!story.actions.contains(&"what-to-do".to_owned()), "{:?}", story.actions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_that_is_refused_is_answered() {
    let mut scene = Scene::new(706).await;
    let daemon = scene.daemon().await;
    scene.breaks();
    fails(&scene.world, &daemon).await;
    let told = scene.told().await;
    scene.world.phone.unplug();
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    scene.notifications.press(told.id, "retry").await;
    let refused = scene.notifications.shown().await;
    assert_eq!(refused.summary, FailureId::DeviceNotFound.entry().title);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bus_nothing_is_busy_and_nothing_is_lost() {
    let mut scene = Scene::new(707).await;
    let later = scene.world.folder.path().join("bus");
    scene.world.bus = Some(format!("unix:path={}", later.display()));
    let daemon = scene.daemon().await;
    scene.breaks();
    fails(&scene.world, &daemon).await;
    // Past the time in which a tray is waited for, and some tries to reach a bus.
    tokio::time::sleep(12 * SECOND).await;
    let (used, began) = (daemon.processor_time(), Instant::now());
    tokio::time::sleep(15 * SECOND).await;
    let (used, took) = (daemon.processor_time() - used, began.elapsed());
    println!("without a bus and with a failure to tell the daemon works {used:?} in {took:?}");
    assert!(used < took / 100, "{used:?}");

    // A person logs in at last.
    std::os::unix::fs::symlink(scene.bus.address().strip_prefix("unix:path=").unwrap(), &later).unwrap();
    let told = eventually("it is told", async || scene.notifications.more().into_iter().next()).await;
    assert!(matches!(&told, Noted::Shown(told) if told.summary == FAILURE.entry().title), "{told:?}");
}
