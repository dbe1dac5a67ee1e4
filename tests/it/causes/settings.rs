//! Settings that change while the daemon runs, and settings with a mistake.

use std::{ffi::OsStr, path::Path, time::Instant};

use backstay_shared::{
    health::FailureId::ConfigInvalid,
    overview::{Activity, Overview},
    protocol::{Refusal, Reply, Request},
};
use backstay_tests::{
    oracle,
    phone::dataset::DataSetSpec,
    world::{Daemon, World, eventually, text},
};

use super::{ask, backed_up, comes_again, computer_has};

const MISTAKE: &str = "[backup]\nevery_hours = 20\nevery_days = 3\n";

async fn world(seed: u64) -> World {
    World::new(DataSetSpec::mixed(seed, 50, 1_000_000)).await
}

fn naming(root: &Path) -> String {
    format!("[backup]\nroot = {root:?}\n")
}

/// A daemon whose backup folder is the business of its settings.
async fn daemon(world: &World) -> Daemon {
    world.daemon_with(&[] as &[&OsStr]).await
}

/// Waits also through a new beginning of the daemon, in which its socket is away for a moment.
async fn shown<T>(daemon: &Daemon, what: &str, wanted: impl Fn(&Overview) -> Option<T>) -> T {
    eventually(what, async || daemon.overview().await.as_ref().and_then(&wanted)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_told_with_its_place_and_the_last_good_settings_stay_in_force() {
    let world = world(461).await;
    world.configure("[backup]\nevery_hours = 20\n");
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    let began = Instant::now();
    world.configure(MISTAKE);
    let told = daemon.shows("the mistake is told", |overview| computer_has(overview, ConfigInvalid)).await;
    println!("a mistake in the settings is told {:.1} s after the edit", began.elapsed().as_secs_f64());
    for word in ["config.toml", "line 3", "every_days"] {
        assert!(told.why.contains(word), "{word}: {}", told.why);
    }
    world.change();
    let output = world.backstay(&["backup"]).await;
    assert!(output.status.success(), "{}", text(&output));
    world.judge();
    let output = world.backstay(&["status"]).await;
    assert!(output.status.success() && text(&output).contains("line 3"), "{}", text(&output));
    // Without the daemon, too, what was good goes on.
    for command in [&["history"][..], &["verify"], &["phones"]] {
        let output = world.backstay(command).await;
        let told = text(&output);
        assert!(output.status.success() && told.contains("line 3"), "{command:?}: {told}");
        assert!(told.contains("The last good settings are used, with the backups in "), "{command:?}: {told}");
    }
    // What removes or writes has to know what is wanted.
    for command in [&["prune"][..], &["backup", "--once"]] {
        let output = world.backstay(command).await;
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", text(&output));
    }

    let began = Instant::now();
    world.configure("[backup]\nevery_hours = 20\n# mended\n");
    daemon.shows("it is mended", |overview| overview.problems.is_empty().then_some(())).await;
    let took = began.elapsed();
    println!("mended settings are taken up {:.1} s after the edit", took.as_secs_f64());
    assert!(took <= super::CURED_WITHIN, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_folder_is_taken_up_between_two_backups() {
    let world = world(462).await;
    let (first, second) = (world.root(), world.folder.path().join("another place"));
    world.configure(&naming(&first));
    let daemon = daemon(&world).await;
    daemon.phone_shows("the backup is done", backed_up).await;
    let began = Instant::now();
    world.configure(&naming(&second));
    shown(&daemon, "the new folder", |overview| (overview.root == second.display().to_string()).then_some(())).await;
    println!("a new folder is taken up {:.1} s after the edit", began.elapsed().as_secs_f64());
    shown(&daemon, "a backup there", |overview| overview.phones.first().and_then(backed_up)).await;
    oracle::check_backup(&second.join(world.phone.udid()), &world.phone.data()).unwrap();
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_good_settings_nothing_is_backed_up_and_everybody_hears_why() {
    let world = world(463).await;
    world.configure(MISTAKE);
    let mut events = world.phone.events();
    let daemon = daemon(&world).await;
    daemon.shows("the mistake is told", |overview| computer_has(overview, ConfigInvalid)).await;
    daemon.phone_shows("the phone is here", |phone| (phone.activity == Activity::Idle).then_some(())).await;
    match ask(&world, Request::BackUp { phone: None, full: false }).await {
        Reply::Refused(Refusal::Failure(failure)) => {
            assert_eq!(failure.id, ConfigInvalid);
            assert!(failure.explanation().contains("line 3"), "{}", failure.explanation());
        }
        other => panic!("{other:?}"),
    }
    let output = world.backstay(&["backup"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("line 3"), "{}", text(&output));
    comes_again(&world, &daemon).await;
    comes_again(&world, &daemon).await;
    assert_eq!(super::backups_asked_for(&mut events), 0);

    world.configure(&naming(&world.root()));
    shown(&daemon, "a backup", |overview| overview.phones.first().and_then(backed_up)).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_at_the_start_leaves_the_last_good_settings_in_force() {
    let world = world(464).await;
    world.configure(&naming(&world.root()));
    let first = daemon(&world).await;
    first.phone_shows("the backup is done", backed_up).await;
    first.terminate().await;
    world.configure(&format!("{}{MISTAKE}", naming(&world.folder.path().join("another place"))));
    let second = daemon(&world).await;
    let overview = second.overview().await.unwrap();
    assert!(computer_has(&overview, ConfigInvalid).is_some(), "{overview:?}");
    assert_eq!(overview.root, world.root().display().to_string());
    second.phone_shows("the phone is here", |phone| (phone.activity == Activity::Idle).then_some(())).await;
    world.change();
    let asked = ask(&world, Request::BackUp { phone: None, full: false }).await;
    let Reply::Started { run } = asked else { panic!("{asked:?}") };
    second
        .phone_shows("it is backed up", |phone| {
            backed_up(phone).filter(|()| phone.last_run.as_ref().is_some_and(|last| last.run == run))
        })
        .await;
    world.judge();
}
