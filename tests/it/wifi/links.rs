//! Found, proved and backed up; by every kind of announcement, and from one link to the other.

use backstay_shared::overview::Link;
use backstay_tests::{
    network::PHONE,
    phone::{
        Event, Fault, Phone,
        lan::{Announced, Lan},
        lockdownd::Shown,
    },
    world::text,
};

use super::{Air, away, is_backed_up, needs_a_network, on_wifi};

/// Without usbmuxd: Debian's ends with the last phone on its cable.
#[tokio::test(flavor = "multi_thread")]
async fn found_and_backed_up_with_heartbeats() {
    needs_a_network!();
    let air = Air::new(501, 400, 20_000).await;
    air.world.usbmuxd.stop().await;
    air.world.phone.set_link_speed(Some(1_000_000));
    let mut events = air.world.phone.events();
    let daemon = air.world.daemon().await;
    let lan = air.join(Announced::ByAddress);
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
    is_backed_up(&daemon).await;
    air.world.judge();
    let answered = std::iter::from_fn(|| events.try_recv().ok()).filter(|event| *event == Event::HeartbeatAnswered);
    let answered = answered.count();
    println!("{answered} heartbeats were answered in a backup of 8 MB at 1 MB/s");
    assert!(answered >= 5, "{answered}");
    lan.leave().await;
    daemon.phone_shows("it has said goodbye", away).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn found_by_tags_alone() {
    needs_a_network!();
    found_as(502, Announced::ByTags).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn found_though_it_does_not_say_who_it_is() {
    needs_a_network!();
    found_as(503, Announced::ByNothing).await;
}

async fn found_as(seed: u64, announced: Announced) {
    let air = Air::new(seed, 20, 3000).await;
    let daemon = air.world.daemon().await;
    let _lan = air.join(announced);
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
    is_backed_up(&daemon).await;
    air.world.judge();
}

/// While nothing is due, a word or two is all: no service, not even a heartbeat.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_comes_is_asked_for_no_service() {
    needs_a_network!();
    let air = Air::new(506, 20, 3000).await;
    let _lan = air.join(Announced::ByAddress);
    let (code, done) = air.world.back_up_once().await;
    assert_eq!(code, 0, "{done}");
    let mut events = air.world.phone.events();
    let daemon = air.world.daemon().await;
    daemon.phone_shows("it tells how it is", |phone| (phone.wifi_allowed == Some(true)).then_some(())).await;
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
    let services: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok())
        .filter(|event| matches!(event, Event::ServiceStarted(_)))
        .collect();
    assert_eq!(services, [], "nothing is due");
}

/// Somebody in the network with the phone's name, and without its key: with a certificate of his own, and with the phone's.
#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_is_nobody() {
    needs_a_network!();
    let air = Air::new(504, 20, 3000).await;
    let (world, real) = (&air.world, &air.world.phone);
    let record = world.usbmuxd.pair_records().read(real.udid()).unwrap();
    let record: plist::Dictionary = plist::from_bytes(&record).unwrap();
    for shown in [Shown::Own, Shown::Stolen] {
        let impostor = Phone::new(real.spec().clone());
        impostor.set_lockdown_value("com.apple.mobile.wireless_lockdown", "EnableWifiConnections", Some(true.into()));
        impostor.trust().impersonate(&record, shown).unwrap();
        let mut events = impostor.events();
        let lan = Lan::join(&impostor, &air.network.phone, PHONE, Announced::ByAddress).unwrap();
        let output = world.backstay(&["wifi", "status", "--json"]).await;
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["phones"][0]["failure"], "secure-connection-failed", "{shown:?}: {told}");
        let (code, failed) = world.back_up_once().await;
        assert_eq!((code, &failed["failure"]["id"]), (1, &"device-not-found".into()), "{shown:?}: {failed}");
        // The escrow bag goes out with the first service.
        let asked = std::iter::from_fn(|| events.try_recv().ok());
        assert_eq!(asked.filter(|event| matches!(event, Event::ServiceStarted(_))).count(), 0, "{shown:?}");
        lan.leave().await;
    }
    let _lan = air.join(Announced::ByAddress);
    let (code, done) = world.back_up_once().await;
    assert_eq!(code, 0, "the phone itself: {done}");
    world.judge();
}

/// The retry takes the link that is left, both ways.
#[tokio::test(flavor = "multi_thread")]
async fn from_the_cable_to_wifi_and_back() {
    needs_a_network!();
    let air = Air::new(505, 200, 20_000).await;
    let world = &air.world;
    let daemon = world.daemon().await;
    let lan = air.join(Announced::ByTags);
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
    is_backed_up(&daemon).await;

    let on_cable = |phone: &backstay_shared::overview::PhoneOverview| (phone.link == Some(Link::Usb)).then_some(());
    world.phone.plug_in();
    daemon.phone_shows("USB wins", on_cable).await;
    world.change();
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 60_000 }));
    let output = world.backstay(&["backup", "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "the cable came out: {}", text(&output));
    daemon.phone_shows("it goes on over Wi-Fi", on_wifi).await;
    is_backed_up(&daemon).await;
    world.judge();

    // And back: Wi-Fi goes while a cable is in.
    world.change();
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 60_000 }));
    let mut events = world.phone.events();
    let backing_up = world.backstay(&["backup", "--json"]);
    let pulling = async {
        while events.recv().await.unwrap() != Event::Paused {}
        world.phone.plug_in();
        daemon.phone_shows("the cable is in", on_cable).await;
        lan.hang_up();
        lan.say_goodbye();
        world.phone.set_fault(None);
        world.phone.go_on();
    };
    let (output, ()) = tokio::join!(backing_up, pulling);
    assert_eq!(output.status.code(), Some(1), "Wi-Fi went: {}", text(&output));
    is_backed_up(&daemon).await;
    world.judge();
}
