//! The daemon: it starts what is due, tells the truth at every moment, and knows what was before it.

use std::time::{Duration, Instant};

use backstay_shared::{
    health::{Condition, FailureId},
    overview::{Activity, Phase, PhoneOverview},
};
use backstay_tests::{
    phone::{Event, Fault, PasscodeAnswer, Phone, PhoneSpec, dataset::DataSetSpec, lockdownd::Dialog},
    world::{World, text},
};

fn has(phone: &PhoneOverview, id: FailureId) -> Option<()> {
    phone.problems.iter().any(|problem| problem.id == id).then_some(())
}

fn backed_up(phone: &PhoneOverview) -> Option<()> {
    (phone.last_good.is_some() && phone.activity == Activity::Idle && phone.problems.is_empty()).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_backup_starts_by_itself_and_only_then() {
    let world = World::new(DataSetSpec::mixed(41, 300, 5_000_000)).await;
    world.phone.unplug();
    let daemon = world.daemon().await;
    assert!(daemon.overview().await.unwrap().phones.is_empty());

    let mut events = world.phone.events();
    world.phone.plug_in();
    daemon.phone_shows("the backup is done", backed_up).await;
    world.judge();
    let requests = |events: &mut tokio::sync::broadcast::Receiver<Event>| {
        std::iter::from_fn(|| events.try_recv().ok()).filter(|event| *event == Event::BackupRequested).count()
    };
    assert_eq!(requests(&mut events), 1);
    let phone = daemon.overview().await.unwrap().phones.remove(0);
    assert_eq!(phone.name, world.phone.name());
    let good = phone.last_good.unwrap();
    assert_eq!(good.files, world.phone.data().file_count() as u64);
    assert_eq!((phone.next_due.unwrap() - good.at).num_hours(), 20);

    world.phone.unplug();
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    world.phone.plug_in();
    daemon.phone_shows("it is here", |phone| (phone.activity == Activity::Idle).then_some(())).await;
    // Another round trip through the actor, so that a wrong start would have been made.
    world.phone.unplug();
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    assert_eq!(requests(&mut events), 0, "it is not due yet");

    // Asked for, it runs all the same, and the command follows it.
    world.phone.plug_in();
    daemon.phone_shows("it is here", |phone| (phone.activity == Activity::Idle).then_some(())).await;
    world.change();
    let output = world.backstay(&["backup"]).await;
    assert!(output.status.success(), "{}", text(&output));
    world.judge();
}

/// P5: killed in the middle, it knows afterwards what was done and what was not, and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn p5_a_restarted_daemon_knows_what_was_before() {
    let world = World::new(DataSetSpec::mixed(42, 300, 5_000_000)).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    let good = daemon.overview().await.unwrap().phones[0].last_good.clone();
    daemon.kill().await;
    world.phone.unplug();
    let daemon = world.daemon().await;
    let phone = daemon.overview().await.unwrap().phones.remove(0);
    assert_eq!((phone.last_good, phone.name), (good.clone(), world.phone.name()));
    assert!(phone.last_run.is_some_and(|run| run.failure.is_none()));

    world.change();
    world.phone.set_fault(Some(Fault::SilentAt { bytes: 50_000 }));
    world.phone.plug_in();
    daemon.phone_shows("it is here", |phone| (phone.activity == Activity::Idle).then_some(())).await;
    let mut events = world.phone.events();
    let asking = world.backstay(&["backup"]);
    let silent = async { while events.recv().await.unwrap() != Event::WentSilent {} };
    tokio::select! {
        output = asking => panic!("ended: {}", text(&output)),
        () = silent => {}
    }
    daemon.kill().await;
    world.phone.unplug();
    let daemon = world.daemon().await;
    let phone = daemon.overview().await.unwrap().phones.remove(0);
    assert_eq!(phone.last_good, good, "the last good backup is what it was");
    has(&phone, FailureId::BackupIncomplete).expect("the run that was killed is told");
    world.phone.set_fault(None);
    let output = world.backstay(&["backup"]).await;
    assert_eq!(output.status.code(), Some(1), "the phone is away: {}", text(&output));
    world.phone.plug_in();
    daemon.phone_shows("it is here", |phone| (phone.activity != Activity::Away).then_some(())).await;
    assert!(world.backstay(&["backup"]).await.status.success());
    world.judge();
    daemon.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_cable_is_told_and_made_good_by_itself() {
    let world = World::new(DataSetSpec::mixed(43, 300, 5_000_000)).await;
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1_000_000 }));
    let daemon = world.daemon().await;
    daemon.phone_shows("it was unplugged", |phone| has(phone, FailureId::UsbDisconnected)).await;
    world.phone.plug_in();
    daemon.phone_shows("the retry succeeds", backed_up).await;
    world.judge();
}

