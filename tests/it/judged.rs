//! Other people's clients judge the simulated phone: it is honest only as far as they back it up and restore it.
//!
//! `idevicebackup2` comes from the system (`apt install libimobiledevice-utils`), pymobiledevice3 from the path in
//! `BACKSTAY_PYMOBILEDEVICE3`.

use std::{env, ffi::OsStr, ops::Deref, process::Output};

use backstay_tests::{
    oracle,
    phone::{
        Event, Fault, PasscodeAnswer, Unreadable,
        dataset::{DataSetSpec, Mutation},
    },
    world::{self, PATIENCE, text},
};
use tokio::{sync::broadcast, time::timeout};

pub(crate) struct World(world::World);

impl Deref for World {
    type Target = world::World;

    fn deref(&self) -> &world::World {
        &self.0
    }
}

impl World {
    pub(crate) async fn new(data: DataSetSpec) -> Self {
        Self(world::World::new(data).await)
    }

    pub(crate) async fn idevicebackup2(&self, arguments: &[&str]) -> Output {
        idevicebackup2(self, arguments).await
    }

    pub(crate) async fn pymobiledevice3(&self, arguments: &[&str]) -> Output {
        run(self, &pymobiledevice3(), self.usbmuxd.socket_path(), &[&["backup2"], arguments].concat()).await
    }

    /// Requires that the client was content and that the backup is the phone's data, byte by byte.
    pub(crate) fn judge(&self, output: &Output) {
        assert!(output.status.success(), "{}", text(output));
        oracle::check_backup(&self.latest(), &self.phone.data())
            .unwrap_or_else(|error| panic!("{error}\n{}", text(output)));
    }

    /// Bytes that the phone has sent since the last call.
    pub(crate) fn bytes_sent(&self) -> u64 {
        let sent = *self.phone.bytes_sent().borrow();
        self.phone.set_fault(None);
        sent
    }
}

async fn run(world: &world::World, program: &str, address: impl AsRef<OsStr>, arguments: &[&str]) -> Output {
    let mut command = world.command(program);
    command.args(arguments).arg(world.root()).env("USBMUXD_SOCKET_ADDRESS", address);
    timeout(PATIENCE, command.output()).await.expect("the client hangs").expect(program)
}

pub(crate) async fn idevicebackup2(world: &world::World, arguments: &[&str]) -> Output {
    let udid = world.phone.udid();
    run(world, "idevicebackup2", world.usbmuxd.address(), &[&["-u", udid], arguments].concat()).await
}

/// The path of pymobiledevice3; what is installed beside it is used too.
pub(crate) fn pymobiledevice3() -> String {
    env::var("BACKSTAY_PYMOBILEDEVICE3")
        .expect("BACKSTAY_PYMOBILEDEVICE3 must hold the path of pymobiledevice3 (pip install pymobiledevice3)")
}

