//! Whom the phone trusts, what lockdownd refuses, and handshakes that fail.

use backstay_shared::health::FailureId::{self, *};
use backstay_tests::{
    phone::{Handshake, TlsFailure, lockdownd::Dialog},
    world::World,
};

use crate::{
    harness::{
        BACKED_UP, Given, PLAIN, Row,
        Then::{self, AfterAPause, Asked, ByItself},
    },
    vault::make_older,
};

/// What lockdownd refuses with, to which request about what, and what it is.
const REFUSALS: &[(&str, Option<&str>, &str, FailureId, Then)] = &[
    ("StartService", Some("com.apple.mobilebackup2"), "InvalidService", BackupServiceUnavailable, AfterAPause),
    ("StartService", Some("com.apple.mobilebackup2"), "ServiceLimit", BackupServiceUnavailable, AfterAPause),
    ("StartService", Some("com.apple.mobilebackup2"), "CheckinTimeout", BackupServiceUnavailable, AfterAPause),
    ("StartService", Some("com.apple.mobilebackup2"), "SessionInactive", SessionLost, AfterAPause),
    ("StartService", Some("com.apple.mobilebackup2"), "GetProhibited", LockdownRequestRefused, Asked),
    ("StartService", Some("com.apple.mobilebackup2"), "MissingActivationRecord", DeviceNotActivated, Asked),
    ("StartService", Some("com.apple.mobilebackup2"), "PasswordProtected", DeviceLocked, ByItself),
    ("StartService", Some("com.apple.mobilebackup2"), "NobodyKnowsThisOne", UnknownError, AfterAPause),
    (
        "StartService",
        Some("com.apple.mobile.notification_proxy"),
        "ServiceProhibited",
        BackupServiceUnavailable,
        AfterAPause,
    ),
    ("StartSession", None, "InvalidSessionID", SessionLost, AfterAPause),
    ("StartSession", None, "MissingValue", LockdownRequestRefused, Asked),
];

fn untrusted(world: &World) {
    world.usbmuxd.pair_records().delete(world.phone.udid()).unwrap();
    world.phone.trust().forget_all();
}

async fn replug(world: &World) {
    world.phone.unplug();
    world.phone.plug_in();
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = REFUSALS
        .iter()
        .map(|(request, about, error, id, then)| {
            let subject = about.map_or(String::new(), |about| format!(" of {about}"));
            // What has a type of its own in the library is told in its words.
            let quotes = match *error {
                "SessionInactive" | "GetProhibited" | "PasswordProtected" => "starting com.apple.mobilebackup2",
                error => error,
            };
            Row::daemon(
                format!("lockdownd refuses {request}{subject}: {error}"),
                (*id, quotes),
                *then,
                PLAIN,
                async move |world: &World| world.phone.refuse(request, *about, error),
                async |world: &World| world.phone.refuse_nothing(),
            )
        })
        .collect();
    rows.extend(pairing());
    rows.extend(handshakes());
    rows
}

fn pairing() -> Vec<Row> {
    let mut rows = vec![
        Row::daemon(
            "a phone that has never seen this computer asks its owner",
            (TrustPending, "trust this computer"),
            ByItself,
            PLAIN,
            async |world: &World| {
                untrusted(world);
                world.phone.trust().dialog = Dialog::Pending;
            },
            async |world: &World| world.phone.trust().dialog = Dialog::Accepts,
        ),
        Row::daemon(
            "its owner taps Don't Trust",
            (TrustDenied, "UserDeniedPairing"),
            ByItself,
            PLAIN,
            async |world: &World| {
                untrusted(world);
                world.phone.trust().dialog = Dialog::Denied;
            },
            async |world: &World| {
                world.phone.trust().dialog = Dialog::Accepts;
                replug(world).await;
            },
        ),
        Row::daemon(
            "the phone has forgotten this computer",
            (PairingLost, "starting a session"),
            ByItself,
            PLAIN,
            async |world: &World| {
                world.phone.trust().forget_all();
                world.phone.trust().dialog = Dialog::Pending;
            },
            async |world: &World| world.phone.trust().dialog = Dialog::Accepts,
        ),
        Row::daemon(
            "the phone has forgotten this computer, last seen 40 days ago",
            (PairingExpired, "\"days\":40"),
            ByItself,
            Given { before_the_daemon: true, ..BACKED_UP },
            async |world: &World| {
                make_older(world, 40);
                world.phone.trust().forget_all();
                world.phone.trust().dialog = Dialog::Pending;
            },
            async |world: &World| world.phone.trust().dialog = Dialog::Accepts,
        ),
        Row::daemon(
            "a phone that has never seen this computer comes over Wi-Fi",
            (PairingNeedsCable, "PairingProhibitedOverThisConnection"),
            ByItself,
            PLAIN,
            async |world: &World| {
                untrusted(world);
                world.phone.appear_on_wifi();
            },
            async |world: &World| world.phone.plug_in(),
        ),
    ];
    for (error, id) in [
        ("MCProtected", MdmDisallowsPairing),
        ("MCChallengeRequired", MdmDisallowsPairing),
        ("SavePairRecordFailed", PairRecordSaveFailed),
    ] {
        rows.push(Row::daemon(
            format!("the phone refuses to be paired: {error}"),
            (id, error),
            ByItself,
            PLAIN,
            async move |world: &World| {
                untrusted(world);
                world.phone.refuse("Pair", None, error);
            },
            async |world: &World| {
                world.phone.refuse_nothing();
                replug(world).await;
            },
        ));
    }
    rows.push(Row::daemon(
        "usbmuxd can't save the pair record",
        (PairRecordSaveFailed, "saving the pair record"),
        ByItself,
        PLAIN,
        async |world: &World| {
            untrusted(world);
            world.usbmuxd.refuse("SavePairRecord", 13);
        },
        async |world: &World| {
            world.usbmuxd.refuse_nothing();
            replug(world).await;
        },
    ));
    rows
}

fn handshakes() -> Vec<Row> {
    let mut rows = Vec::new();
    for handshake in [Handshake::Session, Handshake::Service] {
        for failure in [TlsFailure::Alert, TlsFailure::Closed, TlsFailure::OtherPairing] {
            rows.push(Row::daemon(
                format!("the handshake of a {handshake:?} fails: {failure:?}").to_lowercase(),
                (
                    SecureConnectionFailed,
                    if handshake == Handshake::Session { "starting a session" } else { "securing com.apple" },
                ),
                AfterAPause,
                PLAIN,
                async move |world: &World| world.phone.fail_tls(handshake, failure),
                async |world: &World| world.phone.mend_tls(),
            ));
        }
    }
    rows
}
