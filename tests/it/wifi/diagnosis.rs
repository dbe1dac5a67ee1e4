//! What is in the way is told by its name: before a backup, in the middle of one, and by the doctor.

use std::{net::Ipv4Addr, time::Instant};

use backstay_shared::{
    health::FailureId::{self, HostOffline, WifiDeviceAsleep, WifiDifferentNetwork, WifiFirewallBlocked, WifiLost},
    overview::{PhoneOverview, Problem},
};
use backstay_tests::{
    network::PHONE,
    phone::{Event, Fault, Heartbeat, lan::Announced},
    world::{Daemon, text},
};
use serde_json::Value;

use super::{Air, away, is_backed_up, needs_a_network, on_wifi};

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 7);

fn has(phone: &PhoneOverview, id: FailureId) -> Option<Problem> {
    phone.problems.iter().find(|problem| problem.id == id).cloned()
}

/// `backstay wifi status --json`: the failure, and what holds and what does not.
async fn status(air: &Air) -> (Value, Vec<(String, bool)>) {
    let output = air.world.backstay(&["wifi", "status", "--json"]).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let phone = &told["phones"][0];
    let check = |check: &Value| (check["condition"].as_str().unwrap().to_owned(), check["holds"].as_bool().unwrap());
    (phone["failure"].clone(), phone["checks"].as_array().unwrap().iter().map(check).collect())
}

fn holds(checks: &[(String, bool)], condition: &str) -> Option<bool> {
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
    let told = daemon.phone_shows("the firewall is told", |phone| has(phone, WifiFirewallBlocked)).await;
    println!("{}", told.why);
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
