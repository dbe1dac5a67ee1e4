//! A link that is dead though it looks alive is known: a cable within some 15 seconds, a network within a minute, since
//! networks have gaps that pass.

use std::time::{Duration, Instant};

use backstay_shared::health::FailureId::{self, BackupStalled, WifiHeartbeatLost};
use backstay_tests::{
    phone::{Event, Fault, Phone, dataset::DataSetSpec},
    told::Listener,
    world::{World, text},
};

use super::{backed_up, fails, happens, has};

/// So long a link may be dead before it is known; the look at it every 2 s included, and a second for a busy computer.
const CABLE: Duration = Duration::from_secs(18);
const NETWORK: Duration = Duration::from_secs(63);

async fn dies_in_mid_transfer(seed: u64, appear: impl Fn(&Phone), id: FailureId, within: Duration) {
    let world = World::new(DataSetSpec::mixed(seed, 60, 5_000_000)).await;
    world.phone.unplug();
    let daemon = world.daemon().await;
    let listener = Listener::to(&world).await;
    world.phone.set_fault(Some(Fault::FreezeAt { bytes: 1_000_000 }));
    let mut events = world.phone.events();
    appear(&world.phone);
    happens(&mut events, &Event::Frozen).await;
    let began = Instant::now();
    daemon.phone_shows("the link is told", |phone| has(phone, id)).await;
    let took = began.elapsed();
    println!("{id}: known {:.1} s after the link died", took.as_secs_f64());
    assert!(took <= within, "{id}: {took:?}");
    let told = fails(&daemon, id).await;
    assert!(told.evidence.seconds > Some(0), "{told:?}");
    // It comes back as it does when somebody walks in or plugs it in.
    world.phone.unplug();
    appear(&world.phone);
    daemon.phone_shows("the backup is done", backed_up).await;
    assert_eq!(listener.ids(), [id], "once");
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_that_is_dead_in_mid_transfer() {
    dies_in_mid_transfer(441, Phone::plug_in, BackupStalled, CABLE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_dead_in_mid_transfer() {
    dies_in_mid_transfer(442, Phone::appear_on_wifi, WifiHeartbeatLost, NETWORK).await;
}

/// It thaws by itself: the next try needs nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_lives_again() {
    let world = World::new(DataSetSpec::mixed(443, 60, 5_000_000)).await;
    world.phone.set_fault(Some(Fault::FreezeAt { bytes: 1_000_000 }));
    let daemon = world.daemon().await;
    fails(&daemon, BackupStalled).await;
    world.phone.thaw();
    daemon.phone_shows("the backup is done", backed_up).await;
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_dead_before_the_backup_begins() {
    let world = World::new(DataSetSpec::mixed(444, 60, 1_000_000)).await;
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    world.change();
    world.phone.freeze();
    let began = Instant::now();
    let output = world.backstay(&["backup"]).await;
    let took = began.elapsed();
    println!("a frozen phone is told {:.1} s after a backup was asked for", took.as_secs_f64());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(took <= Duration::from_secs(17), "{took:?}");
    let told = daemon.phone_shows("it failed", |phone| phone.last_run.as_ref()?.failure.clone()).await;
    println!("a frozen phone is told as {}", told.id);
    assert!(matches!(told.id, BackupStalled | FailureId::SessionLost), "{told:?}");
    world.phone.unplug();
    world.phone.plug_in();
    daemon.phone_shows("the backup is done", backed_up).await;
    world.judge();
}

/// A computer that stood still for longer than a dead link may last asks before it gives up.
#[tokio::test(flavor = "multi_thread")]
async fn a_computer_that_stood_still_finds_its_phone_alive() {
    use rustix::process::{Pid, Signal, kill_process};
    let world = World::new(DataSetSpec::mixed(447, 60, 5_000_000)).await;
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 1_000_000 }));
    let mut events = world.phone.events();
    let mut command = world.command(backstay_tests::binaries::binary("backstay"));
    command.arg("--root").arg(world.root()).args(["backup", "--once"]);
    let mut child = command.spawn().unwrap();
    happens(&mut events, &Event::Paused).await;
    let process = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    tokio::time::sleep(Duration::from_secs(17)).await;
    kill_process(process, Signal::CONT).unwrap();
    // Long enough for it to look around.
    tokio::time::sleep(Duration::from_secs(4)).await;
    world.phone.go_on();
    assert!(child.wait().await.unwrap().success());
    world.judge();
}
