//! Slow links and long silences. The clock of Backstay runs faster than that of the phone (`faketime`), so that minutes pass
//! in seconds; `BACKSTAY_REAL_TIME=1` takes the minutes.

use std::{
    process::Output,
    time::{Duration, Instant},
};

use backstay_tests::{
    binaries::binary,
    phone::{Fault, Heartbeat, Mishap, Moment, PasscodeAnswer, dataset::DataSetSpec},
    world::{World, text},
};
use serde_json::Value;

use super::judge;

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// While nothing moves lockdownd has to answer within 15 s of Backstay's clock: a second here.
const SILENT_PACE: u32 = 15;

/// A second of the phone's is so many of Backstay's.
fn pace(wanted: u32) -> u32 {
    if std::env::var_os("BACKSTAY_REAL_TIME").is_some() { 1 } else { wanted }
}

/// So long for Backstay, as the phone takes it.
fn minutes(count: u32, pace: u32) -> Duration {
    Duration::from_secs(60) * count / pace
}

/// Runs `backstay` on the world's backups in that time; its exit code and every object that it printed.
pub(super) async fn hurried(world: &World, pace: u32, arguments: &[&str]) -> (i32, Vec<Value>) {
    let mut command = world.command(binary("backstay"));
    command.arg("--root").arg(world.root()).args(arguments).arg("--json");
    if pace > 1 {
        command.env("LD_PRELOAD", LIBRARY).env("FAKETIME", format!("+0 x{pace}"));
    }
    let output: Output = command.output().await.unwrap();
    let objects = String::from_utf8_lossy(&output.stdout).lines().map(serde_json::from_str).collect();
    let objects: Result<Vec<Value>, _> = objects;
    (output.status.code().expect("killed"), objects.unwrap_or_else(|_| panic!("{}", text(&output))))
}

async fn backs_up(world: &World, pace: u32) -> (i32, Vec<Value>) {
    hurried(world, pace, &["backup", "--once"]).await
}

fn failure(objects: &[Value]) -> (&str, u64) {
    let last = objects.last().expect("it says how it ended");
    (last["failure"]["id"].as_str().unwrap_or("none"), last["evidence"]["seconds"].as_u64().unwrap_or_default())
}

/// Before the first byte and between two batches alike.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_minutes_of_silence_are_no_failure() {
    let pace = pace(SILENT_PACE);
    let moments = [Moment::BeforeFiles, Moment::BetweenBatches(1), Moment::BeforeManifest, Moment::BeforeMoves];
    let worlds = moments.map(|moment| async move {
        let world = World::new(DataSetSpec::mixed(671, 100, 3_000_000)).await;
        world.phone.set_batch_bytes(500_000);
        let silence = Mishap::Silence { for_time: minutes(25, pace) };
        world.phone.during_backups(moment, silence);
        let (code, objects) = backs_up(&world, pace).await;
        assert_eq!(code, 0, "{moment:?}: {:?}", objects.last());
        judge(&world);
    });
    futures_util::future::join_all(worlds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_of_forty_minutes_is_one_wherever_it_comes() {
    let pace = pace(SILENT_PACE);
    let worlds = [Moment::BeforeFiles, Moment::BetweenBatches(1)].map(|moment| async move {
        let world = World::new(DataSetSpec::mixed(672, 100, 3_000_000)).await;
        world.phone.set_batch_bytes(500_000);
        world.phone.during_backups(moment, Mishap::Silence { for_time: minutes(40, pace) });
        let (code, objects) = backs_up(&world, pace).await;
        let (id, seconds) = failure(&objects);
        assert_eq!((code, id), (1, "backup-stalled"), "{moment:?}");
        assert!((31 * 60..33 * 60).contains(&seconds), "{moment:?}: {seconds} s");
    });
    futures_util::future::join_all(worlds).await;
}

/// A cable has no bad moments, a network has: gaps of less than a minute pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_passes_if_it_is_short_for_its_link() {
    let pace = pace(10);
    let gaps = [
        (true, 6, None),
        (true, 40, Some("backup-stalled")),
        (false, 40, None),
        (false, 120, Some("wifi-heartbeat-lost")),
    ];
    let worlds = gaps.map(|(usb, seconds, id)| async move {
        let world = World::new(DataSetSpec::mixed(673, 60, 3_000_000)).await;
        if !usb {
            world.phone.unplug();
            world.phone.appear_on_wifi();
            world.phone.set_heartbeat(Heartbeat::Beats { interval: Duration::from_secs(10) / pace });
        }
        world.phone.set_fault(Some(Fault::FreezeAt { bytes: 1_000_000 }));
        let mut events = world.phone.events();
        let phone = world.phone.clone();
        let thaw = tokio::spawn(async move {
            while events.recv().await.unwrap() != backstay_tests::phone::Event::Frozen {}
            tokio::time::sleep(Duration::from_secs(seconds) / pace).await;
            phone.thaw();
        });
        let (code, objects) = backs_up(&world, pace).await;
        let what = format!("cable {usb}, {seconds} s");
        match id {
            None => assert_eq!(code, 0, "{what}: {:?}", objects.last()),
            Some(id) => assert_eq!(failure(&objects).0, id, "{what}: {:?}", objects.last()),
        }
        thaw.await.unwrap();
    });
    futures_util::future::join_all(worlds).await;
}

