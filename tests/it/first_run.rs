//! The first run: nothing is backed up before a person has agreed.

use std::{path::PathBuf, process::Stdio};

use backstay_shared::{
    health::FailureId::SetupNeeded,
    overview::{Activity, Overview, Setup},
};
use backstay_tests::{
    binaries::binary,
    desktop::{NotificationHost, PrivateBus, TrayHost},
    oracle,
    phone::{Event, Phone, dataset::DataSetSpec},
    world::{Daemon, World, eventually, text},
};
use chrono::{Duration, Local};
use tokio::sync::broadcast;

/// Where backups go when nobody says otherwise.
fn usual_root(world: &World) -> PathBuf {
    world.folder.path().join("home/iPhone Backups")
}

fn config_file(world: &World) -> PathBuf {
    world.folder.path().join("home/.config/backstay/config.toml")
}

async fn first_daemon(world: &World) -> Daemon {
    world.daemon_with(&[] as &[&std::ffi::OsStr]).await
}

/// The offer is there, and so far nothing else has happened.
async fn is_offered(world: &World, daemon: &Daemon, phone: &Phone, events: &mut broadcast::Receiver<Event>) {
    let offered = |overview: &Overview| {
        let found = overview.problems.iter().find(|problem| problem.id == SetupNeeded);
        found.map(|problem| (problem.why.clone(), overview.clone()))
    };
    let (why, overview) = daemon.shows("the phone is offered", offered).await;
    assert_eq!(overview.setup, Setup::Needed);
    let root = usual_root(world);
    assert!(why.contains(&phone.name()) && why.contains(root.to_str().unwrap()), "{why}");
    // Plugged in anew it is no more agreed to than before.
    phone.unplug();
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    phone.plug_in();
    let seen =
        daemon.phone_shows("it is here", |phone| (phone.activity == Activity::Idle).then(|| phone.clone())).await;
    assert_eq!((seen.next_due, seen.last_good, seen.last_run), (None, None, None));
    let output = world.backstay(&["backup"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("backstay setup"), "{}", text(&output));
    let status = text(&world.backstay(&["status"]).await);
    assert!(status.contains("Nothing is backed up before you agree"), "{status}");
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::BackupRequested | Event::ServiceStarted(_)), "{event:?}");
    }
    assert!(!root.exists() && !config_file(world).exists());
}

