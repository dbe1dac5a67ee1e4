//! Backups that another program made, and files that other programs leave in backups.

use std::{fs, path::Path};

use backstay_tests::{
    phone::dataset::{DataSetSpec, Mutation},
    world::{World, frozen, text},
};
use plist::Value as Plist;

use super::{PASSWORD, back_up, judged, run, verify};

async fn by_idevicebackup2(world: &World) {
    let mut command = world.command("idevicebackup2");
    let output = command.args(["-u", world.phone.udid(), "backup"]).arg(world.root()).output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// Changes a date in a property list of the latest backup, or takes it out.
fn set_date(world: &World, file: &str, key: &str, date: Option<&str>) {
    let path = world.latest().join(file);
    let mut list = Plist::from_file(&path).unwrap().into_dictionary().unwrap();
    match date {
        Some(date) => drop(list.insert(key.into(), Plist::Date(plist::Date::from_xml_format(date).unwrap()))),
        None => drop(list.remove(key)),
    }
    match file {
        "Info.plist" => Plist::Dictionary(list).to_file_xml(path).unwrap(),
        _ => Plist::Dictionary(list).to_file_binary(path).unwrap(),
    }
}

/// It is as old as the backup, whenever it was copied here; the next one builds on it.
#[tokio::test(flavor = "multi_thread")]
async fn another_programs_backup_bears_its_own_date_and_is_built_on() {
    for (dates, wanted) in [
        ([Some("2025-03-01T10:00:00Z"), Some("2025-03-02T10:00:00Z"), Some("2025-03-03T10:00:00Z")], "2025-03-01T1000"),
        ([None, Some("2025-03-02T10:00:00Z"), Some("2025-03-03T10:00:00Z")], "2025-03-02T1000"),
        ([None, None, Some("2025-03-03T10:00:00Z")], "2025-03-03T1000"),
        // A clock that was not set is no date of an iPhone's backup.
        ([Some("1970-01-01T00:00:00Z"), Some("2999-01-01T00:00:00Z"), Some("2025-03-03T10:00:00Z")], "2025-03-03T1000"),
    ] {
        let world = World::new(DataSetSpec::mixed(451, 80, 900_000)).await;
        by_idevicebackup2(&world).await;
        judged(&world, &world.latest()).unwrap();
        let files = [("Status.plist", "Date"), ("Manifest.plist", "Date"), ("Info.plist", "Last Backup Date")];
        for ((file, key), date) in files.into_iter().zip(dates) {
            set_date(&world, file, key, date);
        }
        let (code, object) = verify(&world, false).await;
        assert_eq!((code, &object["made_elsewhere"]), (0, &true.into()), "{object}");
        assert!(object["snapshot"].as_str().unwrap().starts_with(wanted), "{object}");
        assert!(object["without_proof"].as_u64() >= Some(80), "{object}");

        world.phone.mutate(Mutation::Change { count: 6 });
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        assert!(object["receipt"]["files_received"].as_u64() < Some(15), "it goes on from theirs: {object}");
        let carried = world.phone.data().files().filter(|file| file.version == 0).count();
        assert_eq!(object["receipt"]["unproved"], carried, "nobody has read them yet: {object}");
        judged(&world, &world.latest()).unwrap();
        // What came is proved; what was carried over is not until its digest was compared.
        let (_, object) = verify(&world, true).await;
        let without = world.phone.data().files().filter(|file| !file.has_digest() && file.version == 0).count();
        assert_eq!((&object["damaged"], &object["without_proof"]), (&0.into(), &without.into()), "{object}");
    }
}

/// Without any proof nothing is said of how the files came, also where the list can't be opened.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_how_files_came_that_were_not_received_here() {
    let world = World::new(DataSetSpec::mixed(452, 40, 400_000)).await;
    world.phone.set_backup_password(Some(PASSWORD));
    by_idevicebackup2(&world).await;
    for arguments in [&["verify"][..], &["verify", "--deep"]] {
        // No password: the list stays closed.
        let output = world.backstay(arguments).await;
        let told = text(&output);
        assert!(output.status.success(), "{told}");
        assert!(!told.contains("when it came") && told.contains("since it was first seen"), "{told}");
    }
    // One of ours whose record is lost is no better known.
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{object}");
    let told = text(&world.backstay(&["verify"]).await);
    assert!(told.contains("since it was first seen"), "of what was carried over nothing more is known: {told}");
    let world = World::new(DataSetSpec::mixed(452, 40, 400_000)).await;
    world.phone.set_backup_password(Some(PASSWORD));
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{object}");
    let told = text(&world.backstay(&["verify"]).await);
    assert!(told.contains("as it was when it came"), "{told}");
    fs::remove_file(world.root().join(".backstay").join(world.phone.udid()).join("ledger.sqlite")).unwrap();
    let told = text(&world.backstay(&["verify"]).await);
    assert!(!told.contains("when it came") && told.contains("since it was first seen"), "{told}");
}