/// What goes to the phone is a sign of life: it says nothing meanwhile. How long that may last, a test of the conversation
/// itself shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_list_of_files_over_a_slow_link() {
    let real = std::env::var("BACKSTAY_MANIFEST_BYTES").ok().and_then(|bytes| bytes.parse::<u64>().ok());
    // The phone is busy with the list for a while; hence no faster.
    let (bytes, pace) = real.map_or((60_000_000, SILENT_PACE), |bytes| (bytes, 1));
    let world = World::new(DataSetSpec::mixed(674, 60, 300_000).with_manifest_of(bytes)).await;
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    world.change();
    world.phone.set_link_speed(Some(2_000_000));
    let began = Instant::now();
    let (code, objects) = backs_up(&world, pace).await;
    assert_eq!(code, 0, "{:?}", objects.last());
    let minutes = began.elapsed().as_secs_f64() * f64::from(pace) / 60.0;
    println!("a list of {bytes} bytes went both ways in {minutes:.0} minutes of Backstay's clock");
    let sending: Vec<u64> = objects
        .iter()
        .filter(|object| object["phase"] == "sending-list")
        .inspect(|object| assert!(object["bytes_total"].as_u64() >= Some(bytes / 2), "{object}"))
        .filter_map(|object| object["bytes"].as_u64())
        .collect();
    // The phone fetches the new one as well, at its end.
    let falls = sending.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(sending.len() > 3 && falls <= 1, "{sending:?}");
    judge(&world);
}

/// One large file that a phone fetches in a restore.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_restored_over_a_slow_link() {
    let real = std::env::var("BACKSTAY_RESTORE_BYTES").ok().and_then(|bytes| bytes.parse::<u64>().ok());
    let (bytes, pace) = real.map_or((80_000_000, 60), |bytes| (bytes, 1));
    let world = World::new(DataSetSpec::uniform(675, 1, bytes)).await;
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    crate::restore::find_my(&world.phone, false);
    world.phone.set_link_speed(Some(if real.is_some() { 15_000_000 } else { 2_000_000 }));
    let began = Instant::now();
    let (code, objects) = hurried(&world, pace, &["restore", world.phone.udid(), "--yes", "--no-restart"]).await;
    assert_eq!(code, 0, "{:?}", objects.last());
    let minutes = began.elapsed().as_secs_f64() * f64::from(pace) / 60.0;
    println!("{bytes} bytes were restored in {minutes:.0} minutes of Backstay's clock");
    assert!(minutes > 31.0 || real.is_some(), "too quick to show anything");
    world.phone.restored().expect("it restored").compare(&world.phone.data()).unwrap();
}

/// The phone takes its sheet down after three minutes; one that does not is left alone after five.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_types_the_passcode() {
    let pace = pace(60);
    let after = minutes(3, pace);
    for (answer, code, seconds) in
        [(PasscodeAnswer::TimedOut { after }, Some(208), 0..1), (PasscodeAnswer::EnteredWhenTold, None, 300..330)]
    {
        let world = World::new(DataSetSpec::mixed(676, 60, 300_000)).await;
        world.phone.set_passcode_sheet(Some(answer));
        let (_, objects) = backs_up(&world, pace).await;
        let (id, told) = failure(&objects);
        assert_eq!(id, "passcode-not-entered", "{answer:?}");
        assert_eq!(objects.last().unwrap()["evidence"]["code"].as_i64(), code, "{answer:?}");
        assert!(seconds.contains(&told), "{answer:?}: {told} s");
    }
}
