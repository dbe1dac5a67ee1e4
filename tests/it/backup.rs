//! `backstay backup --once`: the bytes, the transaction, and what a pulled cable leaves behind.

use backstay_tests::{
    phone::{Fault, PasscodeAnswer, dataset::DataSetSpec},
    random::{Random, seed},
    world::{World, frozen, text},
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_backup_that_other_programs_restore() {
    let world = World::new(DataSetSpec::mixed(21, 1000, 60_000_000)).await;
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["event"]), (0, &"done".into()), "{object}");
    world.judge();
    assert_eq!(object["receipt"]["files"], world.phone.data().file_count());
    assert_eq!(object["receipt"]["bytes"], world.phone.data().total_bytes());

    let pymobiledevice3 = std::env::var("BACKSTAY_PYMOBILEDEVICE3").expect("BACKSTAY_PYMOBILEDEVICE3");
    let udid = world.phone.udid().to_owned();
    for (program, address, arguments) in [
        ("idevicebackup2", world.usbmuxd.address(), vec!["-u", &udid, "restore", "--system", "--no-reboot"]),
        (
            pymobiledevice3.as_str(),
            world.usbmuxd.socket_path().display().to_string(),
            vec!["backup2", "restore", "--system", "--no-reboot"],
        ),
    ] {
        world.phone.set_restored(Default::default());
        let mut command = world.command(program);
        command.args(&arguments).arg(world.root()).env("USBMUXD_SOCKET_ADDRESS", address);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{program}: {}", text(&output));
        let restored = world.phone.restored().expect(program);
        restored.compare(&world.phone.data()).unwrap();
        let info = restored.info.as_ref().expect("Info.plist");
        assert_eq!(info.get("Target Identifier").and_then(plist::Value::as_string), Some(&*udid));
        assert!(info.get("Applications").and_then(plist::Value::as_dictionary).is_some_and(|apps| !apps.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_backup_brings_only_what_changed_and_keeps_the_old_one() {
    let world = World::new(DataSetSpec::mixed(22, 1000, 60_000_000)).await;
    world.back_up_once().await;
    let (first, first_data) = (frozen(&world.latest()), world.phone.data());
    world.change();
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    world.judge();
    let files = object["receipt"]["files_received"].as_u64().unwrap();
    assert!((30..=60).contains(&files), "{files} files came for 20 changed and 30 new ones");

    let history = world.root().join(".backstay").join(world.phone.udid()).join("history");
    let snapshots: Vec<_> = std::fs::read_dir(history).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(snapshots.len(), 1);
    let old = snapshots[0].join(world.phone.udid());
    assert_eq!(frozen(&old), first, "the old snapshot is as it was, to the byte");
    backstay_tests::oracle::check_backup(&old, &first_data).unwrap();
}

/// A backup by another program is taken over as the first snapshot, not written into.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_program_is_adopted() {
    let world = World::new(DataSetSpec::mixed(23, 300, 5_000_000)).await;
    let mut command = world.command("idevicebackup2");
    let output = command.args(["-u", world.phone.udid(), "backup"]).arg(world.root()).output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let theirs = frozen(&world.latest());
    world.change();
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    world.judge();
    assert!(object["receipt"]["files_received"].as_u64().unwrap() < 70, "it went on from their backup: {object}");
    let history = world.root().join(".backstay").join(world.phone.udid()).join("history");
    let snapshot = std::fs::read_dir(history).unwrap().next().unwrap().unwrap().path();
    assert_eq!(frozen(&snapshot.join(world.phone.udid())), theirs);
}

/// P1: the cable comes out at 20 places, spread over the whole stream drawn by lot.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_pulled_cable_harms_nothing_at_20_random_bytes() {
    let mut random = Random::new(seed());
    let world = World::new(DataSetSpec::mixed(24, 400, 4_000_000)).await;
    world.back_up_once().await;
    for round in 0..20 {
        // What there is to send: everything has changed, so that the stream is long.
        world.phone.mutate(backstay_tests::phone::dataset::Mutation::Change { count: 400 });
        let before = frozen(&world.latest());
        let bytes = 200 + random.below(4_000_000);
        world.phone.set_fault(Some(Fault::UnplugAt { bytes }));
        let (code, object) = world.back_up_once().await;
        assert_eq!(code, 1, "round {round}, byte {bytes}: {object}");
        assert_eq!(object["failure"]["id"], "usb-disconnected", "round {round}, byte {bytes}: {object}");
        assert_eq!(frozen(&world.latest()), before, "round {round}, byte {bytes}");
        world.phone.plug_in();
        world.phone.set_fault(None);
        let (code, object) = world.back_up_once().await;
        assert_eq!(code, 0, "round {round}, byte {bytes}: {object}");
        world.judge();
    }
}

/// What a first backup received before the cable came out is no backup, and the next run makes it one.
#[tokio::test(flavor = "multi_thread")]
async fn p2_an_interrupted_first_backup_is_no_backup() {
    let world = World::new(DataSetSpec::mixed(25, 300, 4_000_000)).await;
    for bytes in [1000, 500_000, 3_900_000] {
        world.phone.set_fault(Some(Fault::UnplugAt { bytes }));
        let (code, object) = world.back_up_once().await;
        assert_eq!((code, &object["failure"]["id"]), (1, &"usb-disconnected".into()), "{object}");
        assert!(!world.latest().exists());
        world.phone.plug_in();
    }
    world.phone.set_fault(None);
    assert_eq!(world.back_up_once().await.0, 0);
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passcode_is_asked_for_and_told() {
    let world = World::new(DataSetSpec::uniform(26, 50, 1000)).await;
    world.phone.set_fault(Some(Fault::PasscodeSheet { answer: PasscodeAnswer::EnteredWhenTold }));
    let mut command = world.command(backstay_tests::binaries::binary("backstay"));
    command.arg("--root").arg(world.root()).args(["backup", "--once", "--json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().expect("it tells before it ends").contains("waiting-for-passcode") {}
    world.phone.enter_passcode();
    while lines.next_line().await.unwrap().is_some() {}
    assert!(child.wait().await.unwrap().success());

    world.phone.set_fault(Some(Fault::PasscodeSheet { answer: PasscodeAnswer::Cancelled }));
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"passcode-not-entered".into()), "{object}");
    assert_eq!(object["evidence"]["code"], 208);
}

/// What a script gets, and what a person gets.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_with_cause_and_remedy() {
    let world = World::new(DataSetSpec::uniform(27, 20, 100)).await;
    world.phone.set_fault(Some(Fault::FinalError { code: 202, text: "Cancelled on the phone".into() }));
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 1);
    assert_eq!(object["failure"]["id"], "cancelled-on-device");
    assert_eq!(object["evidence"]["code"], 202);
    assert!(object["steps"].as_array().is_some_and(|steps| !steps.is_empty()));
    assert!(object["actions"].as_array().is_some_and(|actions| actions.contains(&"retry".into())), "{object}");

    let output = world.backstay(&["backup", "--once"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("The backup was cancelled on the iPhone") && told.contains("\n  1. "), "{told}");

    assert_eq!(world.backstay(&["backup", "--nonsense"]).await.status.code(), Some(2));
    assert_eq!(world.backstay(&["backup", "--once", "nobody"]).await.status.code(), Some(2));
    assert_eq!(world.backstay(&["status"]).await.status.code(), Some(3));
    world.phone.unplug();
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"device-not-found".into()));
    world.usbmuxd.stop().await;
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"usbmuxd-not-running".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_does_not_trust_us_is_paired() {
    use backstay_tests::phone::lockdownd::Dialog;
    let world = World::unpaired(DataSetSpec::uniform(28, 20, 100)).await;
    world.phone.plug_in();
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"trust-pending".into()), "{object}");

    world.phone.trust().dialog = Dialog::Denied;
    let output = world.backstay(&["pair"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("doesn't trust this computer"), "{}", text(&output));

    world.phone.trust().dialog = Dialog::Accepts;
    let output = world.backstay(&["pair"]).await;
    assert!(output.status.success(), "{}", text(&output));
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "the phone, which is strict with certificates, takes our pairing: {object}");
    world.judge();
}

