//! The computer's sleep: kept off exactly while bytes move, and followed by what is due.

use std::time::{Duration, Instant};

use backstay_shared::{
    client::Client,
    health::FailureId,
    overview::{Activity, Phase, PhoneOverview},
    protocol::{Reply, Request},
};
use backstay_tests::{
    desktop::{Logind, PrivateBus},
    phone::{Event, Fault, PasscodeAnswer, dataset::DataSetSpec},
    world::{Daemon, PATIENCE, World, age_receipts},
};
use tokio::{sync::broadcast, time::timeout};

/// A world with a logind.
struct Scene {
    world: World,
    logind: Logind,
    _bus: PrivateBus,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let bus = PrivateBus::start();
        let logind = Logind::start(&bus).await;
        Self::with(seed, bus, logind).await
    }

    async fn with(seed: u64, bus: PrivateBus, logind: Logind) -> Self {
        let mut world = World::new(DataSetSpec::mixed(seed, 200, 3_000_000)).await;
        world.system_bus = Some(bus.address().to_owned());
        Self { world, logind, _bus: bus }
    }

    /// A daemon whose first backup stands still in its middle, so that the computer is kept awake.
    async fn in_the_middle(&self) -> Daemon {
        self.world.phone.set_fault(Some(Fault::PauseAt { bytes: 1_000_000 }));
        let mut events = self.world.phone.events();
        let daemon = self.world.daemon().await;
        happens(&mut events, &Event::Paused).await;
        self.logind.is_held(1).await;
        daemon
    }

    fn was_asked_once(&self) {
        let expected = ["sleep", "Backstay", "An iPhone is being backed up", "block"].map(str::to_owned);
        assert_eq!(self.logind.asked(), [expected]);
    }
}

async fn happens(events: &mut broadcast::Receiver<Event>, wanted: &Event) {
    let waiting = async { while events.recv().await.unwrap() != *wanted {} };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {wanted:?}"));
}

fn has(phone: &PhoneOverview, id: FailureId) -> Option<()> {
    phone.problems.iter().any(|problem| problem.id == id).then_some(())
}

fn backed_up(phone: &PhoneOverview) -> Option<()> {
    (phone.last_good.is_some() && phone.activity == Activity::Idle).then_some(())
}

fn in_phase(phone: &PhoneOverview, wanted: Phase) -> Option<()> {
    matches!(&phone.activity, Activity::Running { progress, .. } if progress.phase == wanted).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_computer_stays_awake_from_the_first_byte_to_the_commit_and_not_while_a_passcode_is_waited_for() {
    let scene = Scene::new(801).await;
    scene.world.phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenTold));
    scene.world.phone.set_fault(Some(Fault::PauseAt { bytes: 1_000_000 }));
    let mut events = scene.world.phone.events();
    let daemon = scene.world.daemon().await;
    daemon.phone_shows("it asks for the passcode", |phone| in_phase(phone, Phase::WaitingForPasscode)).await;
    assert_eq!(scene.logind.asked(), [[""; 4]; 0], "nothing moves yet");
    scene.world.phone.enter_passcode();
    happens(&mut events, &Event::Paused).await;
    scene.logind.is_held(1).await;
    scene.world.phone.go_on();
    daemon.phone_shows("the backup is done", backed_up).await;
    scene.logind.is_held(0).await;
    scene.was_asked_once();
    scene.world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_lets_it_sleep() {
    let scene = Scene::new(802).await;
    let daemon = scene.in_the_middle().await;
    scene.world.phone.unplug();
    daemon.phone_shows("it failed", |phone| has(phone, FailureId::UsbDisconnected)).await;
    scene.logind.is_held(0).await;
    scene.was_asked_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_lets_it_sleep() {
    let scene = Scene::new(803).await;
    let daemon = scene.in_the_middle().await;
    let mut client = Client::connect(&scene.world.socket()).await.unwrap();
    assert_eq!(client.request(Request::Cancel { phone: None }).await.unwrap(), Reply::Done);
    daemon.phone_shows("it was cancelled", |phone| has(phone, FailureId::CancelledByUser)).await;
    scene.logind.is_held(0).await;
    scene.was_asked_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_lets_it_sleep() {
    let scene = Scene::new(804).await;
    scene.in_the_middle().await.kill().await;
    scene.logind.is_held(0).await;
    scene.was_asked_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computer_that_can_not_be_kept_awake_is_backed_up_to_all_the_same() {
    let bus = PrivateBus::start();
    let logind = Logind::refusing(&bus).await;
    let scene = Scene::with(805, bus, logind).await;
    scene.world.phone.set_fault(Some(Fault::PauseAt { bytes: 1_000_000 }));
    let mut events = scene.world.phone.events();
    let daemon = scene.world.daemon().await;
    happens(&mut events, &Event::Paused).await;
    backstay_tests::world::eventually("it is asked", async || (!scene.logind.asked().is_empty()).then_some(())).await;
    scene.world.phone.go_on();
    daemon.phone_shows("the backup is done", backed_up).await;
    scene.was_asked_once();
    scene.world.judge();
}

/// The time that passed in sleep is seen to at once, and not at the next look at the clock. What passes here is the age of
/// the receipts, changed on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_due_in_sleep_begins_within_a_second() {
    let scene = Scene::new(806).await;
    let daemon = scene.world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    scene.logind.is_heard().await;
    scene.logind.tell_sleep(true).await;
    age_receipts(&scene.world, chrono::Duration::hours(24 * 14));
    let mut events = scene.world.phone.events();
    let began = Instant::now();
    scene.logind.tell_sleep(false).await;
    let runs = |phone: &PhoneOverview| matches!(phone.activity, Activity::Queued { .. } | Activity::Running { .. });
    daemon.phone_shows("a backup runs", |phone| runs(phone).then_some(())).await;
    let took = began.elapsed();
    println!("woken, a backup that is due begins after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    happens(&mut events, &Event::BackupRequested).await;
    daemon.phone_shows("the backup is done", backed_up).await;
    let asked = std::iter::from_fn(|| events.try_recv().ok()).filter(|event| *event == Event::BackupRequested).count();
    assert_eq!(asked, 0, "one is enough");
}
