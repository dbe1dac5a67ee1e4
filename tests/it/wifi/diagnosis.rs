//! What is in the way is told by its name: before a backup, in the middle of one, and by the doctor.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use backstay_shared::{
    health::FailureId::{self, HostOffline, WifiDeviceAsleep, WifiDifferentNetwork, WifiFirewallBlocked, WifiLost},
    overview::{PhoneOverview, Problem},
};
use backstay_tests::{
    network::{COMPUTER, PHONE},
    phone::{Event, Fault, Heartbeat, lan::Announced},
    world::{Daemon, text},
};
use serde_json::Value;

use super::{Air, away, is_backed_up, needs_a_network, on_wifi};

/// After the first and the second try.
const PAUSES_BEFORE_IT_IS_TOLD: Duration = Duration::from_secs(25);

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 7);

fn has(phone: &PhoneOverview, id: FailureId) -> Option<Problem> {
    phone.problems.iter().find(|problem| problem.id == id).cloned()
}

/// `backstay wifi status --json`: the failure, and what holds and what does not.
pub(super) async fn status(air: &Air) -> (Value, Vec<(String, bool)>) {
    let output = air.world.backstay(&["wifi", "status", "--json"]).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let phone = &told["phones"][0];
    let check = |check: &Value| (check["condition"].as_str().unwrap().to_owned(), check["holds"].as_bool().unwrap());
    (phone["failure"].clone(), phone["checks"].as_array().unwrap().iter().map(check).collect())
}

pub(super) fn holds(checks: &[(String, bool)], condition: &str) -> Option<bool> {
    checks.iter().find(|(of, _)| of == condition).map(|(_, holds)| *holds)
}

