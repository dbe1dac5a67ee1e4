//! P3: a phone that says nothing for minutes while it looks for what changed is at work, not lost. All silences pass at
//! the same time; nobody works meanwhile. Five minutes long, so it is the first by name: the other tests run beside it.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use backstay_shared::overview::Activity;
use backstay_tests::{
    phone::{Fault, Mishap, Moment, Phone},
    told::Listener,
    world::{World, eventually},
};

use crate::place::small_phone;

const BEFORE_THE_FIRST_BYTE: Duration = Duration::from_secs(90);
const OVER_THE_MANIFEST: Duration = Duration::from_secs(5 * 60);

/// Beside the silence itself.
const WORK_MAX: Duration = Duration::from_secs(60);

/// A silent phone costs its computer next to nothing.
const PROCESSOR_PART_MAX: f64 = 0.02;

async fn is_silent(seed: u64, what: &str, silence: Duration, arrange: impl Fn(&Phone)) {
    let world = World::new(small_phone(seed)).await;
    world.phone.unplug();
    arrange(&world.phone);
    let daemon = world.daemon().await;
    let listener = Listener::to(&world).await;
    let began = Instant::now();
    if world.phone.connection() == backstay_tests::phone::Connection::Network {
        world.phone.appear_on_wifi();
    } else {
        world.phone.plug_in();
    }
    let done = async {
        tokio::time::sleep(silence).await;
        let pid = daemon.child.id().unwrap();
        let busy = processor_seconds(pid);
        println!("{what}: the daemon worked {busy:.2} s while the phone was silent for {} s", silence.as_secs());
        assert!(busy / silence.as_secs_f64() < PROCESSOR_PART_MAX, "{what}: {busy} s");
        eventually("the backup is done", async || {
            let phone = daemon.overview().await?.phones.into_iter().next()?;
            (phone.last_good.is_some() && phone.activity == Activity::Idle).then_some(phone)
        })
        .await
    };
    let phone = tokio::time::timeout(silence + WORK_MAX, done).await.unwrap_or_else(|_| panic!("{what}: not done"));
    let took = began.elapsed();
    println!("{what}: backed up after {:.0} s", took.as_secs_f64());
    assert!(took >= silence, "{what}: the phone was not silent: {took:?}");
    assert!(phone.last_run.is_some_and(|run| run.failure.is_none()), "{what}: the first run");
    assert_eq!(listener.news(), [], "{what}: silence is no failure");
    world.judge();
}

/// Seconds of processor time that a process used so far.
fn processor_seconds(pid: u32) -> f64 {
    let ticks = |text: &str| text.parse::<f64>().unwrap();
    let facts = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let facts: Vec<&str> = facts.rsplit(") ").next().unwrap().split(' ').collect();
    let second = Command::new("getconf").arg("CLK_TCK").output().unwrap().stdout;
    (ticks(facts[11]) + ticks(facts[12])) / ticks(String::from_utf8(second).unwrap().trim())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_silent_phone_is_waited_for() {
    let silence = |for_time| Mishap::Silence { for_time };
    let greeting = |phone: &Phone| phone.set_fault(Some(Fault::SilentStart { for_time: BEFORE_THE_FIRST_BYTE }));
    let first = |phone: &Phone| phone.during_backups(Moment::BeforeFiles, silence(BEFORE_THE_FIRST_BYTE));
    let manifest = |phone: &Phone| phone.during_backups(Moment::BeforeManifest, silence(OVER_THE_MANIFEST));
    let on_wifi = |phone: &Phone| {
        phone.appear_on_wifi();
        phone.unplug();
        manifest(phone);
    };
    tokio::join!(
        is_silent(461, "before its first message", BEFORE_THE_FIRST_BYTE, greeting),
        is_silent(462, "before its first file", BEFORE_THE_FIRST_BYTE, first),
        is_silent(463, "over its manifest", OVER_THE_MANIFEST, manifest),
        is_silent(464, "over its manifest, on Wi-Fi", OVER_THE_MANIFEST, on_wifi),
    );
}
