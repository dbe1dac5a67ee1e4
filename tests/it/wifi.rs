//! Backups over Wi-Fi: the phone is a machine of its own, which announces itself by real multicast DNS and serves on TCP.

mod diagnosis;
mod ipv6;
mod links;
mod presence;

use std::{net::Ipv4Addr, time::Duration};

use backstay_shared::overview::{Activity, Link, PhoneOverview};
use backstay_tests::{
    network::{Network, PHONE},
    phone::{
        Heartbeat,
        dataset::DataSetSpec,
        lan::{Announced, Lan},
    },
    world::{Daemon, World, eventually, text},
};

/// Says why a test can't run here, and ends it.
macro_rules! needs_a_network {
    () => {
        if let Some(missing) = backstay_tests::network::missing() {
            println!("NOT RUN: this machine lacks {missing}");
            return;
        }
    };
}
pub(crate) use needs_a_network;

/// Settings under which nothing outside is looked up.
const QUIET: &str = "[watch]\napple_status = false\nios_versions = false\nicloud = false\n";

/// A computer and a phone with a network between them; the phone has allowed Wi-Fi over its cable, and has left it.
struct Air {
    world: World,
    network: Network,
}

impl Air {
    async fn new(seed: u64, files: usize, size: u64) -> Self {
        let network = Network::new().unwrap();
        let mut world = World::new(DataSetSpec::uniform(seed, files, size)).await;
        world.machine = Some(network.computer.clone());
        world.configure(QUIET);
        world.phone.set_heartbeat(Heartbeat::Beats { interval: Duration::from_secs(1) });
        let output = world.backstay(&["wifi", "on"]).await;
        assert!(output.status.success(), "{}", text(&output));
        world.phone.unplug();
        Self { world, network }
    }

    /// The phone comes home.
    fn join(&self, announced: Announced) -> Lan {
        self.join_at(PHONE, announced)
    }

    fn join_at(&self, address: Ipv4Addr, announced: Announced) -> Lan {
        Lan::join(&self.world.phone, &self.network.phone, address, announced).unwrap()
    }
}

fn on_wifi(phone: &PhoneOverview) -> Option<()> {
    (phone.link == Some(Link::Wifi)).then_some(())
}

fn away(phone: &PhoneOverview) -> Option<()> {
    (phone.activity == Activity::Away).then_some(())
}

async fn is_backed_up(daemon: &Daemon) {
    let succeeded = |phone: &PhoneOverview| phone.last_run.as_ref().is_some_and(|run| run.failure.is_none());
    let done = |phone: &PhoneOverview| (succeeded(phone) && phone.activity == Activity::Idle).then_some(());
    daemon.phone_shows("it is backed up", done).await;
}

/// Without the key for a locked phone in the pair record its owner has to unlock it, and is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_the_key_for_a_locked_phone() {
    let world = World::unpaired(DataSetSpec::uniform(500, 10, 1000)).await;
    world.phone.pair_without_escrow_bag(&world.usbmuxd).unwrap();
    world.phone.set_locked(true);
    world.phone.appear_on_wifi();
    let (code, failed) = world.back_up_once().await;
    assert_eq!((code, &failed["failure"]["id"]), (1, &"wifi-needs-unlock".into()), "{failed}");
    world.phone.set_locked(false);
    let (code, done) = world.back_up_once().await;
    assert_eq!(code, 0, "{done}");
    world.judge();
}

/// Nothing is promised that the settings turn off, and a phone is called as its owner calls it.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_turn_it_off_are_said() {
    let world = World::new(DataSetSpec::uniform(530, 10, 1000)).await;
    world.configure("[network]\nwifi = false\n");
    let on = text(&world.backstay(&["wifi", "on"]).await);
    assert!(on.contains("allows backups over Wi-Fi now") && on.contains("The settings turn Wi-Fi off"), "{on}");
    let (code, done) = world.back_up_once().await;
    assert_eq!(code, 0, "{done}");
    let root = world.root();
    let told = text(&world.backstay(&["--root", root.to_str().unwrap(), "wifi", "status"]).await);
    assert!(told.starts_with("The settings turn Wi-Fi off"), "{told}");
    assert_eq!(told.lines().count(), 1, "nothing is said of a way on which nobody looks: {told}");
    world.configure("");
    let on = text(&world.backstay(&["wifi", "on"]).await);
    assert!(!on.contains("The settings"), "{on}");
}

/// usbmuxd offers phones on the network, too.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_turn_it_off_leave_cables_only() {
    let world = World::new(DataSetSpec::uniform(531, 10, 1000)).await;
    world.configure("[network]\nwifi = false\n");
    assert_eq!(world.back_up_once().await.0, 0);
    world.phone.appear_on_wifi();
    let once = world.backstay(&["backup", "--once"]).await;
    assert!(!once.status.success(), "{}", text(&once));
    let daemon = world.daemon().await;
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    world.configure("");
    // With other settings the daemon begins anew, and connections end.
    eventually("it is here", async || {
        daemon.overview().await?.phones.first().filter(|phone| phone.activity == Activity::Idle).map(|_| ())
    })
    .await;
}
