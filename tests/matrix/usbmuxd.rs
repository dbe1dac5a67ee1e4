//! A usbmuxd that is not there, or of no use.

use backstay_shared::health::FailureId::*;
use backstay_tests::{
    phone::{Event, Fault, usbmuxd::Manner},
    world::World,
};

use crate::harness::{
    Given, PLAIN, Row,
    Then::{AfterAPause, ByItself},
};

pub(crate) fn rows() -> Vec<Row> {
    let first = Given { before_the_daemon: true, ..PLAIN };
    let mut rows = vec![
        Row::daemon(
            "usbmuxd says nothing",
            (UsbmuxdNotRunning, "usbmuxd.sock"),
            ByItself,
            first,
            async |world: &World| world.usbmuxd.set_manner(Manner::Silent),
            async |world: &World| world.usbmuxd.set_manner(Manner::Honest),
        ),
        Row::daemon(
            "what answers is not usbmuxd",
            (UsbmuxdRefused, "usbmuxd.sock"),
            ByItself,
            first,
            async |world: &World| world.usbmuxd.set_manner(Manner::Garbage),
            async |world: &World| world.usbmuxd.set_manner(Manner::Honest),
        ),
        Row::daemon(
            "usbmuxd refuses to tell of phones",
            (UsbmuxdRefused, "Listen"),
            ByItself,
            first,
            async |world: &World| world.usbmuxd.refuse("Listen", 1),
            async |world: &World| world.usbmuxd.refuse_nothing(),
        ),
        Row::daemon(
            "the socket of usbmuxd is closed to this user",
            (UsbmuxdPermissionDenied, "Permission denied"),
            ByItself,
            Given { bound_by_permissions: true, ..first },
            async |world: &World| world.usbmuxd.set_socket_mode(0).unwrap(),
            async |world: &World| world.usbmuxd.set_socket_mode(0o666).unwrap(),
        ),
        Row::daemon(
            "usbmuxd is not there",
            (UsbmuxdNotRunning, "usbmuxd.sock"),
            ByItself,
            PLAIN,
            async |world: &World| world.usbmuxd.stop().await,
            async |world: &World| world.usbmuxd.start_again().await.unwrap(),
        ),
        Row::daemon(
            "usbmuxd vanishes in the middle of a backup",
            (UsbmuxdNotRunning, "usbmuxd is stopped"),
            ByItself,
            PLAIN,
            async |world: &World| {
                let mut events = world.phone.events();
                world.phone.set_fault(Some(Fault::SilentAt { bytes: 20_000 }));
                world.phone.plug_in();
                while events.recv().await.unwrap() != Event::WentSilent {}
                world.usbmuxd.stop().await;
            },
            async |world: &World| {
                world.phone.set_fault(None);
                world.usbmuxd.start_again().await.unwrap();
            },
        ),
    ];
    for (number, meaning) in
        [(1, "bad command"), (3, "port closed"), (4, "no such service"), (5, "unknown"), (6, "bad version")]
    {
        rows.push(Row::daemon(
            format!("usbmuxd refuses to connect: {number}, {meaning}"),
            (UsbmuxdRefused, "connecting to the phone"),
            AfterAPause,
            PLAIN,
            async move |world: &World| world.usbmuxd.refuse("Connect", number),
            async |world: &World| world.usbmuxd.refuse_nothing(),
        ));
    }
    rows.push(Row::daemon(
        "usbmuxd refuses to connect: 2, it does not know the phone it listed",
        (UsbmuxdRefused, "connecting to the phone"),
        AfterAPause,
        PLAIN,
        async |world: &World| world.usbmuxd.refuse("Connect", 2),
        async |world: &World| world.usbmuxd.refuse_nothing(),
    ));
    rows.push(Row::daemon(
        "usbmuxd refuses to read the pair record: 13, EACCES",
        (UsbmuxdRefused, "reading the pair record"),
        AfterAPause,
        PLAIN,
        async |world: &World| world.usbmuxd.refuse("ReadPairRecord", 13),
        async |world: &World| world.usbmuxd.refuse_nothing(),
    ));
    rows
}
