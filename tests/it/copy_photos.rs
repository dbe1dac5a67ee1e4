//! The fallback of last resort: photos out of the phone, proved, and what was there before left as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use backstay_tests::{
    binaries::binary,
    phone::{afc::Media, dataset::DataSetSpec},
    world::{World, text, watch_memory},
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

const VIDEO: &str = "101APPLE/IMG_1000.MOV";
const VIDEO_BYTES: u64 = 300_000_000;

async fn world() -> World {
    World::new(DataSetSpec::uniform(71, 3, 100)).await
}

/// What a person has: live photos, edits, folders of folders, names that no computer chose, and an empty file.
fn take_photos(media: &Media) -> Vec<String> {
    let mut paths: Vec<String> = (1..=4).map(|number| format!("100APPLE/IMG_{number:04}.JPG")).collect();
    for number in 5..60_u64 {
        for extension in ["HEIC", "MOV"] {
            let path = format!("100APPLE/IMG_{number:04}.{extension}");
            media.put_made(&format!("DCIM/{path}"), number, number * 4_000);
            paths.push(path);
        }
    }
    for (path, length) in [
        ("100APPLE/IMG_0005.AAE", 700),
        ("102APPLE/Grüße aus Köln 🌉.png", 1_500_000),
        ("102APPLE/what? <a:b> \"c\"|*.jpg", 10),
        ("102APPLE/two\nlines.jpg", 10),
        ("102APPLE/.hidden", 10),
        ("102APPLE/no extension", 10),
        ("102APPLE/empty.jpg", 0),
        (".MISC/Incoming/deep/er/IMG_0001.JPG", 99),
        ("at the top.jpg", 1 << 20),
        ("one byte more.jpg", (1 << 20) + 1),
    ] {
        media.put_made(&format!("DCIM/{path}"), length, length);
        paths.push(path.to_owned());
    }
    paths
}

fn destination(world: &World) -> PathBuf {
    world.folder.path().join("photos")
}

/// Exit code and the objects that were printed.
async fn copy_photos(world: &World) -> (i32, Vec<Value>) {
    let destination = destination(world).display().to_string();
    let output = world.backstay(&["copy-photos", "iPhone", &destination, "--json"]).await;
    let objects =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code().unwrap_or_else(|| panic!("killed: {}", text(&output))), objects)
}

fn files_below(folder: &Path) -> BTreeMap<String, PathBuf> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), entry.path());
            }
        }
    }
    found
}

/// Byte by byte, with nothing beside it.
fn judge(world: &World, paths: &[String]) {
    let there = files_below(&destination(world));
    let mut wanted: Vec<&String> = paths.iter().collect();
    wanted.sort();
    assert_eq!(there.keys().collect::<Vec<_>>(), wanted);
    for (path, file) in there {
        let content = world.phone.media().get(&format!("DCIM/{path}")).unwrap();
        assert!(fs::read(&file).unwrap() == content, "{path} differs");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o77, 0, "{path} can be read by others");
    }
}

/// The photo's own, of 2024.
fn modified(file: &Path) -> SystemTime {
    fs::metadata(file).unwrap().modified().unwrap()
}

