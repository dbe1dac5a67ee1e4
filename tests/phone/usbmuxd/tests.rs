//! Presence and pair records as a client sees them.

use futures_util::StreamExt;
use idevice::usbmuxd::UsbmuxdListenEvent;
use tokio::{io::AsyncReadExt, net::UnixStream};

use super::message::{self, ResultNumber};
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