pub(crate) async fn ended(events: &mut broadcast::Receiver<Event>) -> i64 {
    loop {
        if let Event::BackupEnded { code } | Event::RestoreEnded { code } = events.recv().await.unwrap() {
            return code;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idevicebackup2_backs_up_changes_and_restores() {
    let world = World::new(DataSetSpec::mixed(1, 1000, 60_000_000)).await;
    let output = world.idevicebackup2(&["backup"]).await;
    world.judge(&output);
    assert!(text(&output).contains("Backup Successful."), "{}", text(&output));
    // The thousand and Status.plist three times, Manifest.db, Manifest.plist.
    assert!(text(&output).contains("Received 1005 files"), "{}", text(&output));
    let full = world.bytes_sent();

    world.change();
    let output = world.idevicebackup2(&["backup"]).await;
    world.judge(&output);
    let received = text(&output);
    let received = received.split("Received ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let received: usize = received.parse().unwrap();
    assert!((30..=55).contains(&received), "{received} files came for 20 changed and 30 new ones");
    assert!(world.bytes_sent() < full / 5);

    let mut events = world.phone.events();
    let output = world.idevicebackup2(&["restore", "--system", "--no-reboot"]).await;
    assert!(output.status.success() && text(&output).contains("Restore Successful."), "{}", text(&output));
    assert_eq!(ended(&mut events).await, 0);
    world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pymobiledevice3_backs_up_changes_and_restores() {
    let world = World::new(DataSetSpec::mixed(2, 1000, 60_000_000)).await;
    let output = world.pymobiledevice3(&["backup", "--full"]).await;
    world.judge(&output);
    let full = world.bytes_sent();

    world.change();
    let output = world.pymobiledevice3(&["backup"]).await;
    world.judge(&output);
    assert!(world.bytes_sent() < full / 5);

    let mut events = world.phone.events();
    let output = world.pymobiledevice3(&["restore", "--system", "--no-reboot"]).await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(ended(&mut events).await, 0);
    world.phone.restored().unwrap().compare(&world.phone.data()).unwrap();
}

/// What one client wrote the other goes on with, full backups over an old one too.
#[tokio::test(flavor = "multi_thread")]
async fn clients_take_turns_in_one_folder() {
    let world = World::new(DataSetSpec::mixed(3, 300, 5_000_000)).await;
    world.judge(&world.idevicebackup2(&["backup"]).await);
    world.change();
    world.judge(&world.pymobiledevice3(&["backup"]).await);
    world.change();
    world.judge(&world.pymobiledevice3(&["backup", "--full"]).await);
    world.change();
    world.judge(&world.idevicebackup2(&["backup", "--full"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_phone_reach_the_clients() {
    let world = World::new(DataSetSpec::uniform(4, 50, 1000)).await;
    world.phone.set_fault(Some(Fault::FinalError { code: 209, text: "No keys (MBErrorDomain/209)".into() }));
    let output = world.idevicebackup2(&["backup"]).await;
    assert!(!output.status.success() && text(&output).contains("ErrorCode 209: No keys"), "{}", text(&output));
    let output = world.pymobiledevice3(&["backup"]).await;
    assert!(text(&output).contains("MBErrorDomain/209"), "{}", text(&output));

    world.phone.set_fault(Some(Fault::SpaceNeeded { bytes: 1 << 50 }));
    let output = world.pymobiledevice3(&["backup"]).await;
    assert!(text(&output).contains("it needs more than"), "{}", text(&output));

    // What came before the errors above is not sent again.
    world.phone.mutate(Mutation::Change { count: 50 });
    world.phone.set_fault(Some(Fault::FileUnreadable { index: 7, manner: Unreadable::LEFT_OUT }));
    let output = world.idevicebackup2(&["backup"]).await;
    assert!(text(&output).contains("Received an error message from device"), "{}", text(&output));
    world.phone.set_fault(None);
    world.judge(&world.idevicebackup2(&["backup"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn idevicebackup2_waits_for_the_passcode() {
    let world = World::new(DataSetSpec::uniform(6, 50, 1000)).await;
    for answer in [PasscodeAnswer::EnteredWhenTold, PasscodeAnswer::Cancelled] {
        world.phone.set_fault(Some(Fault::PasscodeSheet { answer }));
        let mut events = world.phone.events();
        let person = async {
            while events.recv().await.unwrap() != Event::PasscodeSheetPresented {}
            world.phone.enter_passcode();
        };
        let arguments = ["backup"];
        let (output, ()) = tokio::join!(world.idevicebackup2(&arguments), person);
        if answer == PasscodeAnswer::Cancelled {
            assert_eq!(ended(&mut events).await, 208);
            assert!(text(&output).contains("ErrorCode 208"), "{}", text(&output));
        } else {
            world.judge(&output);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_that_comes_out_is_noticed_and_the_next_backup_is_whole() {
    let world = World::new(DataSetSpec::uniform(7, 200, 10_000)).await;
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1_000_000 }));
    let output = world.idevicebackup2(&["backup"]).await;
    assert!(!output.status.success(), "{}", text(&output));
    assert_eq!(world.bytes_sent(), 1_000_000);
    world.phone.plug_in();
    world.judge(&world.idevicebackup2(&["backup"]).await);
}

/// A client that believes the final answer takes a backup for whole that lacks a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_move_is_a_success_to_those_who_do_not_look() {
    let world = World::new(DataSetSpec::uniform(8, 50, 10_000)).await;
    let payload = |index| world.latest().join(world.phone.data().file(index).unwrap().file_id.path());
    world.phone.set_fault(Some(Fault::MoveLost { index: 7 }));
    let output = world.idevicebackup2(&["backup"]).await;
    assert!(text(&output).contains("Backup Successful."), "{}", text(&output));
    assert!(!payload(7).exists() && payload(8).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn pymobiledevice3_reads_the_manifest() {
    let world = World::new(DataSetSpec::mixed(5, 100, 1_000_000)).await;
    world.judge(&world.idevicebackup2(&["backup"]).await);
    let output = world.pymobiledevice3(&["list"]).await;
    assert!(text(&output).contains("IMG_0001.HEIC"), "{}", text(&output));
    let output = world.idevicebackup2(&["info"]).await;
    assert!(text(&output).contains("finished"), "{}", text(&output));
}
