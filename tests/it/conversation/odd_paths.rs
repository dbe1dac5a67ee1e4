//! A path outside the phone's folder: nothing is done about it, and the run goes on.

use std::fs;

use backstay_tests::{
    phone::{Event, Fault, Unreadable, dataset::DataSetSpec},
    world::World,
};

use super::{failure, good, judge};

#[tokio::test(flavor = "multi_thread")]
async fn some_odd_paths_end_no_run() {
    let world = World::new(DataSetSpec::mixed(631, 60, 300_000)).await;
    fs::write(world.folder.path().join("odd"), "mine").unwrap();
    world.phone.set_shrugs_at_refusals(true);
    world.phone.set_odd_paths(10);
    good(&world).await;
    judge(&world);
    world.phone.set_odd_paths(0);
    let (mine, outside) = (world.folder.path().join("odd"), world.root().join("odd").display().to_string());
    for (fault, refused) in [
        (Fault::HostilePath { device: "/.b/6/x".into(), file: "/.b/6/Containers/x".into() }, false),
        (Fault::HostilePath { device: String::new(), file: "../../../odd".into() }, false),
        (Fault::HostileMove { from: "../odd".into(), to: format!("{}/odd", world.phone.udid()) }, true),
        (Fault::HostileRemove { path: "../../odd".into() }, true),
        (Fault::HostileDownload { path: outside }, true),
    ] {
        let what = format!("{fault:?}");
        world.phone.set_fault(Some(fault));
        world.change();
        let mut events = world.phone.events();
        good(&world).await;
        judge(&world);
        let mut answers = Vec::new();
        while let Ok(event) = events.try_recv() {
            if let Event::HostileAnswered { status, bytes } = event {
                answers.push((status != 0, bytes));
            }
        }
        assert_eq!(answers, [(refused, 0)], "{what}");
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine", "{what}");
        assert!(!world.root().join("odd").exists() && !world.root().join(".b").exists(), "{what}");
    }
}

/// One odd path explains nothing that has a reason of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_odd_path_hides_no_other_reason() {
    let world = World::new(DataSetSpec::mixed(633, 60, 300_000)).await;
    world.phone.set_shrugs_at_refusals(true);
    world.phone.set_odd_paths(1);
    let (index, _) = super::file(&world, super::ordinary);
    world.phone.set_unreadable(vec![(index, Unreadable { fatal: true, ..Unreadable::default() })]);
    failure(&world, "device-io-error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_keeps_naming_them_is_refused() {
    let world = World::new(DataSetSpec::mixed(632, 60, 300_000)).await;
    good(&world).await;
    world.change();
    world.phone.set_shrugs_at_refusals(true);
    world.phone.set_odd_paths(5000);
    let object = failure(&world, "device-data-refused").await;
    assert!(object["evidence"]["text"].as_str().is_some_and(|text| text.contains("phone's folder")), "{object}");
    world.phone.set_odd_paths(0);
    good(&world).await;
    judge(&world);
}
