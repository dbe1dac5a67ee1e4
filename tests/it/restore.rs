//! `backstay extract` and `backstay restore`: what was backed up comes back, byte by byte, and nothing else changes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::SystemTime,
};

use backstay_tests::{
    phone::{
        Event, Fault, Phone, PhoneSpec,
        dataset::{DataFile, DataSet, DataSetSpec},
    },
    world::{World, frozen, text},
};
use serde_json::Value;

/// A phone with Find My off, as a restore wants it, and one backup of it.
async fn backed_up(data: DataSetSpec) -> World {
    let world = World::new(data).await;
    find_my(&world.phone, false);
    assert_eq!(world.back_up_once().await.0, 0);
    world
}

pub(crate) fn find_my(phone: &Phone, on: bool) {
    phone.set_lockdown_value("com.apple.fmip", "IsAssociated", Some(on.into()));
}

/// `backstay --root ROOT ...`
pub(crate) async fn backstay(world: &World, arguments: &[&str]) -> Output {
    let root = world.root();
    world.backstay(&[&["--root", root.to_str().unwrap()], arguments].concat()).await
}

/// The exit code and the last object.
pub(crate) async fn backstay_json(world: &World, arguments: &[&str]) -> (i32, Value) {
    let output = backstay(world, &[arguments, &["--json"]].concat()).await;
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
    let object = serde_json::from_str(&last).unwrap_or_else(|_| panic!("no object: {}", text(&output)));
    (output.status.code().expect("killed"), object)
}

pub(crate) async fn restore(world: &World, arguments: &[&str]) -> (i32, Value) {
    backstay_json(world, &[&["restore", world.phone.udid(), "--yes"], arguments].concat()).await
}

pub(crate) fn destination(world: &World) -> PathBuf {
    world.folder.path().join("taken out")
}

