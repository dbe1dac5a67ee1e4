//! Other people's clients against what real phones do in a session: files that can't be read, broken properties, versions.

use std::fs;

use backstay_tests::{
    oracle,
    phone::{
        Unreadable,
        dataset::{DataSetSpec, FILE_PROVIDER},
    },
    world::text,
};

use super::judged::{World, ended};

/// The phone's own number, as old phones have it; clients answer with it or with 400, and idevicebackup2 takes none above.
const NUMBER: u64 = 300;

/// Both back the phone up though it can't read a file, and leave an empty one in its place; without it the phone would
/// miss it in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_phone_can_not_read_is_an_empty_one() {
    for client in ["idevicebackup2", "pymobiledevice3"] {
        let world = World::new(DataSetSpec::uniform(9, 50, 5000).with_file_provider()).await;
        let data = world.phone.data();
        let index = data.place_of(FILE_PROVIDER.0, FILE_PROVIDER.1).unwrap();
        world.phone.set_unreadable(vec![(index, Unreadable::default())]);
        let mut events = world.phone.events();
        let output = back_up(&world, client, &[]).await;
        assert!(output.status.success() && ended(&mut events).await == 0, "{}", text(&output));
        let place = |index: usize| world.latest().join(data.file(index).unwrap().file_id.path());
        assert_eq!(fs::metadata(place(index)).unwrap().len(), 0, "{}", text(&output));
        assert_eq!(fs::metadata(place(3)).unwrap().len(), 5000);
        // It comes as soon as it can be read.
        world.phone.set_unreadable(Vec::new());
        world.judge(&back_up(&world, client, &[]).await);
    }
}

/// idevicebackup2 never comes out of it, whatever it asks for; pymobiledevice3 looks before and asks for everything by a
/// status of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_manifest_beside_a_finished_status_ends_in_205() {
    let world = World::new(DataSetSpec::uniform(10, 50, 5000)).await;
    world.judge(&world.idevicebackup2(&["backup"]).await);
    oracle::check_finished(&world.latest()).unwrap();
    fs::write(world.latest().join("Manifest.plist"), b"").unwrap();
    for options in [&[][..], &["--full"], &[]] {
        let mut events = world.phone.events();
        let output = back_up(&world, "idevicebackup2", options).await;
        assert_eq!(ended(&mut events).await, 205, "{options:?}: {}", text(&output));
        assert!(!output.status.success() && text(&output).contains("ErrorCode 205"), "{}", text(&output));
        assert!(text(&output).contains("Cannot parse a NULL or zero-length data"), "{}", text(&output));
    }
    for options in [&[][..], &["--full"]] {
        fs::write(world.latest().join("Manifest.plist"), b"").unwrap();
        world.judge(&back_up(&world, "pymobiledevice3", options).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_backs_up_twice_restores_and_answers_a_version() {
    for (client, answer) in [("idevicebackup2", 400), ("pymobiledevice3", NUMBER)] {
        let world = World::new(DataSetSpec::mixed(11, 300, 3_000_000)).await;
        world.phone.set_device_link_version([NUMBER, 0]);
        world.phone.set_batch_bytes(500_000);
        world.judge(&back_up(&world, client, &[]).await);
        assert_eq!(world.phone.device_link_answer(), Some(answer));
        let full = world.bytes_sent();
        world.change();
        world.judge(&back_up(&world, client, &[]).await);
        assert!(world.bytes_sent() < full / 2);
        let mut events = world.phone.events();
        let arguments = ["restore", "--system", "--no-reboot"];
        let output = match client {
            "idevicebackup2" => world.idevicebackup2(&arguments).await,
            _ => world.pymobiledevice3(&arguments).await,
        };
        assert!(output.status.success() && ended(&mut events).await == 0, "{}", text(&output));
        world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();
    }
}

async fn back_up(world: &World, client: &str, options: &[&str]) -> std::process::Output {
    let arguments = [&["backup"], options].concat();
    match client {
        "idevicebackup2" => world.idevicebackup2(&arguments).await,
        _ => world.pymobiledevice3(&arguments).await,
    }
}
