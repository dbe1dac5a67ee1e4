//! What becomes of an encrypted backup: other programs open and restore it, and so does Backstay, with the passwords of
//! a real password store.

use std::{fs, path::Path, process::Output};

use backstay_tests::{
    oracle,
    phone::{
        Event,
        dataset::{DataFile, Mutation},
    },
    world::{World, frozen, text},
};
use serde_json::Value;

use crate::{
    encryption::{Desktop, OTHER, PASSWORD, backs_up, done},
    judged::{ended, idevicebackup2},
    judged_encryption::{opens_whole, says},
    restore::{backstay, backstay_json, destination, find_my, judge, payload, restore, restored_is, snapshot_ids},
};

/// A phone whose backups are encrypted with [`PASSWORD`], and one backup of it.
async fn backed_up(seed: u64) -> Desktop {
    let desktop = Desktop::new(seed).await;
    find_my(&desktop.world.phone, false);
    done(&desktop.world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    backs_up(&desktop.world, None).await;
    desktop
}

/// Bytes that the phone has sent since the last call.
fn bytes_sent(world: &World) -> u64 {
    let sent = *world.phone.bytes_sent().borrow();
    world.phone.set_fault(None);
    sent
}

async fn extract(world: &World, snapshot: &str, what: &str, to: &Path) -> Output {
    let arguments = ["extract", world.phone.udid(), "--snapshot", snapshot, what, to.to_str().unwrap()];
    backstay(world, &arguments).await
}

/// What is taken out of the folder is what these files of the phone hold.
async fn extracted_is<'a>(world: &World, snapshot: &str, what: &str, files: impl Iterator<Item = &'a DataFile>) {
    let to = destination(world);
    let output = extract(world, snapshot, what, &to).await;
    assert!(output.status.success(), "{what}: {}", text(&output));
    judge(&to, files);
    fs::remove_dir_all(&to).unwrap();
}

/// Neither extract nor restore gets at the latest backup; the phone is not even asked for a service.
async fn refused(world: &World, id: &str) -> Value {
    let (mut events, to, before) = (world.phone.events(), destination(world), frozen(&world.latest()));
    let arguments = ["extract", world.phone.udid(), "HomeDomain", to.to_str().unwrap()];
    let (code, object) = backstay_json(world, &arguments).await;
    assert_eq!((code, &object["failure"]["id"]), (1, &id.into()), "{object}");
    assert!(!to.exists(), "{id}: something was taken out");
    for more in [&[][..], &["--anyway"]] {
        let (code, object) = restore(world, more).await;
        assert_eq!((code, &object["failure"]["id"]), (1, &id.into()), "{object}");
    }
    let started: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert_eq!(started, [], "{id}: the phone was touched");
    assert!(world.phone.restored().is_none());
    assert!(frozen(&world.latest()) == before, "{id}");
    object
}

async fn verified(world: &World, arguments: &[&str]) -> Value {
    let (code, object) = backstay_json(world, &[&["verify", world.phone.udid()], arguments].concat()).await;
    let (nothing, zero) = (Value::Null, Value::from(0));
    let told = (code, &object["damaged"], &object["without_checksum"], &object["failure"]);
    assert_eq!(told, (0, &zero, &zero, &nothing), "{arguments:?}: {object}");
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn other_programs_open_and_restore_an_encrypted_backup() {
    let desktop = backed_up(91).await;
    let world = &desktop.world;
    oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), PASSWORD).unwrap();
    opens_whole(world, PASSWORD).await;
    let (first, full) = (world.phone.data(), bytes_sent(world));

    for mutation in
        [Mutation::Change { count: 5 }, Mutation::Add { count: 3, size: 5000 }, Mutation::Remove { count: 4 }]
    {
        world.phone.mutate(mutation);
    }
    backs_up(world, None).await;
    verified(world, &["--deep"]).await;
    let incremental = bytes_sent(world);
    assert!(incremental < full / 2, "{incremental} bytes came, {full} for all");
    oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), PASSWORD).unwrap();
    opens_whole(world, PASSWORD).await;
    let history = world.root().join(".backstay").join(world.phone.udid()).join("history");
    let older = history.join(snapshot_ids(world).remove(0)).join(world.phone.udid());
    oracle::check_encrypted_backup(&older, &first, PASSWORD).unwrap();

    for (password, wanted) in [(OTHER, 207), (PASSWORD, 0)] {
        let mut events = world.phone.events();
        let restoring = ["restore", "--system", "--no-reboot", "--password", password];
        let output = idevicebackup2(world, &restoring).await;
        assert_eq!(ended(&mut events).await, wanted, "{}", text(&output));
        says(&output, if wanted == 0 { "Restore Successful." } else { "Invalid password" });
    }
    world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_is_taken_out_plain_and_restored() {
    let desktop = backed_up(92).await;
    let (world, data) = (&desktop.world, desktop.world.phone.data());
    let pictures = |file: &&DataFile| file.domain == "CameraRollDomain".into() && file.relative_path.contains("/DCIM/");
    extracted_is(world, "latest", "CameraRollDomain/Media/DCIM", data.files().filter(pictures)).await;
    let mut domains: Vec<_> = data.files().map(|file| file.domain.to_string()).collect();
    domains.dedup();
    for domain in domains {
        extracted_is(world, "latest", &domain, data.files().filter(|file| *file.domain == *domain)).await;
    }
    world.change();
    restored_is(world, &data, &[]).await;
}