/// The service comes and goes; the daemon says so in between and needs nobody.
#[tokio::test(flavor = "multi_thread")]
async fn usbmuxd_stops_and_starts_again() {
    let world = World::new(DataSetSpec::mixed(44, 100, 1_000_000)).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    world.usbmuxd.stop().await;
    let missing = |id: FailureId| {
        move |overview: &backstay_shared::overview::Overview| {
            overview.problems.iter().any(|problem| problem.id == id).then_some(())
        }
    };
    daemon.shows("usbmuxd is missing", missing(FailureId::UsbmuxdNotRunning)).await;
    let began = Instant::now();
    world.usbmuxd.start_again().await.unwrap();
    daemon
        .shows("all is well", |overview| {
            (overview.problems.is_empty() && overview.phones[0].activity == Activity::Idle).then_some(())
        })
        .await;
    let took = began.elapsed();
    println!("recovered after {took:?}");
    assert!(took < Duration::from_secs(5), "recovered after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usbmuxd_vanishes_in_the_middle_of_a_backup() {
    let world = World::new(DataSetSpec::mixed(45, 300, 5_000_000)).await;
    world.phone.set_fault(Some(Fault::SilentAt { bytes: 500_000 }));
    let mut events = world.phone.events();
    let daemon = world.daemon().await;
    while events.recv().await.unwrap() != Event::WentSilent {}
    world.usbmuxd.stop().await;
    daemon.phone_shows("the run failed for it", |phone| has(phone, FailureId::UsbmuxdNotRunning)).await;
    world.phone.set_fault(None);
    world.usbmuxd.start_again().await.unwrap();
    daemon.phone_shows("the retry succeeds", backed_up).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passcode_is_called_for_while_the_phone_waits() {
    let world = World::new(DataSetSpec::uniform(46, 50, 1000)).await;
    world.phone.set_fault(Some(Fault::PasscodeSheet { answer: PasscodeAnswer::EnteredWhenTold }));
    let daemon = world.daemon().await;
    daemon.phone_shows("the person is called", |phone| has(phone, FailureId::PasscodeNeeded)).await;
    daemon
        .phone_shows("the phase says so", |phone| match &phone.activity {
            Activity::Running { progress, .. } if progress.phase == Phase::WaitingForPasscode => Some(()),
            _ => None,
        })
        .await;
    world.phone.enter_passcode();
    daemon.phone_shows("the backup is done", backed_up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_is_asked_for_and_followed_by_the_backup() {
    let world = World::unpaired(DataSetSpec::uniform(47, 50, 1000)).await;
    world.phone.trust().dialog = Dialog::Pending;
    world.phone.plug_in();
    let daemon = world.daemon().await;
    daemon.phone_shows("it waits for trust", |phone| has(phone, FailureId::TrustPending)).await;
    world.phone.trust().dialog = Dialog::Accepts;
    daemon.phone_shows("the backup is done", backed_up).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_leaves_the_first_alone() {
    let world = World::new(DataSetSpec::uniform(48, 10, 100)).await;
    let daemon = world.daemon().await;
    let output = world.backstay(&["daemon"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("already running"), "{}", text(&output));
    assert!(daemon.overview().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_can_be_cancelled() {
    let world = World::new(DataSetSpec::mixed(49, 300, 5_000_000)).await;
    world.phone.set_fault(Some(Fault::SilentAt { bytes: 500_000 }));
    let mut events = world.phone.events();
    let daemon = world.daemon().await;
    while events.recv().await.unwrap() != Event::WentSilent {}
    let mut client = backstay_shared::client::Client::connect(&world.socket()).await.unwrap();
    let reply = client.request(backstay_shared::protocol::Request::Cancel { phone: None }).await.unwrap();
    assert_eq!(reply, backstay_shared::protocol::Reply::Done);
    daemon.phone_shows("it was cancelled", |phone| has(phone, FailureId::CancelledByUser)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_phones_take_turns_on_the_disk() {
    let world = World::new(DataSetSpec::mixed(50, 200, 3_000_000)).await;
    let second = Phone::new(PhoneSpec::numbered(2, DataSetSpec::mixed(51, 200, 3_000_000)));
    second.pair_with(&world.usbmuxd).unwrap();
    world.usbmuxd.add(&second);
    let mut events = world.phone.events();
    world.phone.set_fault(Some(Fault::SilentAt { bytes: 500_000 }));
    let daemon = world.daemon().await;
    while events.recv().await.unwrap() != Event::WentSilent {}
    second.plug_in();
    daemon
        .shows("the second one waits", |overview| {
            let waiting = |phone: &PhoneOverview| matches!(phone.activity, Activity::Queued { .. });
            overview.phones.iter().any(waiting).then_some(())
        })
        .await;
    world.phone.unplug();
    daemon
        .shows("the second one is backed up", |overview| {
            overview.phones.iter().any(|phone| backed_up(phone).is_some()).then_some(())
        })
        .await;
    backstay_tests::oracle::check_backup(&world.root().join(second.udid()), &second.data()).unwrap();
    world.phone.set_fault(None);
    world.phone.plug_in();
    daemon
        .shows("both are backed up", |overview| {
            overview.phones.iter().all(|phone| backed_up(phone).is_some()).then_some(())
        })
        .await;
    world.judge();
}

/// A phone that asks for its passcode and then fails is not made to ask again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_backup_does_not_keep_asking_for_the_passcode() {
    let world = World::new(DataSetSpec::mixed(52, 100, 2_000_000)).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    world.phone.set_fault(Some(Fault::PasscodeSheet { answer: PasscodeAnswer::Cancelled }));
    let mut events = world.phone.events();
    let output = world.backstay(&["backup"]).await;
    assert!(text(&output).contains("The passcode was not entered"), "{}", text(&output));
    let waits = Activity::Waiting { until: Condition::UserPresent };
    daemon.phone_shows("it waits for a person", |phone| (phone.activity == waits).then_some(())).await;
    let sheets = |events: &mut tokio::sync::broadcast::Receiver<Event>| {
        std::iter::from_fn(|| events.try_recv().ok()).filter(|event| *event == Event::PasscodeSheetPresented).count()
    };
    assert_eq!(sheets(&mut events), 1);
}

/// A backup that somebody makes without the daemon counts.
#[tokio::test(flavor = "multi_thread")]
async fn p4_due_follows_the_receipts_on_disk() {
    let world = World::new(DataSetSpec::mixed(53, 100, 2_000_000)).await;
    world.phone.unplug();
    let daemon = world.daemon().await;
    world.phone.plug_in();
    daemon.phone_shows("the backup is done", backed_up).await;
    world.phone.unplug();
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    // Its receipt is all that is left of the backup: the tree is gone.
    std::fs::remove_dir_all(world.latest()).unwrap();
    daemon.kill().await;
    let daemon = world.daemon().await;
    let good = daemon.phone_shows("the phone", |phone| Some(phone.last_good.clone())).await;
    assert_eq!(good, None, "a receipt without its backup is none");
    world.phone.plug_in();
    daemon.phone_shows("so it is due", backed_up).await;
    world.judge();
}

/// A backup that somebody makes beside the daemon is seen: no second one, and no old complaint.
#[tokio::test(flavor = "multi_thread")]
async fn p4_a_backup_made_without_the_daemon_counts() {
    let world = World::new(DataSetSpec::mixed(54, 100, 2_000_000)).await;
    world.phone.set_fault(Some(Fault::FinalError { code: 202, text: "Cancelled".into() }));
    let daemon = world.daemon().await;
    daemon.phone_shows("it failed", |phone| has(phone, FailureId::CancelledOnDevice)).await;
    world.phone.set_fault(None);
    assert_eq!(world.back_up_once().await.0, 0);
    let mut events = world.phone.events();
    world.phone.unplug();
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    world.phone.plug_in();
    daemon.phone_shows("all is well", backed_up).await;
    let asked = std::iter::from_fn(|| events.try_recv().ok()).any(|event| event == Event::BackupRequested);
    assert!(!asked, "it is not due");
}
