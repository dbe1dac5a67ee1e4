//! Presence and pair records as a client sees them.

use std::time::Duration;

use futures_util::StreamExt;
use idevice::usbmuxd::{Connection, UsbmuxdListenEvent};
use tokio::{io::AsyncReadExt, net::UnixStream, time::timeout};

use super::{
    Manner,
    message::{self, ResultNumber},
};
use crate::phone::services::tests::Bench;

#[tokio::test]
async fn listeners_see_each_plugging_in_as_a_new_device() {
    let bench = Bench::new().await;
    let mut usbmuxd = bench.address().connect(1).await.unwrap();
    let mut events = usbmuxd.listen().await.unwrap();
    match events.next().await {
        Some(Ok(UsbmuxdListenEvent::Connected(device))) => {
            assert_eq!((device.udid.as_str(), device.device_id), (bench.phone.udid(), 1));
        }
        other => panic!("{other:?}"),
    }
    bench.phone.unplug();
    bench.phone.plug_in();
    assert!(matches!(events.next().await, Some(Ok(UsbmuxdListenEvent::Disconnected(1)))));
    match events.next().await {
        Some(Ok(UsbmuxdListenEvent::Connected(device))) => assert_eq!(device.device_id, 2),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pulling_the_cable_drops_open_connections() {
    let bench = Bench::new().await;
    let mut stream = connect(&bench, 1, 62078).await.unwrap();
    bench.phone.unplug();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(connect(&bench, 1, 62078).await.unwrap_err(), ResultNumber::BadDevice as u64);
    bench.phone.plug_in();
    assert_eq!(connect(&bench, 2, 50000).await.unwrap_err(), ResultNumber::ConnectionRefused as u64);
}

#[tokio::test]
async fn the_server_vanishes_and_comes_back() {
    let bench = Bench::new().await;
    let mut stream = connect(&bench, 1, 62078).await.unwrap();
    bench.usbmuxd.stop().await;
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(bench.address().connect(1).await.is_err());
    bench.usbmuxd.start_again().await.unwrap();
    let mut usbmuxd = bench.address().connect(1).await.unwrap();
    assert_eq!(usbmuxd.get_buid().await.unwrap(), bench.usbmuxd.buid());
    assert_eq!(usbmuxd.get_devices().await.unwrap().len(), 1);
    assert!(usbmuxd.get_pair_record(bench.phone.udid()).await.is_ok());
    usbmuxd.delete_pair_record(bench.phone.udid()).await.unwrap();
    assert!(usbmuxd.get_pair_record(bench.phone.udid()).await.is_err());
}

#[tokio::test]
async fn a_length_without_end_is_refused() {
    let bench = Bench::new().await;
    let mut stream = UnixStream::connect(bench.usbmuxd.socket_path()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &u32::MAX.to_le_bytes()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn each_message_may_be_refused() {
    let bench = Bench::new().await;
    for number in 1..=6 {
        bench.usbmuxd.refuse("Connect", number);
        assert_eq!(connect(&bench, 1, 62078).await.unwrap_err(), number);
    }
    bench.usbmuxd.refuse("SavePairRecord", 13);
    let mut usbmuxd = bench.address().connect(1).await.unwrap();
    assert!(usbmuxd.save_pair_record(bench.phone.udid(), Vec::new()).await.is_err());
    bench.usbmuxd.refuse("ReadPairRecord", 2);
    assert!(usbmuxd.get_pair_record(bench.phone.udid()).await.is_err());
    bench.usbmuxd.refuse_nothing();
    usbmuxd.get_pair_record(bench.phone.udid()).await.unwrap();
    connect(&bench, 1, 62078).await.unwrap();
}

#[tokio::test]
async fn it_may_be_silent_or_speak_nonsense() {
    let bench = Bench::new().await;
    bench.usbmuxd.set_manner(Manner::Garbage);
    assert!(bench.address().connect(1).await.unwrap().get_devices().await.is_err());
    bench.usbmuxd.set_manner(Manner::Silent);
    let mut usbmuxd = bench.address().connect(1).await.unwrap();
    let mut asked = tokio::spawn(async move { usbmuxd.get_devices().await });
    assert!(timeout(Duration::from_millis(100), &mut asked).await.is_err());
    bench.usbmuxd.set_manner(Manner::Honest);
    assert!(asked.await.unwrap().is_err(), "a connection without an answer is closed");
    assert_eq!(bench.address().connect(1).await.unwrap().get_devices().await.unwrap().len(), 1);
}

#[test]
fn a_socket_without_permission_is_eacces_also_for_root() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("usbmuxd.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let connect = |mode| {
        std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let script = format!("import socket; socket.socket(socket.AF_UNIX).connect({socket:?})");
        let mut command = std::process::Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search", "python3", "-c", &script]);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(connect(0o000).contains("PermissionError: [Errno 13]"), "{}", connect(0o000));
    assert_eq!(connect(0o600), "");
    drop(listener);
}

#[tokio::test]
async fn a_phone_on_wifi_is_a_network_device() {
    let bench = Bench::new().await;
    bench.phone.appear_on_wifi();
    let mut usbmuxd = bench.address().connect(1).await.unwrap();
    let devices = usbmuxd.get_devices().await.unwrap();
    assert_eq!(devices[0].connection_type, Connection::Network("192.0.2.7".parse().unwrap()));
    assert_eq!(devices[0].device_id, 2);
    connect(&bench, 2, 62078).await.unwrap();
    bench.phone.plug_in();
    assert_eq!(usbmuxd.get_devices().await.unwrap()[0].connection_type, Connection::Usb);
    bench.phone.unplug();
    assert!(usbmuxd.get_devices().await.unwrap().is_empty());
}

/// Connects to a port, or gives the result's number.
async fn connect(bench: &Bench, device: u64, port: u16) -> Result<UnixStream, u64> {
    let mut stream = UnixStream::connect(bench.usbmuxd.socket_path()).await.unwrap();
    let request = plist::Dictionary::from_iter([
        ("MessageType", plist::Value::from("Connect")),
        ("DeviceID", plist::Value::from(device)),
        ("PortNumber", plist::Value::from(u64::from(port.to_be()))),
    ]);
    message::write(&mut stream, 1, request).await.unwrap();
    let reply = message::read(&mut stream).await.unwrap().unwrap();
    match reply.number("Number").unwrap() {
        0 => Ok(stream),
        number => Err(number),
    }
}
