//! What the phone ends a backup with: every meaning of every code of MBErrorDomain, one row a failure at least.

use backstay_shared::health::FailureId::{self, *};
use backstay_tests::{
    phone::{Fault, Mishap, Moment, Unreadable, Versions},
    world::World,
};

use crate::harness::{
    BACKED_UP, Given, PLAIN, Row,
    Then::{self, AfterAPause, Asked, ByItself, News, Tomorrow},
};

/// Code, text, failure, and what follows.
const ENDS: &[(i64, &str, FailureId, Then)] = &[
    (1, "Error copying keychain data", DeviceKeychainError, ByItself),
    (1, "nil personaAttributes", DeviceInternalError, AfterAPause),
    (2, "Multiple errors", DeviceInternalError, AfterAPause),
    (3, "Snapshot already exists", DeviceSnapshotStuck, ByItself),
    (4, "Not found", BackupMissing, Asked),
    (5, "Not a directory", ManifestCorrupt, AfterAPause),
    (7, "Too many levels of symbolic links", HostIoError, AfterAPause),
    (9, "File changed while being sent", FilesChangedDuringBackup, AfterAPause),
    (11, "Empty or broken property list", ManifestCorrupt, AfterAPause),
    (13, "Device has not yet been unlocked", DeviceNotUnlockedSinceRestart, ByItself),
    (14, "No free mount point for a snapshot", DeviceSnapshotStuck, ByItself),
    (17, "Try again later", IcloudServerError, Asked),
    (22, "Not allowed by policy", BackupBlockedByOrganisation, Asked),
    (25, "Not available while restoring from iCloud", DeviceRestoringIcloud, AfterAPause),
    (100, "Input/output error", DeviceIoError, AfterAPause),
    (103, "Could not read from the computer", BackupStatusUnreadable, AfterAPause),
    (104, "Multiple errors uploading files", DeviceIoError, AfterAPause),
    (104, "Multiple errors uploading files (MBErrorDomain/105)", HostDiskFull, ByItself),
    (105, "Insufficient free disk space on drive", HostDiskFull, ByItself),
    (202, "Cancelled", CancelledOnDevice, Tomorrow),
    (203, "Unsupported version", BackupFormatUnsupported, AfterAPause),
    (205, "Error reading status", BackupStatusUnreadable, AfterAPause),
    (205, "Error reading backup properties", ManifestCorrupt, AfterAPause),
    (207, "Encryption is required by device management", EncryptionRequired, News),
    (208, "open error setting protection class, device locked?", DeviceLocked, ByItself),
    (209, "Files without encryption keys", BackupKeyMissing, Asked),
    (210, "No iCloud account", IcloudSignedOut, Asked),
    (212, "Setup is not finished", DeviceSetupUnfinished, ByItself),
    (223, "Deferred by the system", CancelledOnDevice, Tomorrow),
    (300, "The network connection was lost", IcloudNetworkTrouble, Asked),
    (303, "Quota exceeded", IcloudStorageFull, Asked),
    (305, "Not authorised", IcloudSignInNeeded, Asked),
    (555, "Switched off by a behaviour option", BackupBlockedByOrganisation, Asked),
    (9999, "Nobody has seen this yet", UnknownError, AfterAPause),
];

