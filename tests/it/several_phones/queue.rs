//! What happens to a phone that waits for its turn, and who does not have to wait.

use std::process::Stdio;

use backstay_shared::{
    client::Client,
    health::FailureId,
    overview::{Activity, Phase, PhoneOverview},
    protocol::Request,
};
use backstay_tests::{
    binaries::binary,
    phone::{Event, Fault, PasscodeAnswer, Phone},
    world::{Daemon, World, eventually, text},
};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{backed_up, data, one_more, shown};

fn queued(phone: &PhoneOverview) -> Option<()> {
    matches!(phone.activity, Activity::Queued { .. }).then_some(())
}

/// The first phone is in the middle of its backup, and holds it there; the others wait for their turn.
async fn busy(world: &World, others: &[&Phone]) -> Daemon {
    let daemon = world.daemon().await;
    shown(&daemon, &world.phone, "the first is backed up", |phone| backed_up(phone).then_some(())).await;
    world.change();
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 1000 }));
    let mut events = world.phone.events();
    ask(world, Request::BackUp { phone: Some(world.phone.udid().to_owned()), full: false }).await;
    while events.recv().await.unwrap() != Event::Paused {}
    for other in others {
        other.plug_in();
        shown(&daemon, other, "it waits for its turn", queued).await;
    }
    daemon
}

async fn ask(world: &World, request: Request) {
    Client::connect(&world.socket()).await.unwrap().request(request).await.unwrap();
}