/// A backup without a list that can be read holds nothing, whoever made it and whatever the ledger knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_nobody_can_read_is_damage() {
    let world = World::new(DataSetSpec::mixed(455, 40, 400_000)).await;
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{object}");
    let list = world.latest().join("Manifest.db");
    let whole = fs::read(&list).unwrap();
    let same_length = vec![b'?'; whole.len()];
    let mut pages = whole.clone();
    pages[4096..].fill(0);
    let empty = {
        let path = world.folder.path().join("empty.db");
        fs::write(&path, &whole).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch("DELETE FROM Files; VACUUM").unwrap();
        fs::read(path).unwrap()
    };
    for known in [true, false] {
        for (what, bad) in [("no database", &same_length), ("pages of zeros", &pages), ("no rows", &empty)] {
            fs::write(&list, bad).unwrap();
            if !known {
                fs::remove_dir_all(world.root().join(".backstay").join(world.phone.udid())).unwrap();
            }
            let (code, object) = verify(&world, false).await;
            assert_eq!(code, 1, "{what}: {object}");
            assert!(object["damages"].to_string().contains("Manifest.db"), "{what}: {object}");
            let (code, object) = run(&world, &["restore", world.phone.udid(), "--yes", "--anyway"]).await;
            assert_eq!(code, 1, "{what}: {object}");
        }
    }
    fs::write(&list, &whole).unwrap();
    fs::remove_file(world.latest().join("Info.plist")).unwrap();
    let (code, object) = verify(&world, false).await;
    assert_eq!(code, 1, "other programs restore nothing without it: {object}");
}

/// What was found decides the exit code, also where nobody reads what is printed; so does a password that was given.
#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_tells_what_was_found() {
    let world = World::new(DataSetSpec::mixed(456, 40, 400_000)).await;
    world.phone.set_backup_password(Some(PASSWORD));
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{object}");
    world.phone.set_backup_password(Some("another one"));
    let (code, object) = verify(&world, false).await;
    assert_eq!(code, 1, "a wrong password: {object}");
    world.phone.set_backup_password(Some(PASSWORD));
    let lost = world.phone.data().files().find(|file| file.size > 0).unwrap().file_id.path();
    fs::remove_file(world.latest().join(lost)).unwrap();
    for to in ["/dev/full", "/dev/null"] {
        let mut command = world.command(backstay_tests::binaries::binary("backstay"));
        command.arg("--root").arg(world.root()).args(["verify"]);
        command.stdout(fs::OpenOptions::new().write(true).open(to).unwrap());
        assert_eq!(command.status().await.unwrap().code(), Some(1), "{to}");
    }
}

