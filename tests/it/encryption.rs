//! Encrypted backups, with a real password store: what is proved, and what is explained when a password is missing.

use std::{path::Path, process::Stdio};

use backstay_tests::{
    binaries::binary,
    desktop::{PrivateBus, SecretService},
    oracle,
    phone::{Event, dataset::DataSetSpec},
    world::{PATIENCE, World, text},
};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

pub(crate) const PASSWORD: &str = "Hirschgeweih-4711";
pub(crate) const OTHER: &str = "Pflaumenmus-0815";

/// A world on a desktop with a password store.
pub(crate) struct Desktop {
    pub(crate) world: World,
    pub(crate) store: SecretService,
    pub(crate) bus: PrivateBus,
}

impl Desktop {
    pub(crate) async fn new(seed: u64) -> Self {
        let bus = PrivateBus::start();
        let mut world = World::new(DataSetSpec::mixed(seed, 60, 1_000_000)).await;
        world.bus = Some(bus.address().to_owned());
        let store = SecretService::start(&bus, &world.folder.path().join("home")).await;
        Self { world, store, bus }
    }

    async fn status(&self) -> Value {
        let output = encryption(&self.world, &["status", "--json"], "").await;
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no object: {}", text(&output)))
    }
}

/// `backstay encryption ...` with this on standard input.
async fn encryption(world: &World, arguments: &[&str], input: &str) -> std::process::Output {
    let mut command = world.command(binary("backstay"));
    command.arg("--root").arg(world.root()).arg("encryption").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("backstay hangs").unwrap()
}

pub(crate) async fn done(world: &World, arguments: &[&str], input: &str) -> String {
    let output = encryption(world, arguments, input).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// The backup fails with this id; none means that it succeeds.
pub(crate) async fn backs_up(world: &World, id: Option<&str>) {
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, object["failure"]["id"].as_str()), (i32::from(id.is_some()), id), "{object}");
}

/// Files below a folder that hold the text.
fn holders(folder: &Path, text: &str) -> Vec<String> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_type().unwrap().is_file() {
                let content = std::fs::read(entry.path()).unwrap();
                if content.windows(text.len()).any(|window| window == text.as_bytes()) {
                    found.push(entry.path().display().to_string());
                }
            }
        }
    }
    found
}

/// P2: what the phone encrypted is opened and checked before it is called a backup; the oracle opens it too.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_set_and_its_backup_proved() {
    let desktop = Desktop::new(41).await;
    let world = &desktop.world;
    backs_up(world, None).await;
    let told = done(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    assert!(told.contains("without it nobody can open"), "{told}");
    assert_eq!(world.phone.backup_password().as_deref(), Some(PASSWORD));
    backs_up(world, None).await;
    oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), PASSWORD).unwrap();
    world.change();
    backs_up(world, None).await;
    oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), PASSWORD).unwrap();
    let status = desktop.status().await;
    assert_eq!((&status["encrypts"], &status["opens_latest_backup"]), (&true.into(), &true.into()), "{status}");
    assert_eq!(status["passwords_stored"], 1, "{status}");

    let told = done(world, &["change", "--password-stdin"], &format!("{PASSWORD}\n{OTHER}\n")).await;
    assert!(told.contains("new backup password"), "{told}");
    assert_eq!(desktop.status().await["opens_latest_backup"], true, "by the old password");
    backs_up(world, None).await;
    oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), OTHER).unwrap();

    for secret in [PASSWORD, OTHER] {
        assert_eq!(holders(world.folder.path(), secret), Vec::<String>::new(), "the store alone has it, sealed");
    }
    done(world, &["off", "--password-stdin"], &format!("{OTHER}\n")).await;
    assert_eq!(world.phone.backup_password(), None);
    backs_up(world, None).await;
    world.judge();
    done(world, &["forget", "--yes"], "").await;
    assert_eq!(desktop.status().await["passwords_stored"], 0);
}

/// While it runs, nobody on the computer can read the password in the process list.
#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_in_no_process_list() {
    let desktop = Desktop::new(42).await;
    let world = &desktop.world;
    world.phone.set_backup_password(Some(PASSWORD));
    done(world, &["remember", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    let mut command = world.command(binary("backstay"));
    command.arg("--root").arg(world.root()).args(["backup", "--once", "--json"]).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let process = format!("/proc/{}", child.id().unwrap());
    let mut looked = 0;
    let status = loop {
        for list in ["cmdline", "environ"] {
            let content = std::fs::read(format!("{process}/{list}")).unwrap_or_default();
            assert!(!content.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()), "{list}");
            looked += content.len();
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tokio::task::yield_now().await;
    };
    assert!(status.success() && looked > 0);
    assert_eq!(holders(world.folder.path(), PASSWORD), Vec::<String>::new());
}

/// A backup that nobody can open is no backup; it costs neither hours nor a passcode.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_password_is_told_at_once() {
    let desktop = Desktop::new(43).await;
    let world = &desktop.world;
    world.phone.set_backup_password(Some(PASSWORD));
    let mut events = world.phone.events();
    backs_up(world, Some("backup-password-missing")).await;
    let asked = std::iter::from_fn(|| events.try_recv().ok()).any(|event| event == Event::BackupRequested);
    assert!(!asked, "the phone was not asked for a backup");

    done(world, &["remember", "--password-stdin"], "wrong\n").await;
    backs_up(world, Some("backup-password-wrong")).await;
    assert!(!world.latest().join("Manifest.db").exists(), "what can't be opened is not called a backup");
    done(world, &["remember", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    backs_up(world, None).await;
    oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), PASSWORD).unwrap();
    let told = done(world, &["remember", "--password-stdin"], "wrong\n").await;
    assert!(told.contains("does not open the latest backup"), "{told}");
}

/// P1: the last backup stays when the password was changed in another program.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_changed_elsewhere_is_explained() {
    let desktop = Desktop::new(44).await;
    let world = &desktop.world;
    done(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    backs_up(world, None).await;
    let before = world.phone.data();
    world.change();
    world.phone.set_backup_password(Some(OTHER));
    backs_up(world, Some("backup-password-changed")).await;
    oracle::check_encrypted_backup(&world.latest(), &before, PASSWORD).unwrap();
    done(world, &["remember", "--password-stdin"], &format!("{OTHER}\n")).await;
    backs_up(world, None).await;
    oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), OTHER).unwrap();
}

/// A password that the phone refuses leaves what is stored as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_changes_nothing() {
    let desktop = Desktop::new(45).await;
    let world = &desktop.world;
    done(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    backs_up(world, None).await;
    let output = encryption(world, &["change", "--password-stdin"], &format!("wrong\n{OTHER}\n")).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("The backup password is wrong"), "{}", text(&output));
    assert_eq!(world.phone.backup_password().as_deref(), Some(PASSWORD));
    let status = desktop.status().await;
    assert_eq!((&status["passwords_stored"], &status["opens_latest_backup"]), (&1.into(), &true.into()), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_or_missing_store_is_explained() {
    let desktop = Desktop::new(46).await;
    let world = &desktop.world;
    done(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    desktop.store.lock().await;
    backs_up(world, Some("keyring-unavailable")).await;
    drop(desktop.store);
    backs_up(world, Some("keyring-unavailable")).await;
    let output = encryption(world, &["remember", "--password-stdin"], "x\n").await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));

    // A computer without a store: the password is given for one backup.
    let mut command = world.command(binary("backstay"));
    command.arg("--root").arg(world.root()).args(["backup", "--once", "--json", "--password-stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    oracle::check_encrypted_backup(&world.latest(), &world.phone.data(), PASSWORD).unwrap();
}