/// No password, a wrong one and no store are three different things to a person.
#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_an_encrypted_backup_closed_is_told_apart() {
    let desktop = backed_up(93).await;
    let (world, data) = (&desktop.world, desktop.world.phone.data());
    done(world, &["forget", "--yes"], "").await;
    refused(world, "backup-password-missing").await;
    done(world, &["remember", "--password-stdin"], &format!("{OTHER}\n")).await;
    refused(world, "backup-password-wrong").await;
    let unread = verified(world, &["--deep"]).await["manifest_unread"].clone();
    assert!(unread.as_str().unwrap().contains("password does not open"), "{unread}");

    done(world, &["remember", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    desktop.store.lock().await;
    let object = refused(world, "keyring-unavailable").await;
    assert!(object["evidence"]["text"].as_str().unwrap().contains("locked"), "{object}");
    let unread = verified(world, &["--deep"]).await["manifest_unread"].clone();
    assert!(unread.as_str().unwrap().starts_with("keyring-unavailable"), "{unread}");
    drop(desktop.store);
    refused(world, "keyring-unavailable").await;

    let store = backstay_tests::desktop::SecretService::start(&desktop.bus, &world.folder.path().join("home")).await;
    assert_eq!(verified(world, &[]).await["manifest_unread"], Value::Null);
    restored_is(world, &data, &[]).await;
    drop(store);
}

/// Both are in the store: each snapshot is opened with the password of its day.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_is_opened_with_its_older_password() {
    let desktop = backed_up(94).await;
    let (world, first) = (&desktop.world, desktop.world.phone.data());
    world.change();
    world.phone.set_backup_password(Some(OTHER));
    done(world, &["remember", "--password-stdin"], &format!("{OTHER}\n")).await;
    backs_up(world, None).await;
    let (second, older) = (world.phone.data(), snapshot_ids(world).remove(0));
    let of_home = |file: &&DataFile| &*file.domain == "HomeDomain";
    extracted_is(world, &older, "HomeDomain", first.files().filter(of_home)).await;
    extracted_is(world, "latest", "HomeDomain", second.files().filter(of_home)).await;
    for snapshot in [older.as_str(), "latest"] {
        let object = verified(world, &["--snapshot", snapshot, "--deep"]).await;
        assert_eq!(object["manifest_unread"], Value::Null, "{object}");
    }
    restored_is(world, &first, &["--snapshot", &older]).await;
    restored_is(world, &second, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_an_encrypted_backup_is_found_and_named() {
    let desktop = backed_up(95).await;
    let (world, data) = (&desktop.world, desktop.world.phone.data());
    for arguments in [&[][..], &["--deep"]] {
        let object = verified(world, arguments).await;
        assert_eq!(object["manifest_unread"], Value::Null, "{object}");
        assert_eq!(object["files"], data.file_count(), "{object}");
    }
    // Far from the end, which the sample that is decrypted looks at: only the checksum tells.
    let file = data.files().find(|file| file.size > 1000).unwrap();
    let path = payload(&world.latest(), file);
    let mut content = fs::read(&path).unwrap();
    content[0] ^= 1;
    fs::write(&path, content).unwrap();
    verified(world, &[]).await;
    let damages = async || {
        let output = backstay(world, &["verify", world.phone.udid(), "--deep", "--json"]).await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let printed = String::from_utf8_lossy(&output.stdout);
        let mut objects = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let (checked, failed) = (objects.next().unwrap(), objects.next().unwrap());
        assert_eq!((&checked["damaged"], &failed["failure"]["id"]), (&1.into(), &"backup-damaged".into()), "{printed}");
        checked["damages"][0].clone()
    };
    let damage = damages().await;
    let named = (damage["domain"].as_str().unwrap(), damage["relative_path"].as_str().unwrap());
    assert_eq!(named, (&*file.domain, &*file.relative_path), "{damage}");
    let output = backstay(world, &["verify", world.phone.udid(), "--deep"]).await;
    says(&output, &format!("{}: {} is not what it was when it came", file.domain, file.relative_path));

    // Who has no password learns of the damage too, by the name on the disk.
    done(world, &["forget", "--yes"], "").await;
    let damage = damages().await;
    assert_eq!(damage["domain"], "", "{damage}");
    assert!(damage["path"].as_str().unwrap().ends_with(&file.file_id.hex()), "{damage}");
}
