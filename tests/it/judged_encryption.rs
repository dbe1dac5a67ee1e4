//! Other people's clients and readers judge the encryption of the simulated phone.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use backstay_tests::{
    oracle,
    phone::{
        Event, Fault, PasscodeAnswer,
        dataset::{DataFile, DataSet, DataSetSpec, Mutation},
    },
    world::{self, PATIENCE, text},
};
use tokio::time::timeout;

use crate::judged::{World, ended, pymobiledevice3};

impl World {
    /// Requires that the client was content and that the backup opens with this password and is the phone's data.
    fn judge_encrypted(&self, output: &Output, password: &str) {
        assert!(output.status.success(), "{}", text(output));
        oracle::check_encrypted_backup(&self.latest(), &self.phone.data(), password)
            .unwrap_or_else(|error| panic!("{error}\n{}", text(output)));
    }
}

/// Runs iphone_backup_decrypt on the latest backup; where it put Manifest.db and the files.
pub(crate) async fn open(world: &world::World, password: &str) -> (Output, PathBuf) {
    let opened = world.folder.path().join(format!("opened with {password}"));
    std::fs::create_dir(&opened).unwrap();
    let mut command = world.command(Path::new(&pymobiledevice3()).with_file_name("python3"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/it/open_backup.py"));
    command.arg(world.latest()).arg(password).arg(&opened);
    (timeout(PATIENCE, command.output()).await.expect("the reader hangs").unwrap(), opened)
}

/// Requires that it opened the latest backup and that the manifest and all files are the phone's data.
pub(crate) async fn opens_whole(world: &world::World, password: &str) {
    let (output, opened) = open(world, password).await;
    assert!(output.status.success(), "{}", text(&output));
    let data = world.phone.data();
    oracle::check_manifest(&opened.join("Manifest.db"), &data).unwrap();
    compare_files(&data, |file| opened.join("files").join(file.file_id.hex()));
    std::fs::remove_dir_all(opened).unwrap();
}

pub(crate) fn says(output: &Output, what: &str) {
    assert!(text(output).contains(what), "{}", text(output));
}

/// Requires that a reader has put every file of the data set to its place, also those whose `Size` is not theirs, and those
/// that have no bytes.
fn compare_files(data: &DataSet, place: impl Fn(&DataFile) -> PathBuf) {
    assert!(data.files().any(|file| file.recorded_size < file.size) || data.file_count() < 100);
    assert!(data.files().any(|file| file.size == 0) || data.file_count() < 100);
    for file in data.files() {
        let path = place(file);
        assert!(std::fs::read(&path).unwrap() == file.content(), "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idevicebackup2_encrypts_and_changes_the_password() {
    let world = World::new(DataSetSpec::mixed(11, 300, 20_000_000)).await;
    says(&world.idevicebackup2(&["encryption", "on", "first"]).await, "has been enabled successfully");
    says(&world.idevicebackup2(&["encryption", "on", "first"]).await, "already enabled");
    let output = world.idevicebackup2(&["backup"]).await;
    says(&output, "Backup will be encrypted.");
    world.judge_encrypted(&output, "first");
    let full = world.bytes_sent();
    world.change();
    world.judge_encrypted(&world.idevicebackup2(&["backup"]).await, "first");
    assert!(world.bytes_sent() < full / 3);

    let output = world.idevicebackup2(&["changepw", "wrong", "second"]).await;
    assert!(!output.status.success());
    says(&output, "ErrorCode 207: Invalid password (MBErrorDomain/207)");
    assert_eq!(world.phone.backup_password().as_deref(), Some("first"));
    says(&world.idevicebackup2(&["changepw", "first", "second"]).await, "has been changed successfully");
    world.bytes_sent();
    world.judge_encrypted(&world.idevicebackup2(&["backup"]).await, "second");
    assert!(world.bytes_sent() > full / 2, "everything is sent with the keys of the new password");

    says(&world.idevicebackup2(&["encryption", "off", "first"]).await, "ErrorCode 207: Invalid password");
    says(&world.idevicebackup2(&["encryption", "off", "second"]).await, "has been disabled successfully");
    world.judge(&world.idevicebackup2(&["backup"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn idevicebackup2_restores_with_the_password_only() {
    let world = World::new(DataSetSpec::mixed(12, 300, 5_000_000)).await;
    world.phone.set_backup_password(Some("first"));
    world.judge_encrypted(&world.idevicebackup2(&["backup"]).await, "first");
    let restore = async |password| {
        let mut events = world.phone.events();
        let output = world.idevicebackup2(&["restore", "--system", "--no-reboot", "--password", password]).await;
        (output, ended(&mut events).await)
    };
    let (output, code) = restore("wrong").await;
    assert_eq!(code, 207);
    says(&output, "ErrorCode 207: Invalid password when restoring encrypted backup (MBErrorDomain/207)");
    let (output, code) = restore("first").await;
    assert_eq!(code, 0);
    says(&output, "Restore Successful.");
    world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn idevicebackup2_waits_for_the_passcode_to_change_the_password() {
    let world = World::new(DataSetSpec::uniform(13, 10, 1000)).await;
    for answer in [PasscodeAnswer::Cancelled, PasscodeAnswer::EnteredWhenTold] {
        world.phone.set_fault(Some(Fault::PasscodeSheet { answer }));
        let mut events = world.phone.events();
        let person = async {
            while events.recv().await.unwrap() != Event::PasscodeSheetPresented {}
            world.phone.enter_passcode();
        };
        let (output, ()) = tokio::join!(world.idevicebackup2(&["encryption", "on", "first"]), person);
        if answer == PasscodeAnswer::Cancelled {
            says(&output, "ErrorCode 208");
            assert_eq!(world.phone.backup_password(), None);
        } else {
            says(&output, "has been enabled successfully");
            assert_eq!(world.phone.backup_password().as_deref(), Some("first"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pymobiledevice3_encrypts_and_restores() {
    let world = World::new(DataSetSpec::mixed(14, 300, 20_000_000)).await;
    let change = async |arguments: &[&str]| world.pymobiledevice3(&[arguments, &["--backup-directory"]].concat()).await;
    assert!(change(&["encryption", "on", "first"]).await.status.success());
    assert_eq!(world.phone.backup_password().as_deref(), Some("first"));
    says(&change(&["encryption"]).await, "on");
    world.judge_encrypted(&world.pymobiledevice3(&["backup", "--full"]).await, "first");
    let full = world.bytes_sent();
    world.change();
    world.judge_encrypted(&world.pymobiledevice3(&["backup"]).await, "first");
    assert!(world.bytes_sent() < full / 3);

    says(&change(&["change-password", "wrong", "second"]).await, "MBErrorDomain/207");
    assert!(change(&["change-password", "first", "second"]).await.status.success());
    assert_eq!(world.phone.backup_password().as_deref(), Some("second"));

    let restore = async |password| {
        let mut events = world.phone.events();
        let output = world.pymobiledevice3(&["restore", "--system", "--no-reboot", "--password", password]).await;
        (output, ended(&mut events).await)
    };
    let (output, code) = restore("second").await;
    assert_eq!(code, 207, "the backup on the disk has the password of its day");
    says(&output, "MBErrorDomain/207");
    let (output, code) = restore("first").await;
    assert_eq!(code, 0, "{}", text(&output));
    world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();

    assert!(change(&["encryption", "off", "second"]).await.status.success());
    assert_eq!(world.phone.backup_password(), None);
    world.judge(&world.pymobiledevice3(&["backup"]).await);
}

/// Its `--unback` is another reader, pyiosbackup.
#[tokio::test(flavor = "multi_thread")]
async fn pyiosbackup_unpacks_an_encrypted_backup() {
    // It can't read rows without a blob, and writes names as they are.
    let world = World::new(DataSetSpec { lifelike: false, ..DataSetSpec::mixed(15, 100, 2_000_000) }).await;
    world.phone.set_backup_password(Some("first"));
    let output = world.pymobiledevice3(&["backup", "--unback", "--password", "first"]).await;
    assert!(output.status.success(), "{}", text(&output));
    let folder = world.latest().with_extension("unback");
    compare_files(&world.phone.data(), |file| folder.join(&*file.domain).join(&*file.relative_path));
}

#[tokio::test(flavor = "multi_thread")]
async fn iphone_backup_decrypt_opens_what_idevicebackup2_made() {
    let world = World::new(DataSetSpec::mixed(16, 200, 10_000_000)).await;
    world.phone.set_backup_password(Some("première"));
    world.judge_encrypted(&world.idevicebackup2(&["backup"]).await, "première");
    world.phone.mutate(Mutation::Change { count: 20 });
    world.judge_encrypted(&world.idevicebackup2(&["backup"]).await, "première");
    opens_whole(&world, "première").await;

    let (output, opened) = open(&world, "première ").await;
    assert!(!output.status.success());
    says(&output, "incorrect passphrase");
    assert_eq!(opened.read_dir().unwrap().count(), 0);
}
