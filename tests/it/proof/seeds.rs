//! Many phones, each with other sizes, digests, names and rows.

use std::fs;

use backstay_tests::{
    phone::dataset::{DataSetSpec, Mutation, OddRow},
    world::World,
};
use serde_json::Value;

use super::{PASSWORD, back_up, judged, verify};

/// So many phones are tried; `BACKSTAY_SEEDS` says how many others.
fn seeds() -> u64 {
    std::env::var("BACKSTAY_SEEDS").map_or(24, |seeds| seeds.parse().expect("BACKSTAY_SEEDS is a number"))
}

/// Those that are beside each other are tried by different tests.
const LANES: u64 = 4;

/// The phone of a seed: every third one encrypts, and some have rows that hardly anybody can read.
fn phone(seed: u64) -> (DataSetSpec, bool) {
    let data = DataSetSpec::mixed(seed, 40 + seed as usize % 60, 400_000);
    let odd = match seed % 5 {
        0 => &OddRow::ALL[..],
        _ => &[],
    };
    (data.with_odd_rows(odd), seed.is_multiple_of(3))
}

/// A good backup is called good, and no file of it is doubted but by its row.
async fn is_verified(world: &World, what: &str, seed: u64) -> Value {
    let (code, object) = back_up(world).await;
    assert_eq!(code, 0, "seed {seed}, {what}: {object}");
    judged(world, &world.latest()).unwrap_or_else(|error| panic!("seed {seed}, {what}: {error}"));
    let receipt = object["receipt"].clone();
    for doubt in receipt["doubtful"].as_array().into_iter().flatten() {
        assert!(doubt.as_str().unwrap().contains(" has a row "), "seed {seed}, {what}: {receipt}");
    }
    assert!(receipt["unproved"].is_null(), "seed {seed}, {what}: {receipt}");
    assert!(receipt["warning"].is_null(), "seed {seed}, {what}: {receipt}");
    receipt
}

async fn lane(lane: u64) {
    let world = World::new(phone(lane).0).await;
    world.configure("[backup]\nkeep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nkeep_monthly = 0\n");
    let mut notes = 0;
    for seed in (0..seeds()).filter(|seed| seed % LANES == lane) {
        let (data, encrypts) = phone(seed);
        // The marker in the folder stays: without it the drive would be taken for gone.
        for folder in [world.latest(), world.root().join(".backstay").join(world.phone.udid())] {
            drop(fs::remove_dir_all(folder));
        }
        world.phone.erase(&data);
        world.phone.pair_with(&world.usbmuxd).unwrap();
        world.phone.set_backup_password(encrypts.then_some(PASSWORD));
        let full = is_verified(&world, "full", seed).await;
        notes += full["notes"].as_u64().unwrap_or_default();
        world.phone.mutate(Mutation::Change { count: 7 });
        world.phone.mutate(Mutation::Add { count: 5, size: 4096 * (seed % 3) });
        world.phone.mutate(Mutation::Remove { count: 4 });
        let changed = is_verified(&world, "changed", seed).await;
        assert!(changed["files_received"].as_u64() < full["files_received"].as_u64(), "seed {seed}: {changed}");
        let unchanged = is_verified(&world, "unchanged", seed).await;
        // Status.plist comes three times, and the two manifests; a row that can't be read has its file sent again.
        let most = 5 + data.odd_rows.len() as u64;
        assert!(unchanged["files_received"].as_u64() <= Some(most), "seed {seed}: {unchanged}");
        for deep in [false, true] {
            let (code, object) = verify(&world, deep).await;
            let told = (code, &object["damaged"], &object["without_proof"], &object["manifest_unread"]);
            assert_eq!(told, (0, &0.into(), &0.into(), &Value::Null), "seed {seed}: {object}");
        }
    }
    assert!(notes > 0, "no phone has a size that is another than its file's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifelike_phone_is_verified_each_time_1() {
    lane(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifelike_phone_is_verified_each_time_2() {
    lane(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifelike_phone_is_verified_each_time_3() {
    lane(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifelike_phone_is_verified_each_time_4() {
    lane(3).await;
}