fn last(objects: &[Value]) -> &Value {
    objects.last().expect("nothing was printed")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_photo_comes_byte_by_byte_and_never_twice() {
    let world = world().await;
    let paths = take_photos(world.phone.media());
    let (code, told) = copy_photos(&world).await;
    let done = last(&told);
    assert_eq!((code, &done["event"], &done["files"]), (0, &"done".into(), &paths.len().into()), "{done}");
    assert_eq!((&done["existing"], &done["not_copied"], &done["warning"]), (&0.into(), &0.into(), &Value::Null));
    judge(&world, &paths);
    let at = modified(&destination(&world).join("100APPLE/IMG_0001.JPG"));
    let age = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((1_714_550_400..1_714_650_400).contains(&age), "the photo's own time, not {age}");
    let progress = told.iter().rev().find(|object| object["event"] == "progress").unwrap();
    assert_eq!((&progress["files"], &progress["files_total"]), (&paths.len().into(), &paths.len().into()));
    assert_eq!((&progress["bytes"], &progress["bytes_total"]), (&done["bytes"], &done["bytes"]), "{progress}");

    let read = *world.phone.media().bytes_read().borrow();
    assert_eq!(&Value::from(read), &done["bytes"], "each byte came once");
    let (code, told) = copy_photos(&world).await;
    let done = last(&told);
    assert_eq!((code, &done["files"], &done["existing"]), (0, &0.into(), &paths.len().into()), "{done}");
    assert_eq!(*world.phone.media().bytes_read().borrow(), read, "nothing came a second time");

    // A person is told the same in words.
    let output = world.backstay(&["copy-photos", "iPhone", &destination(&world).display().to_string()]).await;
    let told = text(&output);
    assert!(output.status.success() && told.contains(&format!("{} were there", paths.len())), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_pulled_cable_only_the_rest_comes() {
    let world = world().await;
    let mut paths = take_photos(world.phone.media());
    world.phone.media().put_made(&format!("DCIM/{VIDEO}"), 7, VIDEO_BYTES);
    paths.push(VIDEO.to_owned());
    let mut read = world.phone.media().bytes_read();
    let pulled = async {
        read.wait_for(|read| *read > 250_000_000).await.unwrap();
        world.phone.unplug();
    };
    let ((code, told), ()) = tokio::join!(copy_photos(&world), pulled);
    let failed = last(&told);
    assert_eq!((code, &failed["failure"]["id"]), (1, &"photos-copy-failed".into()), "{failed}");
    let why = failed["evidence"]["text"].as_str().unwrap();
    assert!(why.contains("unplugged"), "the cause is told: {why}");
    let before = *read.borrow_and_update();

    world.phone.plug_in();
    let mut command = world.command(binary("backstay"));
    command.args(["copy-photos", "iPhone", "--json"]).arg(destination(&world)).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let memory = tokio::spawn(watch_memory(child.id().unwrap()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut done = Value::Null;
    while let Some(line) = lines.next_line().await.unwrap() {
        done = serde_json::from_str(&line).unwrap();
    }
    assert_eq!((child.wait().await.unwrap().code(), &done["event"]), (Some(0), &"done".into()), "{done}");
    judge(&world, &paths);
    let second = *read.borrow_and_update() - before;
    assert_eq!(Value::from(second), done["bytes"]);
    let whole: u64 = paths.iter().map(|path| fs::metadata(destination(&world).join(path)).unwrap().len()).sum();
    // What was on the way when the cable came out is lost: some pieces on each connection.
    assert!(before + second <= whole + 4 * 3 * (1 << 20), "{before} and {second} bytes came of {whole}");
    let peak = memory.await.unwrap();
    assert!(peak < 150 << 20, "{peak} bytes of memory");
}

/// A part that a crash left has no time of a photo, and may hold anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_crash_is_begun_anew() {
    let world = world().await;
    let paths = take_photos(world.phone.media());
    let folder = destination(&world).join("102APPLE");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Grüße aus Köln 🌉.png.backstay.part"), vec![0; 1_000_000]).unwrap();
    let (code, told) = copy_photos(&world).await;
    assert_eq!(code, 0, "{}", last(&told));
    judge(&world, &paths);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_neither_removed_nor_written_into() {
    let world = world().await;
    let media = world.phone.media();
    let folder = destination(&world).join("100APPLE");
    fs::create_dir_all(&folder).unwrap();
    let photo = |number: u32| media.get(&format!("DCIM/100APPLE/IMG_{number:04}.JPG")).unwrap();
    // Another one of the same name and size; the same one with another time; a link out; and things of one's own.
    fs::write(folder.join("IMG_0001.JPG"), vec![7; photo(1).len()]).unwrap();
    fs::write(folder.join("IMG_0002.JPG"), photo(2)).unwrap();
    let elsewhere = world.folder.path().join("elsewhere");
    fs::write(&elsewhere, "not for photos").unwrap();
    std::os::unix::fs::symlink(&elsewhere, folder.join("IMG_0003.JPG")).unwrap();
    fs::write(folder.join("mine.txt"), "mine").unwrap();
    for round in 0..2 {
        let (code, told) = copy_photos(&world).await;
        let done = last(&told);
        assert_eq!((code, &done["files"]), (0, &[3, 0][round].into()), "{done}");
        assert_eq!(done["existing"], [1, 4][round], "{done}");
        assert_eq!(fs::read(folder.join("IMG_0001.JPG")).unwrap(), vec![7; photo(1).len()]);
        assert_eq!(fs::read(folder.join("IMG_0001 (2).JPG")).unwrap(), photo(1));
        assert_eq!(fs::read(folder.join("IMG_0002.JPG")).unwrap(), photo(2));
        assert_eq!(fs::read(folder.join("IMG_0003 (2).JPG")).unwrap(), photo(3));
        assert_eq!(fs::read(folder.join("IMG_0004.JPG")).unwrap(), photo(4));
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "not for photos");
        assert_eq!(fs::read_to_string(folder.join("mine.txt")).unwrap(), "mine");
        assert_eq!(files_below(&destination(&world)).len(), 7);
    }
    // Another photo under an old name: the phone counts anew after a restore.
    media.put("DCIM/100APPLE/IMG_0004.JPG", b"another".to_vec());
    let before = photo(2);
    let (code, told) = copy_photos(&world).await;
    assert_eq!((code, &last(&told)["files"]), (0, &1.into()), "{}", last(&told));
    assert_eq!(fs::read(folder.join("IMG_0004 (2).JPG")).unwrap(), b"another");
    assert_eq!(fs::read(folder.join("IMG_0002.JPG")).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_elsewhere_are_told_and_the_others_come() {
    let world = world().await;
    let paths = take_photos(world.phone.media());
    let hostile = ["../outside.jpg", "a/b.jpg", "/etc/passwd", "../../../x", "x.backstay.part", "nul\0byte.jpg"];
    world.phone.media().list_too("DCIM/102APPLE", &hostile);
    // And one that is listed and not there, as after a fault of the phone's storage.
    world.phone.media().list_too("DCIM/100APPLE", &["IMG_9999.JPG"]);
    let (code, told) = copy_photos(&world).await;
    let failed = last(&told);
    assert_eq!((code, &failed["failure"]["id"]), (1, &"photos-copy-failed".into()), "{failed}");
    // The one with a NUL is two names by the time it is here.
    assert_eq!(failed["evidence"]["files"], hostile.len() + 1 + 1, "{failed}");
    assert!(failed["evidence"]["path"].as_str().unwrap().starts_with("/DCIM/"), "{failed}");
    let named: Vec<&str> = told.iter().filter_map(|object| object["path"].as_str()).collect();
    assert!(named.contains(&"/DCIM/102APPLE/../outside.jpg") && named.contains(&"/DCIM/100APPLE/IMG_9999.JPG"));
    let incomplete = &told[told.len() - 2];
    assert_eq!((&incomplete["event"], &incomplete["files"]), (&"incomplete".into(), &paths.len().into()));
    judge(&world, &paths);
    assert!(!world.folder.path().join("outside.jpg").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_that_are_only_in_icloud_are_told() {
    let world = world().await;
    let thumbnail = |number: u32| {
        let path = format!("PhotoData/Thumbnails/V2/DCIM/100APPLE/IMG_{number:04}.JPG/5005.JPG");
        world.phone.media().put(&path, b"small".to_vec());
    };
    (1..=13).for_each(thumbnail);
    let (code, told) = copy_photos(&world).await;
    assert_eq!((code, &last(&told)["warning"]), (0, &Value::Null), "nine are strays");
    (14..=20).for_each(thumbnail);
    let (code, told) = copy_photos(&world).await;
    let warning = &last(&told)["warning"];
    assert_eq!((code, &warning["id"]), (0, &"photos-not-on-iphone".into()), "{warning}");
    assert_eq!(warning["evidence"]["files"], 16, "{warning}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_room_is_told_before_anything_comes() {
    let world = world().await;
    world.phone.media().put_made("DCIM/100APPLE/IMG_0005.MOV", 5, 1 << 60);
    let (code, told) = copy_photos(&world).await;
    let failed = last(&told);
    assert_eq!((code, &failed["failure"]["id"]), (1, &"host-disk-full".into()), "{failed}");
    assert!(failed["evidence"]["bytes_needed"].as_u64() > failed["evidence"]["bytes_free"].as_u64());
    assert_eq!(*world.phone.media().bytes_read().borrow(), 0);
}

/// A real file system that is full in mid-copy: of inodes, since room in bytes is looked at beforehand.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_in_mid_copy() {
    let world = world().await;
    let paths = take_photos(world.phone.media());
    let destination = destination(&world);
    fs::create_dir(&destination).unwrap();
    let (backstay, there) = (binary("backstay").display().to_string(), destination.display().to_string());
    let script = format!(
        "copy() {{ '{backstay}' copy-photos iPhone '{there}' --json | tail -n 1; }}
         mount -t tmpfs -o nr_inodes=60,size=1g tmpfs '{there}'
         copy; mount -o remount,nr_inodes=9000 '{there}'; copy; find '{there}' -type f | wc -l"
    );
    let mut command = world.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.unwrap().unwrap();
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let object = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{}", text(&output)));
    let (failed, done) = (object(&lines[0]), object(&lines[1]));
    assert_eq!((&failed["failure"]["id"], &failed["evidence"]["code"]), (&"host-disk-full".into(), &28.into()));
    assert_eq!(done["event"], "done", "{done}");
    assert!(done["existing"].as_u64() > Some(0), "what came the first time was kept: {done}");
    assert_eq!(lines[2].trim().parse(), Ok(paths.len() + 1), "a file with two lines in its name is two lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_whole_photos_and_parts_that_go_on() {
    let world = world().await;
    world.phone.media().put_made(&format!("DCIM/{VIDEO}"), 7, VIDEO_BYTES);
    let mut command = world.command(binary("backstay"));
    command.args(["copy-photos", "iPhone", "--json"]).arg(destination(&world)).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let mut read = world.phone.media().bytes_read();
    read.wait_for(|read| *read > 50_000_000).await.unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().await.unwrap();
    let told: Value = serde_json::from_str(String::from_utf8_lossy(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((output.status.code(), &told["failure"]["id"]), (Some(1), &"cancelled-by-user".into()), "{told}");
    let before = *read.borrow_and_update();
    assert!(before < VIDEO_BYTES, "it ended early");
    let (code, told) = copy_photos(&world).await;
    assert_eq!(code, 0, "{}", last(&told));
    let paths: Vec<String> = (1..=4).map(|number| format!("100APPLE/IMG_{number:04}.JPG")).collect();
    judge(&world, &[&paths[..], &[VIDEO.to_owned()]].concat());
    let second = *read.borrow_and_update() - before;
    assert!(second < VIDEO_BYTES + (1 << 20) - 40_000_000, "{second} bytes came the second time, after {before}");
}