fn hooks(world: &World) -> std::path::PathBuf {
    let told = world.folder.path().join("hooks");
    let script = format!(r#"echo "$BACKSTAY_EVENT $BACKSTAY_UDID" >> {told:?}"#);
    let hook = format!("[\"sh\", \"-c\", '''{script}''']");
    world.configure(&format!("[hooks]\non_start = {hook}\non_failure = {hook}\non_success = {hook}\n"));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_back_what_waits_for_its_turn_and_nothing_has_failed() {
    let world = World::new(data(650)).await;
    let told = hooks(&world);
    let other = one_more(&world, 50);
    let daemon = busy(&world, &[&other]).await;
    world.backstay(&["pause"]).await;
    let held = shown(&daemon, &other, "it waits no more", |phone| queued(phone).is_none().then(|| phone.clone())).await;
    assert_eq!((&held.activity, &held.last_run), (&Activity::Idle, &None), "{held:?}");
    assert!(held.problems.is_empty(), "{held:?}");
    world.phone.go_on();
    shown(&daemon, &world.phone, "the first ends", |phone| backed_up(phone).then_some(())).await;
    let mut events = other.events();
    world.backstay(&["resume"]).await;
    shown(&daemon, &other, "it is backed up", |phone| backed_up(phone).then_some(())).await;
    assert!(std::iter::from_fn(|| events.try_recv().ok()).any(|event| event == Event::BackupRequested));
    let of_it = format!("start {0}\nsuccess {0}\n", other.udid());
    let lines = eventually("its hooks", async || {
        let told = std::fs::read_to_string(&told).ok()?;
        let lines: String =
            told.lines().filter(|line| line.contains(other.udid())).map(|line| format!("{line}\n")).collect();
        lines.contains("success").then_some(lines)
    })
    .await;
    assert_eq!(lines, of_it, "nothing was told of the wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_unplugged_while_it_waits_for_its_turn_leaves_quietly() {
    let world = World::new(data(651)).await;
    let told = hooks(&world);
    let (other, first) = (one_more(&world, 51), one_more(&world, 49));
    let daemon = busy(&world, &[&first, &other]).await;
    // A person waits at the command line, too, and hears that it comes later.
    let mut asked = world.command(binary("backstay"));
    let mut asked = asked.args(["backup", other.udid()]).stderr(Stdio::piped()).spawn().unwrap();
    let mut told_to_the_person = BufReader::new(asked.stderr.take().unwrap()).lines();
    let mut events = other.events();
    let waits = told_to_the_person.next_line().await.unwrap().unwrap();
    assert!(waits.ends_with("waits for its turn, and is next"), "{waits}");
    for (phone, first) in
        [(&other, "   1. as soon as its turn comes\n   2. "), (&world.phone, "   1. now: it is being made\n")]
    {
        let timetable = text(&world.backstay(&["schedule", phone.udid()]).await);
        assert!(timetable.contains(first), "{timetable}");
    }
    let unnamed = text(&world.backstay(&["schedule"]).await);
    assert!(unnamed.contains("several iPhones, name one: ") && unnamed.contains(other.udid()), "{unnamed}");
    other.unplug();
    let away = |phone: &PhoneOverview| (phone.activity == Activity::Away).then(|| phone.clone());
    let away = shown(&daemon, &other, "it is away", away).await;
    assert!(away.problems.is_empty() && away.last_run.is_none(), "{away:?}");
    assert!(events.try_recv().is_err(), "nothing was asked of it");
    let later = told_to_the_person.next_line().await.unwrap().unwrap();
    assert!(later.contains("is made later"), "{later}");
    assert_eq!(asked.wait().await.unwrap().code(), Some(1));
    world.phone.go_on();
    shown(&daemon, &world.phone, "the first ends", |phone| backed_up(phone).then_some(())).await;
    other.plug_in();
    let done = shown(&daemon, &other, "it is backed up", |phone| backed_up(phone).then(|| phone.clone())).await;
    assert!(done.problems.is_empty(), "{done:?}");
    let told = std::fs::read_to_string(told).unwrap();
    assert!(!told.contains("failure"), "{told}");
}

/// Four phones in the evening: the disk is nobody's while a passcode is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_waits_for_its_passcode_holds_up_no_other() {
    let world = World::new(data(652)).await;
    world.phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenTold));
    let others = [one_more(&world, 52), one_more(&world, 53)];
    let daemon = world.daemon().await;
    let asks = |phone: &PhoneOverview| {
        let is_asking = |phase| phase == Phase::WaitingForPasscode;
        matches!(&phone.activity, Activity::Running { progress, .. } if is_asking(progress.phase)).then_some(())
    };
    shown(&daemon, &world.phone, "the first asks for its passcode", asks).await;
    for other in &others {
        other.plug_in();
        shown(&daemon, other, "the others are backed up", |phone| backed_up(phone).then_some(())).await;
    }
    shown(&daemon, &world.phone, "the first still asks", asks).await;
    world.phone.enter_passcode();
    shown(&daemon, &world.phone, "and goes on", |phone| backed_up(phone).then_some(())).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backup_is_one_or_is_refused() {
    let world = World::new(data(654)).await;
    let other = one_more(&world, 54);
    other.plug_in();
    let daemon = world.daemon().await;
    let all = shown(&daemon, &other, "it is backed up", |phone| {
        backed_up(phone).then(|| phone.last_run.as_ref().unwrap().files_received)
    })
    .await;
    drop(daemon);
    super::age_receipts(&world, &other, 30);
    other.unplug();
    let never_yet = one_more(&world, 57);
    let daemon = busy(&world, &[&never_yet, &other]).await;

    let refused = world.backstay(&["backup", "--full", world.phone.udid()]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("is under way; ask for a full one when it has ended"), "{}", text(&refused));
    let command = ["backup", "--full", other.udid()];
    let asked = world.backstay(&command);
    let first = async {
        let is_next =
            |phone: &PhoneOverview| matches!(phone.activity, Activity::Queued { place: Some(1), .. }).then_some(());
        shown(&daemon, &other, "it is next", is_next).await;
        world.phone.go_on();
    };
    let (output, ()) = tokio::join!(asked, first);
    assert!(output.status.success(), "{}", text(&output));
    let came = shown(&daemon, &other, "it is backed up again", |phone| {
        backed_up(phone).then(|| phone.last_run.as_ref().unwrap().files_received)
    })
    .await;
    assert_eq!(came, all, "everything came anew");
}

/// Settings wait for what runs, and not for the queue; what was cancelled stays away though everything begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn other_settings_are_taken_up_before_the_next_turn_and_a_cancelled_backup_stays_away() {
    let world = World::new(data(655)).await;
    let others = [one_more(&world, 55), one_more(&world, 56)];
    let (kept, cancelled) = (&others[0], &others[1]);
    cancelled.plug_in();
    let daemon = world.daemon().await;
    shown(&daemon, cancelled, "it is backed up", |phone| backed_up(phone).then_some(())).await;
    drop(daemon);
    super::age_receipts(&world, cancelled, 30);
    cancelled.unplug();
    let daemon = busy(&world, &[kept, cancelled]).await;
    ask(&world, Request::Cancel { phone: Some(cancelled.udid().to_owned()) }).await;
    let stays_away = |phone: &PhoneOverview| matches!(phone.activity, Activity::RetryAt { .. }).then(|| phone.clone());
    let before = shown(&daemon, cancelled, "it is cancelled", stays_away).await;

    let (mut events, mut none) = (kept.events(), cancelled.events());
    world.configure("[backup]\nevery_hours = 7\n");
    let taken = world.folder.path().join("home/.local/state/backstay/last-good-config.toml");
    let is_seen = async || std::fs::read_to_string(&taken).ok().filter(|text| text.contains("= 7")).map(|_| ());
    eventually("the edit is seen", is_seen).await;
    world.phone.go_on();
    let of_it = |udid: &str, phones: Vec<PhoneOverview>| phones.into_iter().find(|phone| phone.udid.as_str() == udid);
    let hours = eventually("other settings", async || {
        let first = of_it(world.phone.udid(), daemon.overview().await?.phones)?;
        let hours = (first.next_due? - first.last_good?.at).num_hours();
        let is_new = hours == 7;
        let begun = std::iter::from_fn(|| events.try_recv().ok()).any(|event| event == Event::BackupRequested);
        assert!(is_new || !begun, "they waited for the queue");
        is_new.then_some(hours)
    })
    .await;
    assert_eq!(hours, 7);
    eventually("what waited comes again", async || {
        of_it(kept.udid(), daemon.overview().await?.phones).filter(backed_up)
    })
    .await;
    let after = of_it(cancelled.udid(), daemon.overview().await.unwrap().phones).unwrap();
    let day = |phone: &PhoneOverview| match phone.activity {
        Activity::RetryAt { at, .. } => at,
        _ => panic!("{phone:?}"),
    };
    assert!((day(&after) - day(&before)).abs() < chrono::TimeDelta::minutes(1), "{before:?}, then {after:?}");
    assert_eq!(after.last_run.unwrap().failure.unwrap().id, FailureId::CancelledByUser);
    assert!(!std::iter::from_fn(|| none.try_recv().ok()).any(|event| event == Event::BackupRequested));
}

