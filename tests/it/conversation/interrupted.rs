//! A run whose link broke: what came is kept, the phone goes on with it or does not, and the result is whole each time.

use backstay_tests::{
    phone::{
        Fault, Interrupted, Mishap, Moment,
        dataset::{DataSetSpec, Mutation},
    },
    random::{Random, seed},
    world::{World, frozen},
};

use super::{good, judge, own, verified};
use crate::proof::{PASSWORD, back_up, judged};

/// How often the link is cut for each manner of phones.
fn cuts() -> usize {
    std::env::var("BACKSTAY_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(15)
}

/// P1 to P5 at random bytes, with each manner of phones; `BACKSTAY_CUTS=50` cuts more often.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_cable_that_slips_anywhere_costs_no_backup() {
    for manner in [Interrupted::Resumes, Interrupted::StartsOver, Interrupted::Refuses] {
        let mut random = Random::new(seed());
        let world = World::new(DataSetSpec::mixed(661, 300, 3_000_000)).await;
        world.phone.set_interrupted(manner);
        good(&world).await;
        let (mut saved, mut sent) = (0, 0);
        for round in 0..cuts() {
            world.phone.mutate(Mutation::Change { count: 300 });
            let before = frozen(&world.latest());
            let bytes = 200 + random.below(3_200_000);
            let what = format!("{manner:?}, round {round}, byte {bytes}");
            world.phone.set_fault(Some(Fault::UnplugAt { bytes }));
            let (code, object) = world.back_up_once().await;
            if code != 0 {
                assert_eq!(object["failure"]["id"], "usb-disconnected", "{what}: {object}");
                assert_eq!(frozen(&world.latest()), before, "{what}");
            }
            world.phone.plug_in();
            world.phone.set_fault(None);
            let (code, object) = world.back_up_once().await;
            if code != 0 {
                // It refuses what it finds: the run after that has nothing of it.
                assert_eq!(manner, Interrupted::Refuses, "{what}: {object}");
                good(&world).await;
            }
            judge(&world);
            saved += world.phone.bytes_resumed();
            sent += object["receipt"]["bytes_received"].as_u64().unwrap_or(0);
            if round % 10 == 0 {
                verified(&world).await;
            }
        }
        println!("{manner:?}: {saved} bytes were not sent again, {sent} were");
        assert_eq!(saved > 0, manner == Interrupted::Resumes, "{manner:?}");
        verified(&world).await;
    }
}

/// A first backup, cut several times: each try goes on where the last one stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_backup_goes_on() {
    for encrypts in [false, true] {
        let world = World::new(DataSetSpec::mixed(662, 200, 6_000_000)).await;
        world.phone.set_backup_password(encrypts.then_some(PASSWORD));
        for _ in 0..3 {
            world.phone.set_fault(Some(Fault::UnplugAt { bytes: 2_000_000 }));
            let (code, object) = back_up(&world).await;
            assert_eq!((code, &object["failure"]["id"]), (1, &"usb-disconnected".into()), "{object}");
            assert!(object["failure"]["why"].as_str().unwrap().contains("What came is kept"), "{object}");
            assert!(!world.latest().exists());
            world.phone.plug_in();
        }
        world.phone.set_fault(None);
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        let saved = world.phone.bytes_resumed();
        println!("a first backup, encrypted {encrypts}: {saved} of 6,000,000 bytes were there");
        assert!(saved > 3_000_000, "{saved}");
        judged(&world, &world.latest()).unwrap();
    }
}

/// A large file that was under way goes, and the others stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_breaks_inside_a_large_file_costs_that_file() {
    let world = World::new(DataSetSpec::uniform(691, 4, 2_000_000)).await;
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 5_000_000 }));
    assert_eq!(world.back_up_once().await.0, 1);
    world.phone.plug_in();
    world.phone.set_fault(None);
    good(&world).await;
    assert!(world.phone.bytes_resumed() > 3_500_000, "{}", world.phone.bytes_resumed());
    judge(&world);
    verified(&world).await;
}

/// A phone that was erased meanwhile has nothing to go on with.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_the_phone_was_erased_is_of_no_use() {
    let spec = DataSetSpec::mixed(692, 100, 3_000_000);
    let world = World::new(spec.clone()).await;
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 2_000_000 }));
    assert_eq!(world.back_up_once().await.0, 1);
    world.phone.plug_in();
    world.phone.set_fault(None);
    world.phone.erase(&spec);
    world.phone.pair_with(&world.usbmuxd).unwrap();
    good(&world).await;
    let record = world.backstay(&["report", "--session", "-"]).await;
    let record = String::from_utf8(record.stdout).unwrap();
    assert!(record.contains("kept-of-a-broken-run=false"), "{record}");
    judge(&world);
}

