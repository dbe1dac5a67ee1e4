//! Who is here, and who is not: over changes of the network and of the mind, and among people who mean no good.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex},
};

use backstay_shared::{
    client::Client,
    overview::{Link, PhoneOverview},
    protocol::Request,
};
use backstay_tests::{
    desktop::{Logind, PrivateBus},
    network::PHONE,
    phone::{
        Event, Phone,
        lan::{Announced, Lan},
        lockdownd::Shown,
    },
    world::{Daemon, eventually, text},
};

use super::{Air, away, is_backed_up, needs_a_network, on_wifi};

/// The sockets with which somebody listens for announcements on the daemon's machine.
fn ears(daemon: &Daemon) -> BTreeSet<String> {
    let sockets = fs::read_to_string(format!("/proc/{}/net/udp", daemon.child.id().unwrap())).unwrap();
    let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // proc(5): the local address and port in hexadecimal; the inode.
    fields.filter(|fields| fields[1].ends_with(":14E9")).map(|fields| fields[9].to_owned()).collect()
}

async fn hears_anew(daemon: &Daemon, before: &BTreeSet<String>) -> BTreeSet<String> {
    eventually("it listens anew", async || {
        let now = ears(daemon);
        (!now.is_empty() && now.is_disjoint(before)).then_some(now)
    })
    .await
}

/// Everything that is shown of the phone's link from now on.
async fn links(air: &Air) -> Arc<Mutex<Vec<Option<Link>>>> {
    let mut client = Client::connect(&air.world.socket()).await.unwrap();
    client.send(Request::Subscribe).await.unwrap();
    let links = Arc::<Mutex<Vec<_>>>::default();
    let seen = links.clone();
    tokio::spawn(async move {
        while let Ok(overview) = client.overview().await {
            let mut seen = seen.lock().unwrap();
            seen.extend(overview.phones.iter().map(|phone| phone.link));
            seen.dedup();
        }
    });
    links
}

/// The computer wakes, comes into one more network, and hears a goodbye of a phone that stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_there_is_never_away() {
    needs_a_network!();
    let bus = PrivateBus::start();
    let logind = Logind::start(&bus).await;
    let mut air = Air::new(531, 20, 3000).await;
    air.world.system_bus = Some(bus.address().to_owned());
    let daemon = air.world.daemon().await;
    let lan = air.join(Announced::ByTags);
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
    is_backed_up(&daemon).await;
    logind.is_heard().await;
    let links = links(&air).await;
    let mut heard_with = ears(&daemon);

    logind.tell_sleep(true).await;
    logind.tell_sleep(false).await;
    heard_with = hears_anew(&daemon, &heard_with).await;

    air.network.computer.add_network("other", Ipv4Addr::new(10, 99, 0, 1)).unwrap();
    heard_with = hears_anew(&daemon, &heard_with).await;

    // The proof that it is there.
    let visits = lan.visits();
    let before = *visits.borrow();
    lan.say_goodbye();
    heard_with = hears_anew(&daemon, &heard_with).await;
    assert!(*visits.borrow() > before);
    assert!(!heard_with.is_empty());

    air.world.change();
    let output = air.world.backstay(&["backup", "--json"]).await;
    assert!(output.status.success(), "{}", text(&output));
    air.world.judge();
    assert_eq!(*links.lock().unwrap(), [Some(Link::Wifi)]);
}

/// Taken back on both links: what is kept of the phone goes, nobody listens any more, and the cable is all that is left.
#[tokio::test(flavor = "multi_thread")]
async fn switched_off_while_it_is_on_both_links() {
    needs_a_network!();
    let air = Air::new(532, 20, 3000).await;
    let daemon = air.world.daemon().await;
    let _lan = air.join(Announced::ByAddress);
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
    is_backed_up(&daemon).await;
    air.world.phone.plug_in();
    let on_cable = |phone: &PhoneOverview| (phone.link == Some(Link::Usb)).then_some(());
    daemon.phone_shows("it is on its cable", on_cable).await;
    let record = format!("home/.local/state/backstay/pair-records/{}.plist", air.world.phone.udid());
    let record = air.world.folder.path().join(record);
    assert!(record.exists() && !ears(&daemon).is_empty());
    let output = air.world.backstay(&["wifi", "off"]).await;
    assert!(output.status.success(), "{}", text(&output));
    assert!(!record.exists());
    eventually("nobody listens", async || ears(&daemon).is_empty().then_some(())).await;
    air.world.phone.unplug();
    daemon.phone_shows("it is away", away).await;
    let output = air.world.backstay(&["wifi", "status", "--json"]).await;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["phones"][0]["failure"], "wifi-backup-off", "{told}");

    // And back.
    air.world.phone.plug_in();
    daemon.phone_shows("it is on its cable", on_cable).await;
    let output = air.world.backstay(&["wifi", "on"]).await;
    assert!(output.status.success(), "{}", text(&output));
    air.world.phone.unplug();
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
}

