//! The conversation as public logs of real phones show it: each of their manners is a default or a switch of the simulated
//! phone.

mod causes;
mod interrupted;
mod odd_paths;
mod patience;
mod properties;
mod room;
mod unreadable;

use std::path::PathBuf;

use backstay_tests::{oracle, phone::dataset::DataFile, world::World};
use serde_json::Value;

/// The place and the facts of the first file that fits.
fn file(world: &World, fits: impl Fn(&DataFile) -> bool) -> (usize, DataFile) {
    let data = world.phone.data();
    let found = data.files().enumerate().find(|(_, file)| fits(file));
    found.map(|(index, file)| (index, file.clone())).expect("such a file")
}

/// A file of an ordinary kind that is long enough to be cut.
fn ordinary(file: &DataFile) -> bool {
    file.size > 2000 && file.odd.is_none() && !file.has_digest()
}

/// What a run printed last, which must have been good.
async fn good(world: &World) -> Value {
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    object
}

/// The failure of a run that must have failed.
async fn failure(world: &World, id: &str) -> Value {
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["failure"]["id"]), (1, &id.into()), "{object}");
    object
}

/// Backstay's own folder of the phone.
fn own(world: &World) -> PathBuf {
    world.root().join(".backstay").join(world.phone.udid())
}

/// The trees of older snapshots, oldest first.
fn older(world: &World) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(own(world).join("history")) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path().join(world.phone.udid())).collect();
    found.sort();
    found
}

/// `backstay verify --deep`, which must find no damage.
async fn verified(world: &World) -> Value {
    let output = world.backstay(&["verify", "--deep", "--json"]).await;
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &object["damaged"]), (Some(0), &0.into()), "{object}");
    object
}

/// The latest backup as other programs must find it.
fn judge(world: &World) {
    oracle::check_backup(&world.latest(), &world.phone.data()).unwrap();
}