/// A person does what the failure says: plugs the phone in anew where that is the remedy.
async fn well_again(world: &World, replug: bool) {
    world.phone.set_fault(None);
    world.phone.clear_mishaps();
    if replug {
        world.phone.unplug();
        world.phone.plug_in();
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = ENDS
        .iter()
        .map(|(code, text, id, then)| {
            let replug = matches!(id, DeviceSnapshotStuck | DeviceSetupUnfinished);
            Row::daemon(
                format!("the phone ends with {code}, {text:?}"),
                (*id, text),
                *then,
                PLAIN,
                async move |world: &World| {
                    let text = format!("{text} (MBErrorDomain/{code})");
                    world.phone.set_fault(Some(Fault::FinalError { code: *code, text }));
                },
                async move |world: &World| well_again(world, replug).await,
            )
        })
        .collect();
    // The same at other moments, over a backup that is there.
    let moments: [(Moment, i64, &str, FailureId, Then); 3] = [
        (Moment::AfterIndexDownload, 205, "Error reading backup properties", ManifestCorrupt, AfterAPause),
        (Moment::BeforeFile(3), 101, "Could not open a file", DeviceIoError, AfterAPause),
        (Moment::BeforeMoves, 16, "Database is closed", DeviceInternalError, AfterAPause),
    ];
    for (moment, code, text, id, then) in moments {
        rows.push(Row::daemon(
            format!("the phone ends with {code}, {text:?}, {moment:?}, of a later backup"),
            (id, text),
            then,
            BACKED_UP,
            async move |world: &World| {
                let text = format!("{text} (MBErrorDomain/{code})");
                world.phone.during_backups(moment, Mishap::Error { code, text });
            },
            async |world: &World| well_again(world, false).await,
        ));
    }
    rows.push(Row::daemon(
        "the phone needs more room than its storage has (106)",
        (DeviceStorageFull, "Insufficient free disk space"),
        ByItself,
        PLAIN,
        async |world: &World| {
            world.phone.set_free_space(2_000_000_000);
            let text = "Insufficient free disk space (MBErrorDomain/106)".into();
            world.phone.set_fault(Some(Fault::FinalError { code: 106, text }));
        },
        async |world: &World| {
            world.phone.set_fault(None);
            world.phone.set_free_space(3_000_000_000);
        },
    ));
    for (versions, quotes) in [(Versions::NoDeviceLink, "version"), (Versions::NoProtocol, "protocol version")] {
        rows.push(Row::daemon(
            format!("no version in common: {versions:?}"),
            (ProtocolVersionMismatch, quotes),
            Asked,
            PLAIN,
            async move |world: &World| world.phone.set_versions(versions),
            async |world: &World| world.phone.set_versions(Versions::Common),
        ));
    }
    rows.extend(messages());
    rows
}

/// What is no code: messages that no phone should send, and ends without a word.
fn messages() -> Vec<Row> {
    let row = |fault: &str, id, quotes, then, given: Given, made: fn(&World) -> Fault| {
        Row::daemon(
            fault,
            (id, quotes),
            then,
            given,
            async move |world: &World| {
                let fault = made(world);
                world.phone.set_fault(Some(fault));
            },
            async |world: &World| well_again(world, false).await,
        )
    };
    vec![
        row("a path that leaves the phone's folder", DeviceDataRefused, "../escape", Asked, PLAIN, |_| {
            Fault::HostilePath { device: String::new(), file: "../escape".into() }
        }),
        row("a move out of the phone's folder", DeviceDataRefused, "../../home", Asked, PLAIN, |world| {
            Fault::HostileMove { from: "../../home".into(), to: format!("{}/home", world.phone.udid()) }
        }),
        row("a message of 4 GB", DeviceDataRefused, "4294967295 bytes", Asked, PLAIN, |_| Fault::MessageLength {
            bytes: u32::MAX,
        }),
        row("a message that is none", DeviceDataRefused, "could not be understood", Asked, PLAIN, |_| {
            Fault::MessageBroken
        }),
        row("the backup ends without a result", DeviceAgentDied, "without a result", AfterAPause, PLAIN, |_| {
            Fault::DisconnectWithoutStatus
        }),
        row("\"success\", and a file never came", BackupVerifyFailed, "missing", AfterAPause, PLAIN, |_| {
            Fault::FileForgotten { index: 3 }
        }),
        Row::daemon(
            "a file that the phone can't read",
            (DeviceFilesUnreadable, "\"files\":1"),
            News,
            PLAIN,
            async |world: &World| {
                world.phone.set_fault(Some(Fault::FileUnreadable { index: 7, manner: Unreadable::LEFT_OUT }))
            },
            async |world: &World| world.phone.set_fault(None),
        ),
    ]
}