/// Paths that are not Unicode, or that have slashes too many.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_may_be_spelled_in_any_way() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new(DataSetSpec::mixed(457, 30, 300_000)).await;
    let odd = world.folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    let slashes = std::path::PathBuf::from(format!("/{}", world.root().display()));
    fs::create_dir_all(&odd).unwrap();
    for root in [odd, slashes] {
        for arguments in [&["backup", "--once", "--json"][..], &["verify", "--json"], &["history", "--json"]] {
            let mut command = world.command(backstay_tests::binaries::binary("backstay"));
            let output = command.arg("--root").arg(&root).args(arguments).output().await.unwrap();
            assert!(output.status.success(), "{} {arguments:?}: {}", root.display(), text(&output));
            let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
            serde_json::from_str::<serde_json::Value>(&last).unwrap();
        }
        let lost = world.phone.data().files().find(|file| file.size > 0).unwrap().file_id.path();
        fs::remove_file(root.join(world.phone.udid()).join(lost)).unwrap();
        let mut command = world.command(backstay_tests::binaries::binary("backstay"));
        let output = command.arg("--root").arg(&root).args(["verify", "--json"]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    }
}

/// A ledger whose structure is whole and whose content is not is made again from what is on disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_wrong_within_is_made_again() {
    for harm in [
        "DROP TABLE versions",
        "UPDATE versions SET name = x'0102' WHERE name = (SELECT name FROM versions WHERE typeof(name) = 'blob' LIMIT 1)",
        "UPDATE snapshots SET files = 'many'",
    ] {
        let world = World::new(DataSetSpec::mixed(458, 30, 300_000)).await;
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        let ledger = world.root().join(".backstay").join(world.phone.udid()).join("ledger.sqlite");
        rusqlite::Connection::open(&ledger).unwrap().execute_batch(harm).unwrap();
        let (code, object) = verify(&world, false).await;
        assert_eq!(code, 0, "{harm}: {object}");
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{harm}: {object}");
        judged(&world, &world.latest()).unwrap();
    }
}

const FOREIGN: [&str; 7] =
    [".DS_Store", "Thumbs.db", "@eaDir/x", "3d/._x", "desktop.ini", "ab/.nfs00000001", "Snapshot/.DS_Store"];

