//! Several phones: a fair queue, little memory, settings and names of their own, and phones that are not what they were.

mod queue;

use std::{collections::BTreeSet, fs, path::PathBuf, time::Instant};

use backstay_shared::{
    health::FailureId,
    overview::{Activity, PhoneOverview},
};
use backstay_tests::{
    oracle,
    phone::{Event, Fault, Phone, PhoneSpec, dataset::DataSetSpec},
    world::{Daemon, World, text},
};
use chrono::{Duration, Utc};
use serde_json::Value;
use tokio::sync::mpsc;

const COUNT: u64 = 10;

fn data(seed: u64) -> DataSetSpec {
    DataSetSpec::mixed(seed, 60, 1_000_000)
}

/// One more phone that trusts this computer and is not plugged in.
fn one_more(world: &World, number: u64) -> Phone {
    let phone = Phone::new(PhoneSpec::numbered(number, data(600 + number)));
    phone.pair_with(&world.usbmuxd).unwrap();
    world.usbmuxd.add(&phone);
    phone
}

fn backed_up(phone: &PhoneOverview) -> bool {
    phone.last_good.is_some() && phone.activity == Activity::Idle && phone.problems.is_empty()
}

/// What is shown of a phone.
async fn shown<T>(daemon: &Daemon, phone: &Phone, what: &str, wanted: impl Fn(&PhoneOverview) -> Option<T>) -> T {
    let of_it = |shown: &&PhoneOverview| shown.udid.as_str() == phone.udid();
    daemon.shows(what, |overview| overview.phones.iter().find(of_it).and_then(&wanted)).await
}

