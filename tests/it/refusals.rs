//! What a phone must never do: each is refused with a clear failure, and nothing happens outside its folder.

use std::path::Path;

use backstay_shared::overview::Activity;
use backstay_tests::{
    phone::{Fault, Unreadable, dataset::DataSetSpec},
    world::{World, frozen, watch_memory},
};

struct Outcome {
    code: i32,
    object: serde_json::Value,
    peak_bytes: u64,
}

async fn run(world: &World) -> Outcome {
    let mut command = world.command(backstay_tests::binaries::binary("backstay"));
    command.arg("--root").arg(world.root()).args(["backup", "--once", "--json"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let memory = watch_memory(child.id().unwrap());
    let (output, peak_bytes) = tokio::join!(child.wait_with_output(), memory);
    let output = output.unwrap();
    let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    let object = serde_json::from_str(&last).unwrap_or_else(|_| panic!("no object: {last}"));
    Outcome { code: output.status.code().unwrap(), object, peak_bytes }
}

/// Every name in the world but those that Backstay itself may write: its own of the backups, and the records of
/// conversations.
fn outside(world: &World) -> Vec<String> {
    let (mut folders, mut found) = (vec![world.folder.path().to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_name() == ".backstay" || entry.file_name() == "sessions" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}

async fn refused(fault: Fault, id: &str) {
    let world = World::new(DataSetSpec::mixed(31, 100, 2_000_000)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    let before = frozen(&world.latest());
    let around = outside(&world);
    world.change();
    let told = format!("{fault:?}");
    world.phone.set_fault(Some(fault));
    let outcome = run(&world).await;
    assert_eq!((outcome.code, &outcome.object["failure"]["id"]), (1, &id.into()), "{told}: {}", outcome.object);
    assert_eq!(frozen(&world.latest()), before, "{told}: the last good backup is untouched");
    assert_eq!(outside(&world), around, "{told}: nothing was written outside");
    assert!(!Path::new("/tmp/backstay-escape").exists(), "{told}");
    assert!(outcome.peak_bytes > 0 && outcome.peak_bytes < 100 << 20, "{told}: {} bytes", outcome.peak_bytes);
    world.phone.set_fault(None);
    assert_eq!(world.back_up_once().await.0, 0, "{told}: the next run succeeds");
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_outside_the_phones_folder() {
    let udid = backstay_tests::phone::PhoneSpec::numbered(1, DataSetSpec::empty(0)).udid;
    let outsides = ["/tmp/backstay-escape", "../escape", "escape", "other-phone/Status.plist"];
    let climbing = [format!("{udid}/../escape"), format!("{udid}/ab/../../../escape"), format!("{udid}/a\0b"), udid];
    for path in outsides.into_iter().map(str::to_owned).chain(climbing) {
        refused(Fault::HostilePath { device: String::new(), file: path }, "device-data-refused").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moves_removals_and_downloads_that_leave_the_folder() {
    let status = |world: &str| format!("{world}/Status.plist");
    let udid = backstay_tests::phone::PhoneSpec::numbered(1, DataSetSpec::empty(0)).udid;
    for fault in [
        Fault::HostileMove { from: status(&udid), to: "../../escape".into() },
        Fault::HostileMove { from: "../../home".into(), to: format!("{udid}/home") },
        Fault::HostileRemove { path: "..".into() },
        Fault::HostileRemove { path: format!("{udid}/../../..") },
        Fault::HostileDownload { path: "/etc/passwd".into() },
        Fault::HostileDownload { path: format!("{udid}/../../../../etc/passwd") },
    ] {
        refused(fault, "device-data-refused").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_beyond_reason_and_broken_messages() {
    for fault in [
        Fault::BlockLength { bytes: u32::MAX },
        Fault::NameLength { bytes: u32::MAX },
        Fault::NameLength { bytes: 1 << 20 },
        Fault::MessageLength { bytes: u32::MAX },
        Fault::MessageBroken,
    ] {
        refused(fault, "device-data-refused").await;
    }
}

/// P2: the phone's silence, its "success" and its hanging up are no proof.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_success_is_told_as_none() {
    refused(Fault::DisconnectWithoutStatus, "device-agent-died").await;
    refused(Fault::FileForgotten { index: 3 }, "backup-verify-failed").await;
    refused(
        Fault::FinalError { code: 9, text: "File changed (MBErrorDomain/9)".into() },
        "files-changed-during-backup",
    )
    .await;
    refused(Fault::SpaceNeeded { bytes: 1 << 50 }, "host-disk-full").await;
    refused(Fault::Locked, "device-locked").await;
    let udid = backstay_tests::phone::PhoneSpec::numbered(1, DataSetSpec::empty(0)).udid;
    // Our own file of the backup: without it nobody could say which tree was proved.
    refused(Fault::HostileRemove { path: format!("{udid}/Info.plist") }, "backup-verify-failed").await;
}

/// One unreadable photo does not cost the person the backup of all others, and is not passed over either.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_the_phone_cannot_read_is_named() {
    let world = World::new(DataSetSpec::uniform(32, 30, 5000)).await;
    world.phone.set_fault(Some(Fault::FileUnreadable { index: 7, manner: Unreadable::LEFT_OUT }));
    let (code, object) = world.back_up_once().await;
    let warning = &object["receipt"]["warning"];
    assert_eq!((code, &warning["id"]), (0, &"device-files-unreadable".into()), "{object}");
    assert_eq!((&object["receipt"]["files"], &warning["evidence"]["files"]), (&29.into(), &1.into()));
    let named = warning["evidence"]["path"].as_str().unwrap();
    let data = world.phone.data();
    assert!(named.ends_with(&*data.file(7).unwrap().relative_path), "{named}");

    // The daemon says so too, also after a restart.
    world.phone.unplug();
    let daemon = world.daemon().await;
    let problems = daemon.phone_shows("the phone", |phone| Some(phone.problems.clone())).await;
    assert_eq!(problems.iter().map(|problem| problem.id.slug()).collect::<Vec<_>>(), ["device-files-unreadable"]);
    world.phone.set_fault(None);
    world.phone.plug_in();
    daemon.phone_shows("it is here", |phone| (phone.activity == Activity::Idle).then_some(())).await;
    assert!(world.backstay(&["backup"]).await.status.success());
    world.judge();
    daemon.phone_shows("it is forgotten", |phone| phone.problems.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_nobody_knows_is_answered() {
    let world = World::new(DataSetSpec::uniform(33, 30, 5000)).await;
    world.phone.set_fault(Some(Fault::UnknownMessage));
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "the phone goes on when it gets an answer: {object}");
    world.judge();
}