fn leave(tree: &Path, content: &str) {
    for name in FOREIGN {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Files that other programs leave between backups are no damage, keep no backup from building on the last one, and are
/// not carried on. The old snapshot keeps them as they were.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_other_programs_are_neither_damage_nor_carried_on() {
    let world = World::new(DataSetSpec::mixed(453, 60, 600_000)).await;
    let (code, first) = back_up(&world).await;
    assert_eq!(code, 0, "{first}");
    for round in 0..3 {
        // Added at first, changed and added again later.
        leave(&world.latest(), &format!("round {round}"));
        for deep in [false, true] {
            let (code, object) = verify(&world, deep).await;
            let told = (code, &object["damaged"], &object["foreign"], &object["doubtful"], &object["checksums_taken"]);
            assert_eq!(told, (0, &0.into(), &FOREIGN.len().into(), &1.into(), &0.into()), "{object}");
        }
        let before = frozen(&world.latest());
        world.phone.mutate(Mutation::Change { count: 5 });
        let (code, object) = back_up(&world).await;
        assert_eq!((code, &object["receipt"]["full"]), (0, &false.into()), "{object}");
        assert!(object["receipt"]["files_received"].as_u64() <= Some(10), "{object}");
        for name in FOREIGN {
            assert!(!world.latest().join(name).exists(), "{name} was carried on");
        }
        // The oracle knows no strays.
        judged(&world, &world.latest()).unwrap();
        let (_, history) = run(&world, &["history"]).await;
        let newest =
            history["snapshots"].as_array().unwrap().iter().rev().nth(1).unwrap()["id"].as_str().unwrap().to_owned();
        let old = world.root().join(".backstay").join(world.phone.udid()).join("history").join(newest);
        assert!(frozen(&old.join(world.phone.udid())) == before, "the older snapshot is as it was");
    }
    // A ledger of an older version took them for parts of the backup.
    let ledger = world.root().join(".backstay").join(world.phone.udid()).join("ledger.sqlite");
    let connection = rusqlite::Connection::open(ledger).unwrap();
    connection
        .execute_batch(
            "INSERT INTO versions (name, first, size, received) VALUES ('.DS_Store', 1, 7, 0), ('3d/._x', 1, 7, 0)",
        )
        .unwrap();
    drop(connection);
    let (code, object) = verify(&world, true).await;
    assert_eq!((code, &object["damaged"]), (0, &0.into()), "{object}");
    let (code, object) = back_up(&world).await;
    assert_eq!((code, &object["receipt"]["full"]), (0, &false.into()), "{object}");
}

/// Files and folders of other programs that this user may not read, and names that are not Unicode.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_other_programs_keep_to_themselves_stops_nothing() {
    use std::os::unix::{ffi::OsStrExt, fs::PermissionsExt};
    let mut world = World::new(DataSetSpec::mixed(459, 40, 400_000)).await;
    world.bound_by_permissions = true;
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{object}");
    let tree = world.latest();
    for (name, is_folder) in [(&b".DS_Store"[..], false), (b"3d/caf\xe9.txt", false), (b"@eaDir", true)] {
        let path = tree.join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match is_folder {
            true => fs::create_dir(&path).unwrap(),
            false => fs::write(&path, "mine").unwrap(),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    }
    for deep in [false, true] {
        let (code, object) = verify(&world, deep).await;
        assert_eq!((code, &object["damaged"], &object["foreign"]), (0, &0.into(), &3.into()), "{object}");
    }
    world.phone.mutate(Mutation::Change { count: 5 });
    let (code, object) = back_up(&world).await;
    assert_eq!((code, &object["receipt"]["full"]), (0, &false.into()), "{object}");
    // Also where nothing is known of the backup yet.
    let own = world.root().join(".backstay").join(world.phone.udid());
    fs::create_dir(world.latest().join("@eaDir")).unwrap();
    fs::set_permissions(world.latest().join("@eaDir"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::remove_dir_all(own).unwrap();
    let (code, object) = verify(&world, false).await;
    assert_eq!((code, &object["damaged"]), (0, &0.into()), "{object}");
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{object}");
}

/// Ledger and receipts as earlier versions wrote them: nothing is lost, and nothing comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_an_earlier_version_is_taken_over() {
    const OF_2: &str = "DROP TABLE interrupted; DROP TABLE received; ALTER TABLE unreadable DROP COLUMN harmless;
                        PRAGMA user_version = 2;";
    const OF_1: &str = "ALTER TABLE versions DROP COLUMN sha1; ALTER TABLE versions DROP COLUMN proof;
                        ALTER TABLE snapshots DROP COLUMN notes; ALTER TABLE snapshots DROP COLUMN doubts;
                        DROP TABLE contradicted; DROP TABLE unreadable; PRAGMA user_version = 1;";
    for steps in [&[OF_2][..], &[OF_2, OF_1]] {
        is_taken_over(steps).await;
    }
}

async fn is_taken_over(steps: &[&str]) {
    let world = World::new(DataSetSpec::mixed(454, 60, 600_000)).await;
    let (code, first) = back_up(&world).await;
    assert_eq!(code, 0, "{first}");
    let own = world.root().join(".backstay").join(world.phone.udid());
    let connection = rusqlite::Connection::open(own.join("ledger.sqlite")).unwrap();
    steps.iter().for_each(|step| connection.execute_batch(step).unwrap());
    drop(connection);
    for entry in fs::read_dir(own.join("receipts")).unwrap() {
        let path = entry.unwrap().path();
        let mut receipt: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for key in ["notes", "doubts", "doubtful"] {
            receipt.as_object_mut().unwrap().remove(key);
        }
        fs::write(&path, receipt.to_string()).unwrap();
    }
    let (code, object) = verify(&world, false).await;
    assert_eq!((code, &object["damaged"], &object["without_proof"]), (0, &0.into(), &0.into()), "{object}");
    world.phone.mutate(Mutation::Change { count: 5 });
    let (code, object) = back_up(&world).await;
    assert_eq!((code, &object["receipt"]["full"]), (0, &false.into()), "{object}");
    assert!(object["receipt"]["files_received"].as_u64() <= Some(10), "{object}");
    judged(&world, &world.latest()).unwrap();
    let (code, object) = verify(&world, true).await;
    assert_eq!((code, &object["damaged"], &object["without_proof"]), (0, &0.into(), &0.into()), "{object}");
}