/// "Reset Location & Privacy": the phone forgets every computer, and this one notices.
#[tokio::test(flavor = "multi_thread")]
async fn lost_trust_is_told_and_can_be_won_again() {
    let world = World::new(DataSetSpec::uniform(29, 20, 100)).await;
    world.phone.trust().forget_all();
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"pairing-lost".into()), "{object}");
    let output = world.backstay(&["phones"]).await;
    assert!(text(&output).contains("not trusted yet"), "{}", text(&output));
    assert!(world.backstay(&["pair"]).await.status.success());
    assert_eq!(world.back_up_once().await.0, 0);
}

/// P1: the drive is unplugged, and its mount point is an empty folder on the system's disk.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_mount_point_is_not_the_drive() {
    let world = World::new(DataSetSpec::uniform(34, 20, 100)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    let away = world.folder.path().join("unplugged");
    std::fs::rename(world.root(), &away).unwrap();
    for mount_point in [false, true] {
        if mount_point {
            std::fs::create_dir(world.root()).unwrap();
        }
        let (code, object) = world.back_up_once().await;
        assert_eq!((code, &object["failure"]["id"]), (1, &"backup-drive-missing".into()), "{object}");
        assert_eq!(world.root().read_dir().map_or(0, Iterator::count), 0, "nothing was written to it");
    }
    std::fs::remove_dir(world.root()).unwrap();
    std::fs::rename(away, world.root()).unwrap();
    assert_eq!(world.back_up_once().await.0, 0);
    world.judge();
}