/// What lies there and is not as it came is thrown away, and the phone sends everything.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_meanwhile_is_of_no_use() {
    for harm in ["cut", "lost", "added", "no ledger"] {
        let world = World::new(DataSetSpec::mixed(663, 200, 3_000_000)).await;
        good(&world).await;
        world.phone.mutate(Mutation::Change { count: 200 });
        world.phone.set_fault(Some(Fault::UnplugAt { bytes: 2_000_000 }));
        let (code, object) = world.back_up_once().await;
        assert_eq!(code, 1, "{object}");
        world.phone.plug_in();
        world.phone.set_fault(None);
        let staged = own(&world).join("next").join(world.phone.udid()).join("Snapshot");
        let folder = std::fs::read_dir(&staged).expect("it is kept").map(|entry| entry.unwrap().path());
        let folder = folder.into_iter().find(|path| path.is_dir() && path.read_dir().unwrap().count() > 0).unwrap();
        let file = folder.read_dir().unwrap().next().unwrap().unwrap().path();
        match harm {
            "cut" => std::fs::File::options().write(true).open(&file).unwrap().set_len(1).unwrap(),
            "lost" => std::fs::remove_file(&file).unwrap(),
            "added" => {
                std::fs::write(folder.join(format!("{}{}", folder.file_name().unwrap().display(), "0".repeat(38))), "x")
                    .unwrap()
            }
            _ => std::fs::remove_file(own(&world).join("ledger.sqlite")).unwrap(),
        }
        good(&world).await;
        assert_eq!(world.phone.bytes_resumed(), 0, "{harm}");
        judge(&world);
        verified(&world).await;
    }
}

/// A forced run has nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_run_goes_on_with_nothing() {
    let world = World::new(DataSetSpec::mixed(664, 100, 3_000_000)).await;
    good(&world).await;
    world.phone.mutate(Mutation::Change { count: 100 });
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 2_000_000 }));
    assert_eq!(world.back_up_once().await.0, 1);
    world.phone.plug_in();
    world.phone.set_fault(None);
    let output = world.backstay(&["backup", "--once", "--full"]).await;
    assert!(output.status.success());
    assert_eq!(world.phone.bytes_resumed(), 0);
    judge(&world);
}

/// A full backup over a bad cable ends at last, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_run_that_broke_off_goes_on() {
    let world = World::new(DataSetSpec::mixed(665, 100, 3_000_000)).await;
    good(&world).await;
    for arguments in [&["backup", "--once", "--full"][..], &["backup", "--once"]] {
        world.phone.set_fault(Some(Fault::UnplugAt { bytes: 2_000_000 }));
        let output = world.backstay(&["backup", "--once", "--full"]).await;
        assert_eq!(output.status.code(), Some(1));
        world.phone.plug_in();
        world.phone.set_fault(None);
        let output = world.backstay(arguments).await;
        assert!(output.status.success(), "{}", backstay_tests::world::text(&output));
        assert!(world.phone.bytes_resumed() > 1_000_000, "{arguments:?}: {}", world.phone.bytes_resumed());
        judge(&world);
        verified(&world).await;
    }
}

/// A run that did not come so far as to ask the phone leaves what was there.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_asked_nothing_loses_nothing() {
    let world = World::new(DataSetSpec::mixed(666, 100, 3_000_000)).await;
    world.phone.set_backup_password(Some(PASSWORD));
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 2_000_000 }));
    assert_eq!(back_up(&world).await.0, 1);
    world.phone.plug_in();
    world.phone.set_fault(None);
    // No password is given.
    let output = world.backstay(&["backup", "--once", "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", backstay_tests::world::text(&output));
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{object}");
    assert!(world.phone.bytes_resumed() > 1_000_000, "{}", world.phone.bytes_resumed());
    judged(&world, &world.latest()).unwrap();
}

/// Also beside files that the phone can't read: what stands in for them is known as such in the next run.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_can_not_be_read_are_no_hindrance() {
    let world = World::new(DataSetSpec::mixed(667, 100, 3_000_000)).await;
    let (index, file) = super::file(&world, super::ordinary);
    world.phone.set_unreadable(vec![(index, backstay_tests::phone::Unreadable::default())]);
    for bytes in [2_000_000, 500_000] {
        world.phone.set_fault(Some(Fault::UnplugAt { bytes }));
        assert_eq!(world.back_up_once().await.0, 1);
        world.phone.plug_in();
    }
    world.phone.set_fault(None);
    let object = good(&world).await;
    assert!(world.phone.bytes_resumed() > 1_000_000, "{}", world.phone.bytes_resumed());
    assert_eq!(object["receipt"]["warning"]["id"], "device-files-unreadable", "{object}");
    // By its path, not by its name in the backup, though the phone named it in an earlier try.
    let path = object["receipt"]["warning"]["evidence"]["path"].as_str().unwrap();
    assert!(path.ends_with(&*file.relative_path), "{object}");
    assert!(object["receipt"]["doubtful"].to_string().contains(&*file.relative_path), "{object}");
    verified(&world).await;
}

/// Files are in their places when the link breaks; one of them comes again in the next run and is lost on the phone's side.
#[tokio::test(flavor = "multi_thread")]
async fn p2_a_file_that_came_again_and_was_lost_is_found() {
    let world = World::new(DataSetSpec::mixed(668, 500, 3_000_000)).await;
    good(&world).await;
    world.phone.mutate(Mutation::Change { count: 500 });
    world.phone.during_backups(Moment::BetweenMoves(3), Mishap::Closed);
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 1, "{object}");
    world.phone.clear_mishaps();
    world.phone.mutate(Mutation::Change { count: 500 });
    let data = world.phone.data();
    // Moves go in the order of the files: an early one is in its place.
    let index = data.files().position(super::ordinary).expect("such a file");
    world.phone.set_fault(Some(Fault::MoveLost { index }));
    let object = super::failure(&world, "backup-verify-failed").await;
    assert!(object.to_string().contains(&*data.file(index).unwrap().relative_path), "{object}");
    world.phone.set_fault(None);
    good(&world).await;
    judge(&world);
}
