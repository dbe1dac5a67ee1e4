//! Files that the phone can't read itself: the run goes on, and what came of them is in their place.

use std::fs;

use backstay_tests::{
    phone::{
        Fault, Unreadable,
        dataset::{DataSetSpec, Mutation},
    },
    world::World,
};

use super::{failure, file, good, judge, older, ordinary, verified};

/// Both codes, with and without bytes before them, moved and listed or not.
#[tokio::test(flavor = "multi_thread")]
async fn the_backup_is_good_and_names_the_file() {
    for (code, bytes_before) in [(0x0b, 0), (0x0b, 960), (0x06, 0), (0x06, 960)] {
        let world = World::new(DataSetSpec::mixed(601, 60, 600_000)).await;
        good(&world).await;
        world.phone.mutate(Mutation::Change { count: 60 });
        let (index, file) = file(&world, ordinary);
        let manner = Unreadable { code, bytes_before, ..Unreadable::default() };
        let what = format!("{manner:?}");
        world.phone.set_fault(Some(Fault::FileUnreadable { index, manner }));
        let object = good(&world).await;
        let receipt = &object["receipt"];
        let warning = &receipt["warning"];
        assert_eq!(
            (&warning["id"], &warning["evidence"]["files"]),
            (&"device-files-unreadable".into(), &1.into()),
            "{object}"
        );
        assert!(
            warning["evidence"]["path"].as_str().is_some_and(|path| path.ends_with(&*file.relative_path)),
            "{object}"
        );
        assert!(receipt["doubtful"].to_string().contains(&*file.relative_path), "{what}: {object}");
        let stored = world.latest().join(file.file_id.path());
        assert_eq!(fs::metadata(&stored).expect("it is there").len(), bytes_before, "{what}");
        // It is no damage and no proof, and what was good of it once is in the history.
        let object = verified(&world).await;
        assert!(object["doubts"].to_string().contains(&*file.relative_path), "{what}: {object}");
        let before = older(&world).pop().unwrap().join(file.file_id.path());
        assert!(fs::metadata(before).unwrap().len() > 1000, "{what}");
        // Once it can be read, it is as any other.
        world.phone.set_fault(None);
        world.phone.mutate(Mutation::Change { count: 60 });
        let object = good(&world).await;
        assert_eq!(object["receipt"]["warning"], serde_json::Value::Null, "{what}: {object}");
        assert!(!object["receipt"]["doubtful"].to_string().contains(&*file.relative_path), "{what}: {object}");
        judge(&world);
    }
}

/// iOS 17 can't read this one in any backup; it is harmless, and no warning names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_harmless_file_is_no_more_than_a_note() {
    let world = World::new(DataSetSpec::mixed(602, 60, 600_000).with_file_provider()).await;
    let (index, file) = file(&world, |file| file.relative_path.ends_with("FileProvider/backup/backup_manifest.db"));
    world.phone.set_unreadable(vec![(index, Unreadable::default())]);
    for _ in 0..3 {
        let object = good(&world).await;
        let receipt = &object["receipt"];
        assert_eq!(receipt["warning"], serde_json::Value::Null, "{object}");
        let is_named = |told: &serde_json::Value| told.to_string().contains("backup_manifest.db");
        assert!(!is_named(&receipt["doubtful"]), "{object}");
        assert!(receipt["unproved"].as_u64() >= Some(1) && receipt["notes"].as_u64() >= Some(1), "{object}");
        assert_eq!(fs::metadata(world.latest().join(file.file_id.path())).unwrap().len(), 0);
        let object = verified(&world).await;
        assert!(!is_named(&object["doubts"]), "{object}");
        world.phone.mutate(Mutation::Change { count: 5 });
    }
}

/// The snapshot with the last good content stays, whatever the rules and the room say, and whatever the phone does with the
/// file.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_content_stays_in_the_history() {
    for manner in [Unreadable::default(), Unreadable::LEFT_OUT, Unreadable::ONLY_LISTED] {
        last_good_content_stays(manner).await;
    }
}

async fn last_good_content_stays(manner: Unreadable) {
    let world = World::new(DataSetSpec::mixed(603, 60, 600_000)).await;
    world.configure("[backup]\nkeep_last = 0\nkeep_daily = 0\nkeep_weekly = 0\nkeep_monthly = 0\n");
    good(&world).await;
    world.phone.mutate(Mutation::Change { count: 60 });
    let (index, file) = file(&world, ordinary);
    world.phone.set_unreadable(vec![(index, manner)]);
    for round in 0..2 {
        good(&world).await;
        let kept = older(&world);
        assert_eq!(kept.len(), 1, "{manner:?}, round {round}: {kept:?}");
        assert!(fs::metadata(kept[0].join(file.file_id.path())).unwrap().len() > 0, "round {round}");
        world.phone.mutate(Mutation::Add { count: 1, size: 10 });
    }
    let output = world.backstay(&["history"]).await;
    let told = backstay_tests::world::text(&output);
    assert!(told.contains("kept for files that the iPhone can't read any more"), "{told}");
    // Read again, it is let go.
    world.phone.set_unreadable(Vec::new());
    world.phone.mutate(Mutation::Change { count: 60 });
    good(&world).await;
    assert_eq!(older(&world).len(), 0);
}

/// iOS 15 and some of 17 end such a run with 104: nothing new is kept, and the phone is blamed.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_gives_up_over_it_is_told_as_such() {
    let world = World::new(DataSetSpec::mixed(604, 60, 600_000)).await;
    good(&world).await;
    let before = backstay_tests::world::frozen(&world.latest());
    world.phone.mutate(Mutation::Change { count: 60 });
    let (index, _) = file(&world, ordinary);
    let manner = Unreadable { fatal: true, bytes_before: 1000, ..Unreadable::default() };
    world.phone.set_fault(Some(Fault::FileUnreadable { index, manner }));
    let object = failure(&world, "device-io-error").await;
    assert_eq!(object["evidence"]["code"], 104, "{object}");
    assert_eq!(backstay_tests::world::frozen(&world.latest()), before);
    world.phone.set_fault(None);
    good(&world).await;
    judge(&world);
}
