//! `backstay extract` on backups with the oddities of real ones, and onto disks of every kind: everything comes, under its
//! own name where the disk takes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, SystemTime},
};

use backstay_tests::{
    odd_tree::{COMPOSED, DECOMPOSED, OddFile, OddTree, UDID},
    phone::dataset::DataSetSpec,
    world::{World, text},
};
use serde_json::{Value, json};

mod troubles;

/// Every oddity that a row can have.
fn every_oddity() -> OddTree {
    let mut tree = OddTree::new();
    for add in [
        OddTree::stale,
        OddTree::date,
        OddTree::garbage,
        OddTree::nosize,
        OddTree::nfd,
        OddTree::colon,
        OddTree::kind16,
    ] {
        add(&mut tree);
    }
    tree
}

async fn world_with(tree: &OddTree) -> World {
    let world = World::unpaired(DataSetSpec::uniform(1, 1, 1)).await;
    tree.write(&world.root());
    world
}

fn objects(output: &Output) -> Vec<Value> {
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn events<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == event).collect()
}

/// `backstay extract --json`: the exit code and all objects.
async fn extract(world: &World, what: &str, to: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let arguments = ["extract", UDID, what, to.to_str().unwrap(), "--json"];
    let output = world.backstay(&[&arguments[..], more].concat()).await;
    (output.status.code().expect("killed"), objects(&output))
}

