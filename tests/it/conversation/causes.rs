//! What a phone's code alone does not say.

use backstay_tests::{
    phone::{Mishap, Moment, dataset::DataSetSpec},
    world::{World, frozen, text},
};

use super::{failure, good, judge, patience::hurried};

/// A record without an escrow bag, as some programs leave it: once the screen locks, nothing can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_104_after_the_screen_locked_is_the_lock() {
    for (has_bag, id) in [(true, None), (false, Some("device-locked"))] {
        let world = World::new(DataSetSpec::mixed(641, 200, 3_000_000)).await;
        if !has_bag {
            let (records, udid) = (world.usbmuxd.pair_records(), world.phone.udid());
            let mut record: plist::Dictionary = plist::from_bytes(&records.read(udid).unwrap()).unwrap();
            record.remove("EscrowBag").expect("a record of this computer has one");
            let mut bytes = Vec::new();
            plist::to_writer_xml(&mut bytes, &record).unwrap();
            records.save(udid, &bytes).unwrap();
        }
        world.phone.set_batch_bytes(500_000);
        world.phone.set_locks_in_mid_run(true);
        match id {
            Some(id) => drop(failure(&world, id).await),
            None => drop(good(&world).await),
        }
        world.phone.set_locks_in_mid_run(false);
        world.phone.set_locked(false);
        good(&world).await;
        judge(&world);
    }
}

/// After an abrupt end the phone's own snapshot is in the way, until it restarts.
#[tokio::test(flavor = "multi_thread")]
async fn a_3_after_an_abrupt_end_asks_for_a_restart() {
    let world = World::new(DataSetSpec::mixed(642, 60, 300_000)).await;
    good(&world).await;
    let before = frozen(&world.latest());
    world.change();
    world.phone.set_stuck_after_abrupt_end(true);
    world.phone.during_backups(Moment::BeforeManifest, Mishap::Closed);
    failure(&world, "device-agent-died").await;
    world.phone.clear_mishaps();
    let object = failure(&world, "device-snapshot-stuck").await;
    assert!(object["steps"].to_string().to_lowercase().contains("restart"), "{object}");
    assert_eq!(frozen(&world.latest()), before);
    world.phone.restart();
    world.phone.plug_in();
    world.phone.set_locked(false);
    good(&world).await;
    judge(&world);
}

/// The person ends it on the phone; nothing more of it is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_on_the_phone_ends_the_run() {
    let world = World::new(DataSetSpec::mixed(643, 60, 300_000)).await;
    world.phone.during_backups(Moment::BeforeManifest, Mishap::Silence { for_time: std::time::Duration::MAX });
    let mut events = world.phone.events();
    let backup = tokio::spawn({
        let mut command = world.command(backstay_tests::binaries::binary("backstay"));
        command.arg("--root").arg(world.root()).args(["backup", "--once", "--json"]);
        async move { command.output().await.unwrap() }
    });
    let soon = std::time::Duration::from_secs(60);
    let silent = async { while events.recv().await.unwrap() != backstay_tests::phone::Event::WentSilent {} };
    tokio::time::timeout(soon, silent).await.expect("the phone goes silent");
    world.phone.cancel_on_phone();
    let output = tokio::time::timeout(soon, backup).await.expect("the run ends at once").unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("cancelled-on-device"), "{}", text(&output));
    world.phone.clear_mishaps();
    good(&world).await;
    assert!(world.phone.bytes_resumed() > 100_000, "what came is kept");
    judge(&world);
}

/// The phone gets the number back that it sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_device_link_is_the_phones_own() {
    for version in [[300, 0], [400, 0], [410, 2]] {
        let world = World::new(DataSetSpec::uniform(644, 20, 100)).await;
        world.phone.set_device_link_version(version);
        good(&world).await;
        assert_eq!(world.phone.device_link_answer(), Some(version[0]));
    }
}

/// After a change of its password the service takes the connection and does not greet. Nothing was asked of the phone yet, so
/// that the failure is reported soon, and the backup is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_backup_service_is_told_as_such() {
    let world = World::new(DataSetSpec::mixed(645, 60, 300_000)).await;
    world.phone.set_backup_password(Some(crate::proof::PASSWORD));
    world.phone.set_busy_after_password(true);
    let mut command = world.command("idevicebackup2");
    command.args(["-u", world.phone.udid(), "encryption", "off", crate::proof::PASSWORD]).arg(world.root());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let (code, objects) = hurried(&world, 30, &["backup", "--once"]).await;
    let last = objects.last().unwrap();
    assert_eq!((code, &last["failure"]["id"]), (1, &"device-backup-busy".into()), "{last}");
    assert!((180..200).contains(&last["evidence"]["seconds"].as_u64().unwrap()), "{last}");
    world.phone.backup_service_is_idle();
    good(&world).await;
}
