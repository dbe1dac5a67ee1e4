//! The conversation as public logs of real phones show it: each of their manners is a default or a switch of the simulated
//! phone, and a test here or where the table says.
//!
//! | what real phones do | the simulated phone | test |
//! |---|---|---|
//! | greet with DeviceLink 400.0, 300.0 before | default; `set_device_link_version` | `causes::the_version_of_device_link_is_the_phones_own`, `judged_sessions` |
//! | serve with an escrow bag, and records without one exist | `Fault::Locked`, `set_locks_in_mid_run` | `causes::a_104_after_the_screen_locked_is_the_lock`, `pairing_and_info` |
//! | HostID that is no UUID; WillEncrypt missing means off | `pair_with_host_id`, `set_lockdown_value` | `pairing_and_info` |
//! | ask for the passcode before they look at anything, for 3 minutes, then 208 | `set_passcode_sheet` | `patience::nobody_types_the_passcode` |
//! | read Status.plist, list U/Snapshot and U, ask for the room, make folders | default | phone's own `sessions` |
//! | Status.plist missing and -6: a full backup; spelled otherwise: 103 or 205 | default | phone's own `properties` |
//! | broken properties: 205, forced or not | default; `set_strict_properties` | `properties::broken_properties_are_healed_by_the_next_run`, `judged_sessions` |
//! | want more room than there is, ask again after it was made | default; `Fault::SpaceNeeded` | `room::old_snapshots_make_room_in_the_run`, `backup::too_little_room_by_the_phones_reckoning` |
//! | say IsFullBackup false also of full runs | default; `set_says_full` | `properties::what_is_full_is_said_by_what_came` |
//! | batches of 2 MB to 2.7 GB, percent that goes down | default; `set_batch_bytes` | phone's own `sessions`; every test |
//! | can't read a file and go on: 0x0b, 0x06, with bytes before or without | `set_unreadable`, `Fault::FileUnreadable` | `unreadable`, `judged_sessions` |
//! | ... and give up over it: 104 | `Unreadable::fatal` | `unreadable::a_phone_that_gives_up_over_it_is_told_as_such` |
//! | name odd paths | `set_odd_paths`, `Fault::Hostile...` | `odd_paths` |
//! | move 128 items a message, remove U/Snapshot, read all back, list the folders, 205 for what is missing | default | `proof::faults`, phone's own `honesty` |
//! | go on with an interrupted tree, or start over, or refuse it | `set_interrupted` | `interrupted` |
//! | 3 after an abrupt end, until they restart | `set_stuck_after_abrupt_end` | `causes::a_3_after_an_abrupt_end_asks_for_a_restart` |
//! | gaps of seconds on Wi-Fi | `freeze`, `thaw` | `patience::a_gap_passes_if_it_is_short_for_its_link` |
//! | minutes of silence anywhere | `during_backups` | `patience::twenty_five_minutes_of_silence_are_no_failure` |
//! | fetch a Manifest.db of 1.2 GB, slowly | `with_manifest_of`, `set_link_speed` | `patience::a_large_list_of_files_over_a_slow_link` |
//! | fetch many files a message in a restore, and an empty list at its end | default | `restore`, `patience::a_large_file_is_restored_over_a_slow_link` |
//! | are busy after a change of the password | `set_busy_after_password` | `causes::a_busy_backup_service_is_told_as_such` |
//! | cancel on the phone | `cancel_on_phone` | `causes::a_cancel_on_the_phone_ends_the_run` |

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