/// Paths below a folder, and what is there.
fn below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut folders, mut found) = (vec![folder.to_owned()], BTreeMap::new());
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_rows_are_no_damage_and_their_files_come() {
    let tree = every_oddity();
    let world = world_with(&tree).await;
    let output = world.backstay(&["verify", UDID, "--json"]).await;
    let checked = objects(&output).pop().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!((&checked["damaged"], &checked["doubtful"]), (&0.into(), &3.into()), "{checked}");

    let to = world.folder.path().join("taken out");
    for domain in ["HomeDomain", "AppDomain-com.x", "CameraRollDomain"] {
        let files: Vec<&OddFile> = tree.files().iter().filter(|file| file.domain == domain).collect();
        let bytes: usize = files.iter().map(|file| file.content.len()).sum();
        let output = world.backstay(&["extract", UDID, domain, "--list", "--json"]).await;
        let listed = objects(&output);
        let done = listed.last().unwrap();
        let expected = json!({ "event": "done", "files": files.len(), "bytes": bytes, "unreadable_rows": 3 });
        assert_eq!(done, &expected, "{}", text(&output));
        for (row, file) in events(&listed, "file").into_iter().zip(&files) {
            assert_eq!((&row["path"], &row["bytes"]), (&file.path[..].into(), &file.content.len().into()), "as stored");
            let has_date = !file.garbage && file.modified.abs() < 1_000_000_000_000;
            assert_eq!(row["modified"].is_string(), has_date, "{row}");
        }
        let output = world.backstay(&["extract", UDID, domain, "--list"]).await;
        assert!(output.status.success() && text(&output).contains("3 rows"), "{}", text(&output));

        let (code, told) = extract(&world, domain, &to, &[]).await;
        let done = told.last().unwrap();
        let counts = json!([done["event"], done["files"], done["renamed"], done["unreadable_rows"]]);
        assert_eq!((code, counts), (0, json!(["done", files.len(), 0, 3])), "{told:?}");
    }
    let expected = tree.files().iter().map(|file| (file.name(), file.content.clone())).collect::<BTreeMap<_, _>>();
    assert!(below(&to) == expected, "{:?}", below(&to).keys());

    let modified = |name: &str| fs::metadata(to.join("HomeDomain/Library").join(name)).unwrap().modified().unwrap();
    assert_eq!(modified("n.txt"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    assert_eq!(modified("old.txt"), SystemTime::UNIX_EPOCH - Duration::from_secs(86_400));
    for name in ["odd.txt", "before.txt", "g.txt"] {
        assert!(
            modified(name).elapsed().unwrap() < Duration::from_secs(600),
            "{name}: a date that is none is left out"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_found_as_people_type_them_and_case_is_offered() {
    let mut tree = OddTree::new();
    tree.nfd();
    tree.stale();
    let world = world_with(&tree).await;
    let to = world.folder.path().join("taken out");
    let typed = format!("Documents/{COMPOSED}");
    assert_ne!(COMPOSED, DECOMPOSED);
    let (code, told) = extract(&world, &typed, &to, &[]).await;
    assert_eq!((code, &told.last().unwrap()["files"]), (0, &1.into()), "{told:?}");
    assert_eq!(below(&to).into_keys().collect::<Vec<_>>(), [format!("AppDomain-com.x/Documents/{DECOMPOSED}")]);
    let output = world.backstay(&["extract", UDID, COMPOSED, "--list"]).await;
    assert!(output.status.success() && text(&output).contains(DECOMPOSED), "{}", text(&output));

    let output = world.backstay(&["extract", UDID, "SMS.DB", "--list"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("is HomeDomain/Library/SMS/sms.db meant?"), "{}", text(&output));
    let (code, told) = extract(&world, "img_", &to, &[]).await;
    let refused = told.last().unwrap();
    let places = refused["message"].as_str().unwrap().lines().filter(|line| line.contains("100APPLE/IMG_")).count();
    assert_eq!((code, &refused["event"], places), (2, &"refused".into(), 8), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_a_kept_backup_is_told_as_such() {
    let tree = OddTree::new();
    let world = world_with(&tree).await;
    // What the ledger learns now is what they are compared with.
    assert!(world.backstay(&["verify", UDID, "--deep"]).await.status.success());
    let [short, gone] = [3, 5].map(|index| OddTree::payload(&world.root(), &tree.files()[index]));
    fs::write(&short, "short").unwrap();
    fs::remove_file(&gone).unwrap();
    let to = world.folder.path().join("taken out");
    let (code, told) = extract(&world, "CameraRollDomain", &to, &[]).await;
    let failed = told.last().unwrap();
    assert_eq!((code, &failed["failure"]["id"]), (1, &"backup-damaged".into()), "{failed}");
    assert_eq!((&failed["evidence"]["files"], below(&to).len()), (&2.into(), 18), "{failed}");
    assert!(!failed["failure"]["why"].as_str().unwrap().contains("not kept"), "{failed}");
    let path = failed["evidence"]["path"].as_str().unwrap();
    assert!([&short, &gone].contains(&&PathBuf::from(path)), "{failed}");
    let what: BTreeSet<_> = events(&told, "damaged").iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(what, BTreeSet::from(["is missing", "is shorter than it was when it came"]));
}

/// Names that some disks refuse, and some that they take for one.
fn hard_names() -> OddTree {
    let mut tree = OddTree::new();
    let (long, folder) = ("\u{1f309}".repeat(74) + "abcd.txt", "y".repeat(260));
    for path in [
        "Library/SpringBoard/one.plist",
        "Library/springboard/one.plist",
        "Library/springboard/two.plist",
        "Library/Messages.plist",
        "Library/messages.plist",
        "Library/MESSAGES.plist",
        "Library/note 12:30?.txt",
        "Library/note 12_30?.txt",
        "Library/a:b/c:d.txt",
        "Library/a?b/c:d.txt",
        "Library/dot.",
        "Library/dot",
        "Library/gr\u{fc}n",
        "Library/gru\u{308}n",
        &format!("Library/{long}"),
        &format!("Library/{folder}/{}x.txt", "z".repeat(300)),
        &format!("Library/{folder}/{}y.txt", "z".repeat(300)),
    ] {
        tree.add("HomeDomain", path, path.as_bytes());
    }
    tree
}

/// Takes the hard names out to a disk again and again: each file is there each time, and under the same name.
async fn taken_out_to(disk: &Path) -> BTreeMap<String, String> {
    let tree = hard_names();
    let world = world_with(&tree).await;
    let to = disk.join("out");
    let (code, told) = extract(&world, "HomeDomain", &to, &[]).await;
    let done = told.last().unwrap();
    let files = tree.files().iter().filter(|file| file.domain == "HomeDomain").count();
    assert_eq!((code, &done["event"], &done["files"]), (0, &"done".into(), &files.into()), "{told:?}");
    let first = below(&to);
    let held: BTreeSet<_> = first.values().cloned().collect();
    let wanted: BTreeSet<_> =
        tree.files().iter().filter(|file| file.domain == "HomeDomain").map(|file| file.content.clone()).collect();
    assert!(held == wanted, "{:?}", first.keys());
    let renamed: BTreeMap<String, String> = events(&told, "renamed")
        .iter()
        .map(|event| (event["path"].as_str().unwrap().to_owned(), event["written"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(done["renamed"], renamed.len(), "{told:?}");
    for (path, written) in &renamed {
        let (written, extension) = (Path::new(written), path.rsplit_once('.').map(|(_, extension)| extension));
        assert!(written.starts_with(&to) && written.exists(), "{written:?}");
        if let Some(extension @ ("txt" | "plist")) = extension {
            assert_eq!(written.extension().and_then(|extension| extension.to_str()), Some(extension));
        }
    }
    let (code, told) = extract(&world, "HomeDomain", &to, &[]).await;
    let done = told.last().unwrap_or(&Value::Null);
    assert_eq!((code, events(&told, "existing").len(), &done["event"]), (2, files, &"refused".into()), "{told:?}");
    let (code, told) = extract(&world, "HomeDomain", &to, &["--overwrite"]).await;
    assert_eq!((code, &told.last().unwrap()["files"]), (0, &files.into()), "{told:?}");
    assert!(below(&to) == first, "the same names: {:?} and {:?}", below(&to).keys(), first.keys());
    // One of a pair alone is not taken for the other.
    let (code, told) = extract(&world, "HomeDomain/Library/springboard/one.plist", &to, &["--overwrite"]).await;
    assert_eq!((code, &told.last().unwrap()["files"]), (0, &1.into()), "{told:?}");
    assert!(below(&to) == first, "the same names: {:?} and {:?}", below(&to).keys(), first.keys());
    assert_eq!(
        fs::read_dir(disk).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "lost+found").count(),
        1
    );
    renamed
}

fn is_long(path: &str) -> bool {
    path.split('/').any(|part| part.len() > 255)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_stay_on_a_disk_that_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let renamed = taken_out_to(folder.path()).await;
    if cfg!(target_os = "linux") {
        assert!(renamed.len() == 4 && renamed.keys().all(|path| is_long(path)), "{renamed:?}");
    }
    for name in ["SpringBoard/one.plist", "springboard/one.plist", "note 12:30?.txt", "a:b/c:d.txt", "dot."] {
        let there = folder.path().join("out/HomeDomain/Library").join(name);
        assert!(!cfg!(target_os = "linux") || there.is_file(), "{name}");
    }
}

/// Disks of other systems, as this machine can have them.
#[cfg(target_os = "linux")]
mod other_disks {
    use std::process::Command;

    use backstay_tests::disk::{Mounted, Volume, format, missing};

    use super::*;

    /// A disk in a file, formatted and mounted by these programs; why not, when this machine can't.
    fn mounted(format_as: (&str, &[&str]), mount_as: &[&str], at: &Path) -> Result<Mounted, String> {
        let programs = [format_as.0, mount_as[0]];
        if let Some(missing) = missing(&programs) {
            return Err(format!("this machine lacks {missing}"));
        }
        let image = at.with_extension("image");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        format(format_as.0, format_as.1, &image).unwrap();
        fs::create_dir(at).unwrap();
        let volume = Volume::of(&image).unwrap();
        let output = Command::new(mount_as[0]).args(&mount_as[1..]).arg(volume.device()).arg(at).output().unwrap();
        match output.status.success() {
            true => Ok(Mounted::adopt(volume, at)),
            false => Err(format!("{mount_as:?} says {}", text(&output).trim())),
        }
    }

    macro_rules! disk {
        ($folder:expr, $format:expr, $mount:expr) => {
            match mounted($format, $mount, &$folder.path().join("disk")) {
                Ok(mounted) => mounted,
                Err(why) => {
                    println!("NOT RUN: {why}");
                    return;
                }
            }
        };
    }

    /// On a disk of Windows' kind no name has `:` or `?`, and case pairs are one.
    fn judge_foreign(renamed: &BTreeMap<String, String>) {
        for (path, times) in [("note 12", 2), ("a:b", 2), ("a?b", 2), ("springboard", 1), ("Messages", 1)] {
            let count = renamed.keys().filter(|renamed| renamed.starts_with(&format!("Library/{path}"))).count();
            assert_eq!(count, times, "{path}: {renamed:?}");
        }
        let of_messages = renamed.keys().filter(|path| path.to_lowercase() == "library/messages.plist").count();
        assert_eq!(of_messages, 2, "{renamed:?}");
        // In code units it fits.
        assert!(!renamed.keys().any(|path| path.contains('\u{1f309}')), "{renamed:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn names_on_exfat() {
        let folder = tempfile::tempdir().unwrap();
        let mounts: [&[&str]; 2] = [&["mount", "-t", "exfat"], &["mount.exfat-fuse"]];
        for (number, mount) in mounts.into_iter().enumerate() {
            let at = folder.path().join(format!("disk{number}"));
            match mounted(("mkfs.exfat", &[]), mount, &at) {
                Ok(_mounted) => judge_foreign(&taken_out_to(&at).await),
                Err(reason) => println!("NOT RUN: {reason}"),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn names_on_vfat() {
        let folder = tempfile::tempdir().unwrap();
        let _mounted = disk!(folder, ("mkfs.vfat", &[]), &["mount", "-t", "vfat", "-o", "iocharset=utf8"]);
        judge_foreign(&taken_out_to(&folder.path().join("disk")).await);
    }

    /// NTFS as Windows has it.
    #[tokio::test(flavor = "multi_thread")]
    async fn names_on_ntfs() {
        let folder = tempfile::tempdir().unwrap();
        let mount = ["ntfs-3g", "-o", "windows_names"];
        let _mounted = disk!(folder, ("mkntfs", &["-F", "-q"]), &mount);
        let renamed = taken_out_to(&folder.path().join("disk")).await;
        assert!(renamed.contains_key("Library/dot.") && renamed.contains_key("Library/a:b"), "{renamed:?}");
    }

    /// Folders of ext4 that fold case, and both forms of a name.
    #[tokio::test(flavor = "multi_thread")]
    async fn names_on_ext4_that_folds_case() {
        let folder = tempfile::tempdir().unwrap();
        let format = ("mkfs.ext4", &["-q", "-F", "-O", "casefold"][..]);
        let _mounted = disk!(folder, format, &["mount", "-t", "ext4"]);
        let out = folder.path().join("disk/out");
        fs::create_dir(&out).unwrap();
        let output = Command::new("chattr").arg("+F").arg(&out).output().unwrap();
        if !output.status.success() {
            println!("NOT RUN: {}", text(&output));
            return;
        }
        let renamed = taken_out_to(&folder.path().join("disk")).await;
        assert!(renamed.contains_key("Library/gr\u{fc}n"), "{renamed:?}");
        assert!(!renamed.contains_key("Library/a:b"), "{renamed:?}");
    }
}