/// Names of plain files; links are neither listed nor followed.
fn files_below(destination: &Path) -> BTreeSet<String> {
    let (mut folders, mut found) = (vec![destination.to_owned()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.insert(path.strip_prefix(destination).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// Everything below the root but the lock file, which names the last process that held it.
fn backups(world: &World) -> std::collections::BTreeMap<String, (u64, blake3::Hash)> {
    let mut backups = frozen(&world.root());
    backups.retain(|name, _| !name.ends_with("/lock"));
    backups
}

/// Where a file is that may have a name which no disk takes: the only one of its folder that begins and ends so.
fn near_name(destination: &Path, name: &str) -> String {
    let (folder, own) = name.rsplit_once('/').unwrap();
    if own.len() <= 255 {
        return name.to_owned();
    }
    let beginning = &own[..own.floor_char_boundary(200)];
    let end = own.rsplit_once('.').map_or("", |(_, extension)| extension);
    let entries = fs::read_dir(destination.join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let near: Vec<String> = names.filter(|name| name.starts_with(beginning) && name.ends_with(end)).collect();
    assert!(near.len() == 1 && near[0].len() <= 255, "{own}: {near:?}");
    format!("{folder}/{}", near[0])
}

/// The destination holds these files of the phone and no others.
pub(crate) fn judge<'a>(destination: &Path, files: impl Iterator<Item = &'a DataFile>) {
    let mut expected = BTreeSet::new();
    for file in files {
        let name = near_name(destination, &format!("{}/{}", file.domain, file.relative_path));
        let path = destination.join(&name);
        assert!(fs::read(&path).unwrap() == file.content(), "{name} differs");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let seconds = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds, file.mtime.unsigned_abs(), "{name}");
        expected.insert(name);
    }
    assert_eq!(files_below(destination), expected);
}

/// Where a file of the phone is in a tree.
pub(crate) fn payload(tree: &Path, file: &DataFile) -> PathBuf {
    tree.join(file.file_id.path())
}

pub(crate) fn snapshot_ids(world: &World) -> Vec<String> {
    let history = world.root().join(".backstay").join(world.phone.udid()).join("history");
    let mut ids: Vec<_> =
        fs::read_dir(history).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_a_folder_and_a_domain_are_taken_out() {
    let world = backed_up(DataSetSpec::mixed(71, 300, 6_000_000)).await;
    let (data, before) = (world.phone.data(), frozen(&world.latest()));
    let whole = "CameraRollDomain/Media/DCIM/100APPLE/IMG_0001.HEIC";
    for (what, holds) in [
        (whole, (|name: &str| name.ends_with("/IMG_0001.HEIC")) as fn(&str) -> bool),
        ("IMG_0001.HEIC", |name| name.ends_with("/IMG_0001.HEIC")),
        ("100APPLE/IMG_0002.HEIC", |name| name.ends_with("/IMG_0002.HEIC")),
        ("CameraRollDomain/Media/DCIM", |name| name.starts_with("CameraRollDomain/Media/DCIM/")),
        ("DCIM/", |name| name.starts_with("CameraRollDomain/Media/DCIM/")),
        ("CameraRollDomain", |name| name.starts_with("CameraRollDomain/")),
        ("com.example.notes", |name| name.starts_with("AppDomain-com.example.notes/")),
        ("HomeDomain", |name| name.starts_with("HomeDomain/")),
    ] {
        let to = destination(&world);
        let output = backstay(&world, &["extract", world.phone.udid(), what, to.to_str().unwrap()]).await;
        assert!(output.status.success(), "{what}: {}", text(&output));
        let name = |file: &DataFile| format!("{}/{}", file.domain, file.relative_path);
        judge(&to, data.files().filter(|file| holds(&name(file))));
        fs::remove_dir_all(&to).unwrap();
    }
    assert_eq!(frozen(&world.latest()), before, "the backup is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_unclearly_is_asked_back_and_a_list_takes_nothing_out() {
    let world = backed_up(DataSetSpec::mixed(72, 60, 500_000)).await;
    let (to, udid) = (destination(&world), world.phone.udid());
    let output = backstay(&world, &["extract", udid, "Library", to.to_str().unwrap()]).await;
    assert!(output.status.success(), "one folder of that name: {}", text(&output));
    fs::remove_dir_all(&to).unwrap();
    let output = backstay(&world, &["extract", udid, ".HEIC", to.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("CameraRollDomain/Media/DCIM/100APPLE/IMG_"), "{}", text(&output));
    let output = backstay(&world, &["extract", udid, "no such thing", to.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));

    let (code, object) = backstay_json(&world, &["extract", udid, "CameraRollDomain", "--list"]).await;
    let data = world.phone.data();
    let pictures: Vec<_> = data.files().filter(|file| &*file.domain == "CameraRollDomain").collect();
    assert_eq!((code, &object["files"]), (0, &pictures.len().into()), "{object}");
    assert_eq!(object["bytes"], pictures.iter().map(|file| file.size).sum::<u64>());
    assert!(!to.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_is_taken_out_as_it_was() {
    let world = backed_up(DataSetSpec::mixed(73, 200, 2_000_000)).await;
    let first = world.phone.data();
    world.change();
    assert_eq!(world.back_up_once().await.0, 0);
    let (id, to) = (snapshot_ids(&world).remove(0), destination(&world));
    let arguments = ["extract", world.phone.udid(), "--snapshot", &id, "HomeDomain", to.to_str().unwrap()];
    let output = backstay(&world, &arguments).await;
    assert!(output.status.success(), "{}", text(&output));
    judge(&to, first.files().filter(|file| &*file.domain == "HomeDomain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_stays_unless_it_is_told_otherwise() {
    let world = backed_up(DataSetSpec::mixed(74, 60, 500_000)).await;
    let (to, data) = (destination(&world), world.phone.data());
    let own = to.join("CameraRollDomain/Media/DCIM/100APPLE/IMG_0001.HEIC");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "the person's own").unwrap();
    let arguments = ["extract", world.phone.udid(), "CameraRollDomain", to.to_str().unwrap()];
    let output = backstay(&world, &arguments).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("IMG_0001.HEIC"), "{}", text(&output));
    assert_eq!(fs::read_to_string(&own).unwrap(), "the person's own");
    let output = backstay(&world, &[&arguments[..], &["--overwrite"]].concat()).await;
    assert!(output.status.success(), "{}", text(&output));
    judge(&to, data.files().filter(|file| &*file.domain == "CameraRollDomain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_named_and_the_rest_comes() {
    let world = backed_up(DataSetSpec::mixed(75, 60, 500_000)).await;
    let data = world.phone.data();
    let pictures: Vec<_> = data.files().filter(|file| &*file.domain == "CameraRollDomain").collect();
    fs::remove_file(payload(&world.latest(), pictures[3])).unwrap();
    fs::write(payload(&world.latest(), pictures[5]), "short").unwrap();
    let to = destination(&world);
    let output = backstay(&world, &["extract", world.phone.udid(), "CameraRollDomain", to.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for damaged in [pictures[3], pictures[5]] {
        assert!(text(&output).contains(&*damaged.relative_path), "{}", text(&output));
    }
    let whole = pictures.iter().enumerate().filter(|(index, _)| ![3, 5].contains(index)).map(|(_, file)| *file);
    judge(&to, whole);
    fs::remove_dir_all(&to).unwrap();
    let arguments = ["extract", world.phone.udid(), "CameraRollDomain", to.to_str().unwrap()];
    let (code, object) = backstay_json(&world, &arguments).await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"backup-damaged".into()), "{object}");
    assert_eq!(object["evidence"]["files"], 2, "{object}");
}

/// A manifest that wants to write elsewhere, and links at the destination that lead elsewhere.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_manifest_does_not_leave_the_destination() {
    let world = backed_up(DataSetSpec::uniform(76, 12, 1000)).await;
    let data = world.phone.data();
    let names = [
        ("HomeDomain", "../../../escaped"),
        ("HomeDomain", "Library/../../../escaped"),
        ("HomeDomain", "/escaped"),
        ("..", "escaped"),
        ("../..", "escaped"),
        ("HomeDomain", "a//escaped"),
        ("HomeDomain", "linked/escaped"),
        ("HomeDomain", "link to a file"),
    ];
    let database = rusqlite::Connection::open(world.latest().join("Manifest.db")).unwrap();
    for (file, (domain, path)) in data.files().zip(names) {
        let update = "UPDATE Files SET domain = ?1, relativePath = ?2 WHERE fileID = ?3";
        assert_eq!(database.execute(update, (domain, path, file.file_id.hex())).unwrap(), 1);
    }
    drop(database);
    let (to, elsewhere) = (destination(&world), world.folder.path().join("elsewhere"));
    for folder in [&elsewhere, &to.join("HomeDomain")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(elsewhere.join("victim"), "untouched").unwrap();
    std::os::unix::fs::symlink(&elsewhere, to.join("HomeDomain/linked")).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("victim"), to.join("HomeDomain/link to a file")).unwrap();
    let elsewhere_before = frozen(&elsewhere);
    for what in ["HomeDomain", "..", "../.."] {
        for more in [&[][..], &["--overwrite"]] {
            let arguments = ["extract", world.phone.udid(), what, to.to_str().unwrap()];
            let output = backstay(&world, &[&arguments[..], more].concat()).await;
            assert!(!output.status.success(), "{what}: {}", text(&output));
        }
    }
    assert_eq!(frozen(&elsewhere), elsewhere_before);
    let mut above = world.folder.path().to_owned();
    loop {
        assert!(!above.join("escaped").exists(), "{}", above.display());
        if !above.pop() {
            break;
        }
    }
    let taken: Vec<_> = files_below(&to).into_iter().filter(|name| name.contains("escaped")).collect();
    assert!(taken.is_empty(), "{taken:?}");
    let ordinary = files_below(&to).into_iter().filter(|name| name.starts_with("HomeDomain/Library/Uniform/"));
    assert_eq!(ordinary.count(), 12 - names.len(), "the rest came");
}

pub(crate) async fn restored_is(world: &World, data: &DataSet, arguments: &[&str]) {
    let mut events = world.phone.events();
    let before = backups(world);
    let (code, object) = restore(world, arguments).await;
    assert_eq!((code, &object["event"]), (0, &"done".into()), "{object}");
    assert!(object["files_sent"].as_u64().unwrap() >= data.file_count() as u64, "{object}");
    loop {
        if let Event::RestoreEnded { code } = events.recv().await.unwrap() {
            assert_eq!(code, 0);
            break;
        }
    }
    world.phone.restored().unwrap().compare(data).unwrap();
    assert!(backups(world) == before, "the backups are as they were");
    assert!(!world.phone.media().sync_is_locked());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_and_an_older_snapshot_are_restored() {
    let world = backed_up(DataSetSpec::mixed(77, 600, 20_000_000)).await;
    let first = world.phone.data();
    world.change();
    assert_eq!(world.back_up_once().await.0, 0);
    restored_is(&world, &world.phone.data(), &[]).await;
    let options = &world.phone.restored().unwrap().options;
    let option = |key: &str| options.get(key).and_then(plist::Value::as_boolean);
    for (key, value) in [
        ("RestoreSystemFiles", true),
        ("RestorePreserveSettings", false),
        ("RemoveItemsNotRestored", true),
        ("RestoreShouldReboot", true),
        ("RestoreDontCopyBackup", true),
    ] {
        assert_eq!(option(key), Some(value), "{key}");
    }
    let apps = world.phone.media().get("iTunesRestore/RestoreApplications.plist").expect("the list of apps");
    let apps: plist::Dictionary = plist::from_bytes(&apps).unwrap();
    assert!(!apps.is_empty());

    let id = snapshot_ids(&world).remove(0);
    let kept = ["--snapshot", &id, "--keep-settings", "--keep-others", "--no-restart", "--no-apps"];
    restored_is(&world, &first, &kept).await;
    let restored = world.phone.restored().unwrap();
    let option = |key: &str| restored.options.get(key).and_then(plist::Value::as_boolean);
    assert_eq!(option("RestorePreserveSettings"), Some(true));
    assert_eq!((option("RemoveItemsNotRestored"), option("RestoreShouldReboot")), (Some(false), Some(false)));
    assert_eq!(world.back_up_once().await.0, 0, "the lock is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_onto_another_phone() {
    let world = backed_up(DataSetSpec::mixed(78, 200, 2_000_000)).await;
    let other = Phone::new(PhoneSpec::numbered(2, DataSetSpec::empty(1)));
    world.usbmuxd.add(&other);
    other.pair_with(&world.usbmuxd).unwrap();
    other.plug_in();
    find_my(&other, false);
    let (code, object) = restore(&world, &["--to", other.udid()]).await;
    assert_eq!((code, &object["event"]), (0, &"done".into()), "{object}");
    other.restored().unwrap().compare(&world.phone.data()).unwrap();
    assert!(world.phone.restored().is_none(), "the phone that was backed up was left alone");

    other.set_lockdown_value("com.apple.disk_usage", "AmountRestoreAvailable", Some(1_000_u64.into()));
    let (code, object) = restore(&world, &["--to", other.udid()]).await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"restore-iphone-too-small".into()), "{object}");
    assert_eq!(object["evidence"]["bytes_free"], 1000, "{object}");
}

/// Each is found out before the phone is asked to do anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_fail_is_not_begun() {
    let world = backed_up(DataSetSpec::mixed(79, 60, 500_000)).await;
    let before = backups(&world);
    for (domain, key, value, id) in [
        ("com.apple.fmip", "IsAssociated", plist::Value::from(true), "find-my-blocks-restore"),
        ("", "ProductVersion", "17.7.2".into(), "restore-ios-too-old"),
        ("com.apple.disk_usage", "TotalDataCapacity", 1000_u64.into(), "restore-iphone-too-small"),
    ] {
        let usual = world.phone.lockdown_value(domain, key);
        world.phone.set_lockdown_value(domain, key, Some(value));
        let (code, object) = restore(&world, &[]).await;
        assert_eq!((code, &object["failure"]["id"]), (1, &id.into()), "{object}");
        world.phone.set_lockdown_value(domain, key, usual);
    }
    let power = [
        ("ExternalConnected", false.into()),
        ("BatteryIsCharging", false.into()),
        ("BatteryCurrentCapacity", 9_u64.into()),
    ];
    for (key, value) in power {
        world.phone.set_lockdown_value("com.apple.mobile.battery", key, Some(value));
    }
    let (code, object) = restore(&world, &[]).await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"device-battery-low".into()), "{object}");
    let output = backstay(&world, &["restore", world.phone.udid()]).await;
    assert_eq!(output.status.code(), Some(2), "nobody said yes: {}", text(&output));
    world.phone.unplug();
    let (code, object) = restore(&world, &[]).await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"device-not-found".into()), "{object}");
    assert!(world.phone.restored().is_none());
    assert!(backups(&world) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_not_restored() {
    let world = backed_up(DataSetSpec::mixed(80, 60, 500_000)).await;
    let data = world.phone.data();
    fs::remove_file(payload(&world.latest(), data.file(7).unwrap())).unwrap();
    let (code, object) = restore(&world, &[]).await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"backup-damaged".into()), "{object}");
    assert!(world.phone.restored().is_none());
    // The phone misses the file, and the failure names it.
    let (code, object) = restore(&world, &["--anyway"]).await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"backup-damaged".into()), "{object}");
    let path = object["evidence"]["path"].as_str().unwrap();
    assert!(path.ends_with(&data.file(7).unwrap().file_id.hex()), "{object}");
    assert!(world.phone.restored().is_some(), "it was asked for this time");
}

/// P1, of a restore: wherever the cable comes out, the snapshot is as it was and the next restore is whole.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_cable_pulled_in_mid_restore_harms_no_snapshot() {
    let world = backed_up(DataSetSpec::mixed(81, 600, 6_000_000)).await;
    let before = backups(&world);
    for bytes in [300, 2_000, 20_000] {
        world.phone.set_fault(Some(Fault::UnplugAt { bytes }));
        let (code, object) = restore(&world, &[]).await;
        assert_eq!((code, &object["failure"]["id"]), (1, &"usb-disconnected".into()), "{bytes}: {object}");
        assert!(backups(&world) == before, "{bytes}");
        world.phone.set_fault(None);
        world.phone.plug_in();
    }
    restored_is(&world, &world.phone.data(), &[]).await;
}

/// While another Backstay is at work on the phone, neither begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_and_a_backup_keep_out_of_each_others_way() {
    let world = backed_up(DataSetSpec::uniform(82, 60, 1000)).await;
    let lock = world.root().join(".backstay").join(world.phone.udid()).join("lock");
    let held = fs::File::open(lock).unwrap();
    held.try_lock().unwrap();
    let (code, object) = restore(&world, &[]).await;
    assert_eq!((code, &object["failure"]["id"]), (1, &"backup-in-progress-elsewhere".into()), "{object}");
    assert!(world.phone.restored().is_none());
}