/// Waits also through the new beginning of the daemon, in which its socket is away for a moment.
async fn is_backed_up(daemon: &Daemon) -> Overview {
    let wanted = |overview: &Overview| {
        let phone = overview.phones.first()?;
        (phone.last_good.is_some() && phone.activity == Activity::Idle).then(|| overview.clone())
    };
    eventually("it is backed up", async || daemon.overview().await.as_ref().and_then(&wanted)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_backed_up_before_setup() {
    let world = World::unpaired(DataSetSpec::mixed(650, 60, 1_000_000)).await;
    let daemon = first_daemon(&world).await;
    assert_eq!(daemon.overview().await.unwrap().setup, Setup::Needed);
    let mut events = world.phone.events();
    world.phone.plug_in();
    is_offered(&world, &daemon, &world.phone, &mut events).await;
    assert!(world.phone.trust().host_ids().is_empty(), "nor is its owner asked for trust");

    // Without a terminal it says what it needs.
    let output = world.command(binary("backstay")).arg("setup").stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("--yes") && text(&output).contains("--root"), "{}", text(&output));
    let root = world.folder.path().join("elsewhere");
    for (wrong, told) in [
        (["--hours", "at night"], "at night"),
        // The folder above is there, and nothing can be made in it.
        (["--root", "/proc/nope"], "nothing can be written"),
        (["--root", "/nowhere/at/all"], "there is no folder in which"),
    ] {
        let refused = world.backstay(&[&["setup", "--yes"][..], &wrong].concat()).await;
        assert!(refused.status.code() == Some(2) && text(&refused).contains(told), "{}", text(&refused));
    }
    assert!(!config_file(&world).exists());

    let output = world.backstay(&["setup", "--yes", "--root", root.to_str().unwrap(), "--hours", "00:00-23:59"]).await;
    println!("{}", text(&output));
    assert!(output.status.success() && text(&output).contains("backstay wifi on"), "{}", text(&output));
    assert!(text(&output).contains("is backed up now"), "{}", text(&output));
    let overview = is_backed_up(&daemon).await;
    assert_eq!((overview.setup, overview.root.as_str()), (Setup::Done, root.to_str().unwrap()));
    assert!(overview.problems.is_empty(), "{overview:?}");
    oracle::check_backup(&root.join(world.phone.udid()), &world.phone.data()).unwrap();
    let written = std::fs::read_to_string(config_file(&world)).unwrap();
    assert!(written.contains("hours = \"00:00-23:59\"\n"), "{written}");

    let again = world.backstay(&["setup", "--yes"]).await;
    assert_eq!(again.status.code(), Some(2), "{}", text(&again));
    assert_eq!(std::fs::read_to_string(config_file(&world)).unwrap(), written);
    daemon.terminate().await;
    // Who has backups in the usual place is not asked, and who looks at the settings has not agreed.
    std::fs::remove_file(config_file(&world)).unwrap();
    let daemon = first_daemon(&world).await;
    assert_eq!(daemon.overview().await.unwrap().setup, Setup::Needed, "the backups are elsewhere");
    daemon.terminate().await;
    std::fs::create_dir_all(usual_root(&world).join(".backstay")).unwrap();
    let daemon = first_daemon(&world).await;
    assert_eq!(daemon.overview().await.unwrap().setup, Setup::Done);
}

/// Nobody waits before the screen for what begins in hours.
#[tokio::test(flavor = "multi_thread")]
async fn setup_says_when_its_hours_begin() {
    let world = World::unpaired(DataSetSpec::mixed(652, 60, 1_000_000)).await;
    let _daemon = first_daemon(&world).await;
    let begin = Local::now() + Duration::hours(2);
    let hours = format!("{}-{}", begin.format("%H:%M"), (begin + Duration::hours(1)).format("%H:%M"));
    let told = text(&world.backstay(&["setup", "--yes", "--hours", &hours]).await);
    assert!(told.contains(&format!("{} on", begin.format("%H:%M"))) && !told.contains("backed up now"), "{told}");
}

/// The offer as a person meets it: a notification with a button, and a line of the menu.
#[tokio::test(flavor = "multi_thread")]
async fn a_click_agrees() {
    for from_menu in [true, false] {
        let mut world = World::new(DataSetSpec::mixed(651, 60, 1_000_000)).await;
        world.phone.unplug();
        world.phone.set_name("Anna");
        let bus = PrivateBus::start();
        world.bus = Some(bus.address().to_owned());
        let (tray, mut notifications) = (TrayHost::start(&bus).await, NotificationHost::start(&bus).await);
        let daemon = first_daemon(&world).await;
        let _companion = world.command(binary("backstay-tray")).stdin(Stdio::null()).spawn().unwrap();
        tray.item().await;
        let mut events = world.phone.events();
        world.phone.plug_in();
        let notification = notifications.shown().await;
        assert_eq!(notification.summary, SetupNeeded.entry().title);
        let (body, root) = (&notification.body, usual_root(&world));
        assert!(body.contains("Anna") && body.contains(root.to_str().unwrap()), "{body}");
        assert_eq!(notification.actions[2..4], ["set-up", "Back up here"], "{:?}", notification.actions);
        is_offered(&world, &daemon, &world.phone, &mut events).await;

        let line = format!("Back up Anna here: {}", usual_root(&world).display());
        let labels = tray.wait_for_text(&line).await;
        assert!(!labels.contains(&"Back up now".to_owned()), "{labels:?}");
        if from_menu {
            tray.click(&line).await;
        } else {
            notifications.press(notification.id, "set-up").await;
        }
        is_backed_up(&daemon).await;
        oracle::check_backup(&usual_root(&world).join(world.phone.udid()), &world.phone.data()).unwrap();
        let labels = tray.wait_for_text("verified").await;
        assert!(!labels.contains(&line) && labels.contains(&"Back up now".to_owned()), "{labels:?}");
        let written = std::fs::read_to_string(config_file(&world)).unwrap();
        assert!(written.contains(&format!("\nroot = {:?}\n", usual_root(&world))), "{written}");
        // A click asked nothing: the questions may still be answered, once.
        let output = world.backstay(&["setup", "--yes", "--hours", "00:00-23:59", "--no-wifi"]).await;
        assert!(output.status.success() && !text(&output).contains("backstay wifi on"), "{}", text(&output));
        let written = std::fs::read_to_string(config_file(&world)).unwrap();
        assert!(written.contains("\nhours = \"00:00-23:59\"\n") && written.contains("\nwifi = false\n"), "{written}");
        let again = world.backstay(&["setup", "--yes"]).await;
        assert_eq!(again.status.code(), Some(2), "{}", text(&again));
        daemon.terminate().await;
    }
}
