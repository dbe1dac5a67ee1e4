//! What a phone reads first of the last backup: broken, it ends each run with 205, after it has asked for the passcode.

use std::fs;

use backstay_tests::{
    phone::{PasscodeAnswer, dataset::DataSetSpec},
    world::{World, frozen},
};

use super::{good, judge, verified};

#[tokio::test(flavor = "multi_thread")]
async fn broken_properties_are_healed_by_the_next_run() {
    for (seed, (name, content)) in [
        ("Manifest.plist", Some("")),
        ("Manifest.plist", Some("bplist00 and no more")),
        ("Manifest.plist", None),
        ("Status.plist", Some("")),
        ("Manifest.db", Some("")),
        ("Manifest.db", Some("SQLite format 4 and no more than that")),
        ("Manifest.db", None),
    ]
    .into_iter()
    .enumerate()
    {
        for full in [false, true] {
            let world = World::new(DataSetSpec::mixed(611 + seed as u64, 60, 300_000)).await;
            world.phone.set_strict_properties(true);
            good(&world).await;
            let path = world.latest().join(name);
            // Never in place: an older snapshot may share it.
            fs::remove_file(&path).unwrap();
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let what = format!("{name} {content:?}, full {full}");
            let broken = frozen(&world.latest());
            world.change();
            world.phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenPresent {
                patience: std::time::Duration::from_secs(60),
            }));
            world.phone.set_person_present(true);
            let arguments = ["backup", "--once", "--json", "--full"];
            let output = world.backstay(&arguments[..if full { 4 } else { 3 }]).await;
            assert!(output.status.success(), "{what}: {}", backstay_tests::world::text(&output));
            assert_eq!(world.phone.sheets_shown(), 1, "{what}: one passcode");
            judge(&world);
            // What was there went into the history as it was.
            assert_eq!(frozen(&super::older(&world)[0]), broken, "{what}");
            verified(&world).await;
            let history = backstay_tests::world::text(&world.backstay(&["history", "--json"]).await);
            let history: serde_json::Value = serde_json::from_str(&history).unwrap();
            assert_eq!(history["snapshots"][0]["damaged"], true, "{what}: {history}");
            world.change();
            let object = good(&world).await;
            assert_eq!(object["receipt"]["full"], false, "{what}: {object}");
            judge(&world);
        }
    }
}

/// Everything is asked for again: the tree begins empty, since a phone reads also then what it finds.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_run_begins_from_nothing() {
    let world = World::new(DataSetSpec::mixed(619, 60, 300_000)).await;
    good(&world).await;
    world.change();
    let output = world.backstay(&["backup", "--once", "--json", "--full"]).await;
    let told = backstay_tests::world::text(&output);
    let object: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(object["receipt"]["full"], true, "{object}");
    assert!(object["receipt"]["files_received"].as_u64() >= Some(world.phone.data().file_count() as u64), "{object}");
    judge(&world);
    verified(&world).await;
}

/// The phone calls no run a full one; the receipt says what came.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_full_is_said_by_what_came() {
    for says_full in [false, true] {
        let world = World::new(DataSetSpec::mixed(620, 60, 300_000)).await;
        world.phone.set_says_full(says_full);
        assert_eq!(good(&world).await["receipt"]["full"], true);
        world.change();
        assert_eq!(good(&world).await["receipt"]["full"], false);
    }
}