/// The daemon asks somebody with the phone's name, or with none, again and again, and never takes him for the phone.
#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_is_nobody_to_the_daemon() {
    needs_a_network!();
    let air = Air::new(533, 20, 3000).await;
    let (world, real) = (&air.world, &air.world.phone);
    let daemon = world.daemon().await;
    let record = world.usbmuxd.pair_records().read(real.udid()).unwrap();
    let record: plist::Dictionary = plist::from_bytes(&record).unwrap();
    for (shown, announced) in [(Shown::Own, Announced::ByAddress), (Shown::Stolen, Announced::ByNothing)] {
        let impostor = Phone::new(real.spec().clone());
        impostor.set_lockdown_value("com.apple.mobile.wireless_lockdown", "EnableWifiConnections", Some(true.into()));
        impostor.trust().impersonate(&record, shown).unwrap();
        let mut events = impostor.events();
        let links = links(&air).await;
        let lan = Lan::join(&impostor, &air.network.phone, PHONE, announced).unwrap();
        let mut visits = lan.visits();
        // The second time shows that the first one was to no avail.
        visits.wait_for(|visits| *visits >= 2).await.unwrap();
        let asked = std::iter::from_fn(|| events.try_recv().ok());
        assert_eq!(asked.filter(|event| matches!(event, Event::ServiceStarted(_))).count(), 0, "{shown:?}");
        lan.leave().await;
        assert!(links.lock().unwrap().iter().all(Option::is_none), "{shown:?}: it was never here");
    }
    let _lan = air.join(Announced::ByAddress);
    daemon.phone_shows("the phone itself", on_wifi).await;
    is_backed_up(&daemon).await;
    world.judge();
}

/// Names that nobody asked for, as many as fit: the responder would keep all of them for over an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_not_listened_to() {
    needs_a_network!();
    let air = Air::new(534, 20, 3000).await;
    let daemon = air.world.daemon().await;
    let _lan = air.join(Announced::ByTags);
    daemon.phone_shows("it is on Wi-Fi", on_wifi).await;
    is_backed_up(&daemon).await;
    let links = links(&air).await;
    let socket = air.network.phone.with(|| UdpSocket::bind((PHONE, 0))).unwrap().unwrap();
    let mut number = 0u32;
    eventually("it does not listen", async || {
        for _ in 0..10 {
            socket.send_to(&names(&mut number), ("224.0.0.251", 5353)).unwrap();
        }
        ears(&daemon).is_empty().then_some(())
    })
    .await;
    println!("after {number} names");
    let output = air.world.backstay(&["backup", "--json"]).await;
    assert!(output.status.success(), "what is here stays: {}", text(&output));
    assert_eq!(*links.lock().unwrap(), [Some(Link::Wifi)]);
}

/// An answer to no question with 40 texts (RFC 1035, 4.1).
fn names(number: &mut u32) -> Vec<u8> {
    const COUNT: u8 = 40;
    let mut message = vec![0, 0, 0x84, 0, 0, 0, 0, COUNT, 0, 0, 0, 0];
    for _ in 0..COUNT {
        *number += 1;
        let label = format!("{number:08x}");
        message.push(8);
        message.extend(label.as_bytes());
        message.extend(b"\x05local\0");
        // TXT, IN, 4500 seconds, 9 bytes.
        message.extend([0, 16, 0, 1, 0, 0, 0x11, 0x94, 0, 9, 8]);
        message.extend(label.as_bytes());
    }
    message
}