/// A backup that a person asks for, of a phone that is away.
async fn refused(air: &Air) -> Value {
    let output = air.world.backstay(&["backup", "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let told = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{}", text(&output)));
    told["failure"]["id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn before_a_backup() {
    needs_a_network!();
    let air = Air::new(521, 20, 3000).await;
    let daemon = air.world.daemon().await;

    // A firewall: it is heard, and takes no connection.
    air.network.computer.block("tcp dport 62078").unwrap();
    let lan = air.join(Announced::ByAddress);
    let began = Instant::now();
    let told = daemon.phone_shows("the firewall is told", |phone| has(phone, WifiFirewallBlocked)).await;
    println!("{}", told.why);
    assert!(began.elapsed() > PAUSES_BEFORE_IT_IS_TOLD, "told of one lost connection: {:?}", began.elapsed());
    let (failure, checks) = status(&air).await;
    assert_eq!(failure, "wifi-firewall-blocked", "{checks:?}");
    assert_eq!((holds(&checks, "announced"), holds(&checks, "port")), (Some(true), Some(false)), "{checks:?}");
    air.network.computer.unblock().unwrap();
    daemon.phone_shows("it is reached", on_wifi).await;
    daemon.phone_shows("nothing is in the way", |phone| has(phone, WifiFirewallBlocked).is_none().then_some(())).await;
    is_backed_up(&daemon).await;
    let (failure, checks) = status(&air).await;
    assert_eq!(failure, Value::Null, "{checks:?}");
    assert!(checks.iter().all(|(_, holds)| *holds) && checks.len() == 8, "{checks:?}");

    // Multicast does not come through, a connection would.
    lan.hang_up();
    lan.say_goodbye();
    daemon.phone_shows("it is away", away).await;
    air.network.computer.block("udp dport 5353").unwrap();
    lan.announce(PHONE).unwrap();
    let (failure, checks) = status(&air).await;
    assert_eq!(failure, "wifi-firewall-blocked", "{checks:?}");
    assert_eq!((holds(&checks, "multicast"), holds(&checks, "session")), (Some(false), Some(true)), "{checks:?}");
    assert_eq!(refused(&air).await, "wifi-firewall-blocked");
    lan.vanish();

    // The phone is nowhere: what it had for an address is nobody's.
    air.network.computer.unblock().unwrap();
    air.network.phone.set_address(Ipv4Addr::new(10, 79, 0, 200)).unwrap();
    assert_eq!(refused(&air).await, "wifi-device-not-found");

    // The computer is in another network than the phone was, or in none.
    air.network.computer.set_address(Ipv4Addr::new(10, 81, 0, 1)).unwrap();
    assert_eq!(refused(&air).await, "wifi-different-network");
    air.network.computer.set_online(false).unwrap();
    assert_eq!(refused(&air).await, "host-offline");
    let output = air.world.backstay(&["doctor"]).await;
    let told = text(&output);
    assert!(told.contains("this computer has a network: no"), "{told}");
}

/// It is heard from another network, as through a router that relays announcements.
#[tokio::test(flavor = "multi_thread")]
async fn heard_from_another_network() {
    needs_a_network!();
    let air = Air::new(522, 20, 3000).await;
    let daemon = air.world.daemon().await;
    air.network.phone.set_address(ELSEWHERE).unwrap();
    let lan = air.join_at(ELSEWHERE, Announced::ByTags);
    daemon.phone_shows("it is told", |phone| has(phone, WifiDifferentNetwork)).await;
    lan.say_goodbye();
    daemon.phone_shows("it is over", |phone| has(phone, WifiDifferentNetwork).is_none().then_some(())).await;
}

/// A backup under way, and something happens to its link.
async fn in_the_middle(
    air: &Air,
    daemon: &Daemon,
    id: FailureId,
    happens: impl AsyncFnOnce(),
    mend: impl AsyncFnOnce(),
) -> Problem {
    let world = &air.world;
    world.change();
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 60_000 }));
    let mut events = world.phone.events();
    let socket = world.socket();
    let asked = async {
        let mut client = backstay_shared::client::Client::connect(&socket).await.unwrap();
        client.request(backstay_shared::protocol::Request::BackUp { phone: None, full: false }).await.unwrap();
    };
    asked.await;
    while events.recv().await.unwrap() != Event::Paused {}
    happens().await;
    let began = Instant::now();
    let told = daemon.phone_shows(id.slug(), |phone| has(phone, id)).await;
    println!("{id}: told {:.1} s after it happened: {}", began.elapsed().as_secs_f64(), told.why);
    world.phone.set_fault(None);
    mend().await;
    is_backed_up(daemon).await;
    world.judge();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_backup() {
    needs_a_network!();
    let air = Air::new(523, 200, 10_000).await;
    let phone = &air.world.phone;
    let daemon = air.world.daemon().await;
    let lan = air.join(Announced::ByTags);
    is_backed_up(&daemon).await;

    in_the_middle(
        &air,
        &daemon,
        WifiDeviceAsleep,
        async || {
            let mut events = phone.events();
            phone.set_heartbeat(Heartbeat::Sleeps);
            while events.recv().await.unwrap() != Event::SaidGoodNight {}
            phone.freeze();
            lan.say_goodbye();
        },
        async || {
            phone.thaw();
            phone.set_heartbeat(Heartbeat::Beats { interval: std::time::Duration::from_secs(1) });
            lan.announce(PHONE).unwrap();
        },
    )
    .await;

    let now = Ipv4Addr::new(10, 79, 0, 9);
    let told = in_the_middle(
        &air,
        &daemon,
        WifiLost,
        async || {
            air.network.phone.set_address(now).unwrap();
            lan.announce(now).unwrap();
        },
        async || {},
    )
    .await;
    assert_eq!(told.evidence.text.as_deref(), Some("its address was 10.79.0.7 and is 10.79.0.9"));

    in_the_middle(
        &air,
        &daemon,
        HostOffline,
        async || air.network.computer.set_online(false).unwrap(),
        async || {
            air.network.computer.set_online(true).unwrap();
            lan.announce(now).unwrap();
        },
    )
    .await;

    in_the_middle(
        &air,
        &daemon,
        WifiLost,
        async || {
            lan.vanish();
            air.network.phone.set_address(Ipv4Addr::new(10, 79, 0, 200)).unwrap();
        },
        async || {
            air.network.phone.set_address(now).unwrap();
            lan.announce(now).unwrap();
        },
    )
    .await;
}