/// The phone reckons beforehand that there is too little room: told with what it needs and what is there.
#[tokio::test(flavor = "multi_thread")]
async fn too_little_room_by_the_phones_reckoning() {
    let world = World::new(DataSetSpec::uniform(35, 50, 100_000)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    let before = frozen(&world.latest());
    world.change();
    world.phone.set_fault(Some(Fault::SpaceNeeded { bytes: 1 << 50 }));
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"host-disk-full".into()), "{object}");
    let (needed, free) = (&object["evidence"]["bytes_needed"], &object["evidence"]["bytes_free"]);
    assert!(needed.as_u64() > free.as_u64() && needed.as_u64() >= Some(1 << 50), "{object}");
    assert_eq!(frozen(&world.latest()), before);
}

/// A real file system that is full in mid-transfer. It runs out of inodes, since the phone asks for room in bytes and
/// would not begin otherwise; the errno is the same.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_disk_that_fills_up_in_mid_transfer() {
    let world = World::new(DataSetSpec::uniform(36, 100, 1000)).await;
    let (root, latest) = (world.root().display().to_string(), world.latest().display().to_string());
    let backstay = backstay_tests::binaries::binary("backstay").display().to_string();
    // In a mount namespace of its own, so that nothing is left behind.
    let script = format!(
        "set -e; hash() {{ find '{latest}' -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum; }}
         back_up() {{ '{backstay}' --root '{root}' backup --once --json | tail -n 1; }}
         mount -t tmpfs -o nr_inodes=900,size=1g tmpfs '{root}'
         back_up; hash; read -r go; back_up; hash; mount -o remount,nr_inodes=9000 '{root}'; back_up; hash"
    );
    let mut command = world.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let mut child = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = async || lines.next_line().await.unwrap().expect("the script goes on");
    let object = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap();

    assert_eq!(object(line().await)["event"], "done");
    let good = line().await;
    world.phone.mutate(backstay_tests::phone::dataset::Mutation::Add { count: 1000, size: 1000 });
    child.stdin.take().unwrap().write_all(b"go\n").await.unwrap();
    let failed = object(line().await);
    assert_eq!(
        (&failed["failure"]["id"], &failed["evidence"]["code"]),
        (&"host-disk-full".into(), &28.into()),
        "{failed}"
    );
    assert_eq!(line().await, good, "the last good backup is untouched");
    let done = object(line().await);
    assert_eq!(
        (&done["event"], &done["receipt"]["files"]),
        (&"done".into(), &1100.into()),
        "with room it succeeds: {done}"
    );
    assert_ne!(line().await, good);
    assert!(child.wait().await.unwrap().success());
}