fn peak_memory(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The phone's last backup was so many hours ago.
fn age_receipts(world: &World, phone: &Phone, hours: i64) {
    let folder = world.root().join(".backstay").join(phone.udid()).join("receipts");
    let receipts: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in receipts {
        let mut receipt: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        receipt["verified_at"] = (Utc::now() - Duration::hours(hours)).to_rfc3339().into();
        fs::write(&path, receipt.to_string()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_phones_at_once_are_all_backed_up_in_fair_order_and_in_the_memory_of_one() {
    let world = World::new(data(601)).await;
    let alone = world.folder.path().join("alone");
    let daemon = world.daemon_with(&["--root".as_ref(), alone.as_os_str()]).await;
    shown(&daemon, &world.phone, "one phone is backed up", |phone| backed_up(phone).then_some(())).await;
    let of_one = peak_memory(&daemon);
    daemon.terminate().await;
    world.phone.unplug();

    let mut phones = vec![world.phone.clone()];
    phones.extend((2..=COUNT).map(|number| one_more(&world, number)));
    let daemon = world.daemon().await;
    let began = Instant::now();
    phones.iter().for_each(Phone::plug_in);
    let all = |overview: &backstay_shared::overview::Overview| {
        (overview.phones.len() == phones.len() && overview.phones.iter().all(backed_up)).then(|| overview.clone())
    };
    let overview = daemon.shows("all are backed up", all).await;
    let took = began.elapsed();
    for phone in &phones {
        oracle::check_backup(&world.root().join(phone.udid()), &phone.data()).unwrap();
    }
    let runs: BTreeSet<u64> = overview.phones.iter().filter_map(|phone| Some(phone.last_run.as_ref()?.run.0)).collect();
    assert_eq!(runs.len(), phones.len(), "every run has a number of its own");
    let of_ten = peak_memory(&daemon);
    println!("peak memory: {of_one} kB with one phone, {of_ten} kB with {COUNT}, all of them backed up in {took:.1?}");
    assert!(of_ten < of_one + of_one / 3, "{of_one} kB with one phone, {of_ten} kB with {COUNT}");
    daemon.terminate().await;

    // Days later they are all due, some for longer than others; the first to come keeps the disk busy.
    let (busy, others) = phones.split_first().unwrap();
    for (index, phone) in (0_i64..).zip(others) {
        phone.unplug();
        age_receipts(&world, phone, 30 + index * 7 % 10);
    }
    busy.unplug();
    age_receipts(&world, busy, 30);
    let daemon = world.daemon().await;
    world.change();
    busy.set_fault(Some(Fault::PauseAt { bytes: 1000 }));
    let mut events = busy.events();
    busy.plug_in();
    while events.recv().await.unwrap() != Event::Paused {}
    let (sender, mut requested) = mpsc::unbounded_channel();
    for (index, phone) in others.iter().enumerate() {
        let (mut events, sender) = (phone.events(), sender.clone());
        tokio::spawn(async move {
            while events.recv().await.unwrap() != Event::BackupRequested {}
            sender.send(index).unwrap();
        });
        phone.plug_in();
    }
    let place = |phone: &PhoneOverview| match phone.activity {
        Activity::Queued { place, .. } => place,
        _ => None,
    };
    let queued = |overview: &backstay_shared::overview::Overview| {
        let places = others.iter().map(|other| {
            let phone = overview.phones.iter().find(|phone| phone.udid.as_str() == other.udid())?;
            place(phone)
        });
        let places: Vec<u32> = places.collect::<Option<_>>()?;
        let mut sorted = places.clone();
        sorted.sort_unstable();
        sorted.iter().copied().eq(1..COUNT as u32).then_some(places)
    };
    let places = daemon.shows("all the others wait", queued).await;
    let mut fair: Vec<usize> = (0..others.len()).collect();
    fair.sort_by_key(|index| std::cmp::Reverse(index * 7 % 10));
    let mut order = fair.clone();
    order.sort_by_key(|index| places[*index]);
    assert_eq!(order, fair, "who has waited longest is next");

    // A person's wish goes first.
    let last = *fair.last().unwrap();
    let command = ["backup", others[last].udid()];
    let wish = world.backstay(&command);
    let first = async {
        shown(&daemon, &others[last], "it is next", |phone| (place(phone) == Some(1)).then_some(())).await;
        let status = text(&world.backstay(&["status"]).await);
        println!("{status}");
        assert!(status.contains("waits for its turn, and is next"), "{status}");
        assert!(status.contains("waits for its turn, 9 in the queue"), "{status}");
        busy.go_on();
    };
    let (output, ()) = tokio::join!(wish, first);
    assert!(output.status.success(), "{}", text(&output));
    fair.rotate_right(1);
    let mut came = Vec::new();
    while came.len() < others.len() {
        came.push(requested.recv().await.unwrap());
    }
    assert_eq!(came, fair);
    daemon.shows("all are backed up again", all).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_phone_has_its_own_settings() {
    let world = World::new(data(620)).await;
    let (off, strict) = (one_more(&world, 22), one_more(&world, 23));
    let udid = world.phone.udid();
    world.configure(&format!(
        "[backup]\nevery_hours = 20\n[phones.\"{udid}\"]\nname = \"Anna's best\"\nevery_hours = 4\n\
         [phones.\"{}\"]\nenabled = false\n[phones.\"{}\"]\nrequire_encryption = true\n",
        off.udid().to_lowercase(),
        strict.udid()
    ));
    off.plug_in();
    strict.plug_in();
    let daemon = world.daemon().await;
    let anna = shown(&daemon, &world.phone, "one is backed up", |phone| backed_up(phone).then(|| phone.clone())).await;
    assert_eq!(anna.name, "Anna's best");
    assert_eq!((anna.next_due.unwrap() - anna.last_good.unwrap().at).num_hours(), 4);
    let is_told = |phone: &PhoneOverview| {
        phone.problems.iter().any(|problem| problem.id == FailureId::BackupNotEncrypted).then_some(())
    };
    shown(&daemon, &strict, "one does not encrypt", is_told).await;

    let is_off = |phone: &PhoneOverview| (phone.turned_off && phone.activity == Activity::Idle).then(|| phone.clone());
    let told = shown(&daemon, &off, "one is turned off", is_off).await;
    assert_eq!((told.activity, told.next_due, told.last_good), (Activity::Idle, None, None));
    for arguments in [&["backup", off.udid()][..], &["backup", "--once", off.udid()]] {
        let output = world.backstay(arguments).await;
        assert!(!output.status.success() && text(&output).contains("turned off in the settings"), "{}", text(&output));
    }
    assert!(!world.root().join(off.udid()).exists());
    let output = world.backstay(&["status"]).await;
    assert!(text(&output).contains("turned off in the settings"), "{}", text(&output));
    let output = world.backstay(&["history", "best"]).await;
    assert!(text(&output).starts_with("Anna's best: one snapshot"), "{}", text(&output));
}

/// The name is for people, the UDID is what a phone is.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_replaces_another_is_told_apart_and_offered_its_backup() {
    let world = World::new(data(630)).await;
    world.phone.set_name("Anna");
    assert_eq!(world.back_up_once().await.0, 0);
    world.phone.unplug();
    let newer = one_more(&world, 32);
    newer.set_name("Anna");
    let daemon = world.daemon().await;
    newer.plug_in();
    let end = |phone: &Phone| phone.udid()[phone.udid().len() - 4..].to_owned();
    let told_apart = |phone: &Phone| format!("Anna ({})", end(phone));
    let is_called = |name: String| move |phone: &PhoneOverview| (phone.name == name).then_some(());
    shown(&daemon, &newer, "they are told apart", is_called(told_apart(&newer))).await;
    shown(&daemon, &world.phone, "they are told apart", is_called(told_apart(&world.phone))).await;
    shown(&daemon, &newer, "it is backed up, too", |phone| backed_up(phone).then_some(())).await;

    let status = text(&world.backstay(&["status"]).await);
    println!("{status}");
    let offer = format!("backstay restore {} --to {}", world.phone.udid(), newer.udid());
    assert_eq!(status.matches(&offer).count(), 1, "{status}");
    assert!(status.contains("has a snapshot here"), "{status}");
    let doctor = text(&world.backstay(&["doctor"]).await);
    assert_eq!(doctor.matches(&offer).count(), 1, "{doctor}");
    let output = world.backstay(&["history", "Anna"]).await;
    assert_eq!(output.status.code(), Some(2), "which? {}", text(&output));
    for phone in [&newer, &world.phone] {
        let output = world.backstay(&["history", &end(phone)]).await;
        let told = text(&output);
        assert!(told.starts_with(&format!("{}: one snapshot", told_apart(phone))), "their history is apart: {told}");
    }

    // The older one is here after all: then it is no earlier phone.
    world.phone.plug_in();
    shown(&daemon, &world.phone, "it is here", |phone| (phone.activity == Activity::Idle).then_some(())).await;
    let status = text(&world.backstay(&["status"]).await);
    assert!(!status.contains(&offer), "{status}");

    // Renamed, it is the same phone.
    newer.set_name("Ben");
    newer.unplug();
    newer.plug_in();
    shown(&daemon, &newer, "the new name", is_called("Ben".to_owned())).await;
    shown(&daemon, &world.phone, "the name is no other's", is_called("Anna".to_owned())).await;
    assert!(world.root().join(newer.udid()).is_dir());
}

/// What was on it before is kept for a while, whatever the rules of keeping say.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_was_erased_begins_anew_beside_what_it_was() {
    let world = World::new(data(640)).await;
    world.configure("[backup]\nkeep_last = 0\nkeep_daily = 0\nkeep_weekly = 0\nkeep_monthly = 0\n");
    let history = async || -> Vec<Value> {
        let output = world.backstay(&["history", "--json"]).await;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        told["snapshots"].as_array().unwrap().clone()
    };
    for _ in 0..2 {
        assert_eq!(world.back_up_once().await.0, 0);
        world.change();
    }
    let before = history().await;
    assert_eq!(before.len(), 1, "nothing older is kept: {before:?}");

    world.phone.unplug();
    world.phone.erase(&DataSetSpec::mixed(641, 10, 50_000));
    world.phone.pair_with(&world.usbmuxd).unwrap();
    world.phone.plug_in();
    for number in 1..=3 {
        let (code, object) = world.back_up_once().await;
        assert_eq!(code, 0, "{object}");
        assert_eq!(object["receipt"]["full"], number == 1, "{object}");
        world.judge();
        let kept = history().await;
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!((&kept[0]["id"], &kept[0]["kept_from_before_erasing"]), (&before[0]["id"], &true.into()));
        assert_eq!(kept[1]["after_erasing"], number == 1, "{kept:?}");
        world.phone.mutate(backstay_tests::phone::dataset::Mutation::Add { count: 3, size: 2000 });
    }
    let told = text(&world.backstay(&["history"]).await);
    println!("{told}");
    assert!(told.contains("the last before the iPhone was erased"), "{told}");
}