/// Who asks in the daytime for what is made at night gets it, also when the cable comes out in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_asked_for_outside_the_hours_goes_on_when_its_cable_is_back() {
    let world = World::new(data(659)).await;
    let [from, to] = [2, 3].map(|hours| (chrono::Local::now() + chrono::TimeDelta::hours(hours)).format("%H:%M"));
    world.configure(&format!("[backup]\nhours = \"{from}-{to}\"\n"));
    let never_yet = one_more(&world, 58);
    let daemon = world.daemon().await;
    never_yet.plug_in();
    let idle = |phone: &PhoneOverview| (phone.activity == Activity::Idle).then_some(());
    shown(&daemon, &world.phone, "it is here", idle).await;
    shown(&daemon, &never_yet, "it is here", idle).await;
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1000 }));
    let failed = world.backstay(&["backup", world.phone.udid()]).await;
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 1000 }));
    let mut events = world.phone.events();
    world.phone.plug_in();
    while events.recv().await.unwrap() != Event::Paused {}

    // The one that is under way is the one that is meant.
    let cancelled = world.backstay(&["cancel"]).await;
    assert!(cancelled.status.success(), "{}", text(&cancelled));
    world.phone.go_on();
    shown(&daemon, &world.phone, "it is cancelled", |phone| {
        phone.last_run.as_ref()?.failure.as_ref().filter(|told| told.id == FailureId::CancelledByUser).map(drop)
    })
    .await;
    // And what was cancelled is asked for no more.
    world.phone.unplug();
    shown(&daemon, &world.phone, "it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    world.phone.plug_in();
    let here = |phone: &PhoneOverview| (phone.activity != Activity::Away).then(|| phone.activity.clone());
    let stands = shown(&daemon, &world.phone, "it is here", here).await;
    assert!(matches!(stands, Activity::RetryAt { .. }), "{stands:?}");
    let root = world.root();
    let none = world.backstay(&["--root", root.to_str().unwrap(), "history", never_yet.udid()]).await;
    assert_eq!(none.status.code(), Some(1), "{}", text(&none));
}