/// It blocks what is under way, too, and is gone again: nobody has to ask for the backup that is owed.
#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_in_the_middle_of_a_backup() {
    needs_a_network!();
    let air = Air::new(524, 200, 10_000).await;
    let daemon = air.world.daemon().await;
    let _lan = air.join(Announced::ByTags);
    is_backed_up(&daemon).await;
    let told = in_the_middle(
        &air,
        &daemon,
        WifiFirewallBlocked,
        async || air.network.computer.block("meta l4proto tcp").unwrap(),
        async || air.network.computer.unblock().unwrap(),
    )
    .await;
    assert!(!told.evidence.wifi.is_empty(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_network_in_the_middle_of_a_backup() {
    needs_a_network!();
    let air = Air::new(525, 200, 10_000).await;
    let daemon = air.world.daemon().await;
    let _lan = air.join(Announced::ByTags);
    is_backed_up(&daemon).await;
    in_the_middle(
        &air,
        &daemon,
        WifiDifferentNetwork,
        async || air.network.computer.set_address(Ipv4Addr::new(10, 81, 0, 1)).unwrap(),
        async || air.network.computer.set_address(COMPUTER).unwrap(),
    )
    .await;
}

/// The iPhone lies down in the middle of its first backup: what came is there for the next one to go on with.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_backup_outlives_a_sleep() {
    needs_a_network!();
    let air = Air::new(526, 200, 10_000).await;
    let phone = &air.world.phone;
    phone.set_fault(Some(Fault::PauseAt { bytes: 1_000_000 }));
    let mut events = phone.events();
    let daemon = air.world.daemon().await;
    let lan = air.join(Announced::ByTags);
    while events.recv().await.unwrap() != Event::Paused {}
    phone.set_heartbeat(Heartbeat::Sleeps);
    while events.recv().await.unwrap() != Event::SaidGoodNight {}
    phone.freeze();
    lan.say_goodbye();
    daemon.phone_shows("it sleeps", |phone| has(phone, WifiDeviceAsleep)).await;
    let next = air.world.root().join(".backstay").join(phone.udid()).join("next").join(phone.udid());
    let kept = backstay_tests::world::frozen(&next).len();
    println!("{kept} files are kept");
    assert!(kept > 50, "{kept} files: what came is gone");
    phone.set_fault(None);
    phone.thaw();
    phone.set_heartbeat(Heartbeat::Beats { interval: Duration::from_secs(1) });
    lan.announce(PHONE).unwrap();
    is_backed_up(&daemon).await;
    air.world.judge();
}

/// It announces itself without a name, and its port is blocked; the last time it was reached it had this name.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_port_of_a_phone_that_does_not_say_who_it_is() {
    needs_a_network!();
    let air = Air::new(527, 20, 3000).await;
    let _lan = air.join(Announced::ByNothing);
    air.network.computer.block("tcp dport 62078").unwrap();
    let (failure, checks) = status(&air).await;
    assert_eq!(failure, "wifi-firewall-blocked", "{checks:?}");
    assert_eq!((holds(&checks, "announced"), holds(&checks, "port")), (Some(true), Some(false)), "{checks:?}");
}

/// A firewall on this computer, before the phone was ever reached.
#[tokio::test(flavor = "multi_thread")]
async fn multicast_that_never_came_through() {
    needs_a_network!();
    let air = Air::new(528, 20, 3000).await;
    // As most are: what comes in is dropped unless it answers something.
    for rule in [
        "add table inet test",
        "add chain inet test in { type filter hook input priority 0; policy drop; }",
        "add rule inet test in ct state established accept",
    ] {
        air.network.computer.command("nft", &[rule]).unwrap();
    }
    let lan = air.join(Announced::ByAddress);
    let (failure, checks) = status(&air).await;
    assert_eq!(failure, "wifi-firewall-blocked", "{checks:?}");
    assert_eq!(holds(&checks, "multicast"), Some(false), "{checks:?}");
    // That nobody else is there is no firewall.
    lan.leave().await;
    air.network.computer.unblock().unwrap();
    let (failure, checks) = status(&air).await;
    assert_eq!(failure, "wifi-device-not-found", "{checks:?}");
}

/// It takes a connection and says nothing. What was seen of it is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_waits_for_no_phone() {
    needs_a_network!();
    let air = Air::new(529, 20, 3000).await;
    let _lan = air.join(Announced::ByAddress);
    air.world.phone.freeze();
    let told = text(&air.world.backstay(&["doctor"]).await);
    assert!(told.contains("it takes a connection: yes; it proves who it is: no"), "{told}");
}
