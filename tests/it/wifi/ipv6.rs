//! A network without IPv4.

use std::net::Ipv6Addr;

use backstay_tests::phone::{
    Phone, PhoneSpec,
    dataset::DataSetSpec,
    lan::{Announced, Lan},
};

use super::{
    Air, away,
    diagnosis::{holds, status},
    is_backed_up, needs_a_network, on_wifi,
};

const COMPUTER: Ipv6Addr = Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, 1);
const PHONE: Ipv6Addr = Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, 7);

#[tokio::test(flavor = "multi_thread")]
async fn found_backed_up_and_told() {
    needs_a_network!();
    let air = Air::new(541, 20, 3000).await;
    air.network.computer.set_only_ipv6(COMPUTER).unwrap();
    air.network.phone.set_only_ipv6(PHONE).unwrap();
    let daemon = air.world.daemon().await;
    let lan = Lan::join(&air.world.phone, &air.network.phone, PHONE, Announced::ByTags).unwrap();
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
    is_backed_up(&daemon).await;
    air.world.judge();
    let (failure, checks) = status(&air).await;
    assert_eq!(failure, serde_json::Value::Null, "{checks:?}");
    lan.leave().await;
    daemon.phone_shows("it is away", away).await;

    // Somebody else's phone answers, and ours does not.
    let other = Phone::new(PhoneSpec::numbered(2, DataSetSpec::uniform(542, 1, 1000)));
    let _others = Lan::join(&other, &air.network.phone, PHONE, Announced::ByAddress).unwrap();
    let (failure, checks) = status(&air).await;
    assert_eq!(holds(&checks, "multicast"), Some(true), "{failure} {checks:?}");
    assert_eq!(holds(&checks, "announced"), Some(false), "{failure} {checks:?}");
}

/// Two machines with a cable between them, and nobody who gives them addresses.
#[tokio::test(flavor = "multi_thread")]
async fn by_the_addresses_that_they_give_themselves() {
    needs_a_network!();
    let air = Air::new(543, 20, 3000).await;
    let (computer, phone) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7));
    air.network.computer.set_only_ipv6(computer).unwrap();
    air.network.phone.set_only_ipv6(phone).unwrap();
    let _lan = Lan::join(&air.world.phone, &air.network.phone, phone, Announced::ByAddress).unwrap();
    let (failure, checks) = status(&air).await;
    assert_eq!(failure, serde_json::Value::Null, "{checks:?}");
    let (code, done) = air.world.back_up_once().await;
    assert_eq!(code, 0, "{done}");
    air.world.judge();
}
