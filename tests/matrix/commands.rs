//! What the command line tells: backups without a daemon, restores, and copies of photos.

use std::time::Instant;

use backstay_shared::{
    health::FailureId::*,
    protocol::{Reply, Request},
};
use backstay_tests::{
    phone::{Fault, Phone, afc::FileFault},
    world::World,
};
use plist::Value;

use crate::{
    harness::{BACKED_UP, PLAIN, Row, Stage, Then, object_of},
    vault::lose_a_file,
};

async fn backup(world: &World) -> serde_json::Value {
    world.back_up_once().await.1
}

async fn restore(world: &World) -> serde_json::Value {
    object_of(world, &["restore", world.phone.udid(), "--yes"]).await
}

async fn copy_photos(world: &World) -> serde_json::Value {
    let destination = world.folder.path().join("photos");
    object_of(world, &["copy-photos", "iPhone", destination.to_str().unwrap()]).await
}

fn set(phone: &Phone, domain: &str, key: &str, value: impl Into<Value>) {
    phone.set_lockdown_value(domain, key, Some(value.into()));
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::command(
            "a backup of a phone that is not here",
            (DeviceNotFound, "device-not-found"),
            PLAIN,
            async |world: &World| world.phone.unplug(),
            backup,
            async |world: &World| world.phone.plug_in(),
        ),
        Row::command(
            "the phone wants more room than the disk has",
            (HostDiskFull, "bytes_needed"),
            PLAIN,
            async |world: &World| world.phone.set_fault(Some(Fault::SpaceNeeded { bytes: 1 << 50 })),
            backup,
            async |world: &World| world.phone.set_fault(None),
        ),
    ];
    rows.extend(restores());
    rows.extend(photos());
    rows
}

fn restores() -> Vec<Row> {
    vec![
        Row::command(
            "a restore while Find My is on",
            (FindMyBlocksRestore, "Find My"),
            BACKED_UP,
            async |world: &World| set(&world.phone, "com.apple.fmip", "IsAssociated", true),
            restore,
            async |world: &World| set(&world.phone, "com.apple.fmip", "IsAssociated", false),
        ),
        Row::command(
            "a restore onto an older iOS",
            (RestoreIosTooOld, "the iPhone has iOS 9.3"),
            BACKED_UP,
            async |world: &World| set(&world.phone, "", "ProductVersion", "9.3"),
            restore,
            async |world: &World| set(&world.phone, "", "ProductVersion", world.phone.spec().product_version.as_str()),
        ),
        Row::command(
            "a restore onto a phone that is too small",
            (RestoreIphoneTooSmall, "\"bytes_free\":1000"),
            BACKED_UP,
            async |world: &World| set(&world.phone, "com.apple.disk_usage", "TotalDataCapacity", 1000_u64),
            restore,
            async |world: &World| set(&world.phone, "com.apple.disk_usage", "TotalDataCapacity", 1_u64 << 40),
        ),
        Row::command(
            "a restore with an empty battery",
            (DeviceBatteryLow, "9 % left"),
            BACKED_UP,
            async |world: &World| world.phone.set_battery(9, false),
            restore,
            async |world: &World| world.phone.set_battery(80, true),
        ),
        Row::command(
            "the phone refuses a file of a restore (213)",
            (RestoreFileRefused, "not restored in the foreground"),
            BACKED_UP,
            async |world: &World| {
                let text = "A file was not restored in the foreground (MBErrorDomain/213)".into();
                world.phone.set_fault(Some(Fault::FinalError { code: 213, text }));
            },
            restore,
            async |world: &World| world.phone.set_fault(None),
        ),
        Row::command(
            "the phone has no room for a file of a restore (106)",
            (RestoreIphoneTooSmall, "Insufficient free disk space"),
            BACKED_UP,
            async |world: &World| {
                let text = "Insufficient free disk space on device to restore (MBErrorDomain/106)".into();
                world.phone.set_fault(Some(Fault::FinalError { code: 106, text }));
            },
            restore,
            async |world: &World| world.phone.set_fault(None),
        ),
        Row::command(
            "a restore of a backup that lacks a file",
            (BackupDamaged, "missing"),
            BACKED_UP,
            async |world: &World| lose_a_file(world),
            restore,
            async |world: &World| {
                let arguments = ["backup", "--once", "--full"];
                assert!(object_of(world, &arguments).await["failure"].is_null());
            },
        ),
        Row::command(
            "the cable comes out in the middle of a restore",
            (UsbDisconnected, "restoring the backup"),
            BACKED_UP,
            async |world: &World| world.phone.set_fault(Some(Fault::UnplugAt { bytes: 300 })),
            restore,
            async |world: &World| world.phone.plug_in(),
        ),
    ]
}

fn photos() -> Vec<Row> {
    vec![
        Row::command(
            "a photo that the phone can't read",
            (PhotosCopyFailed, "IMG_0002.JPG"),
            PLAIN,
            async |world: &World| {
                let fault = Some(FileFault::IoErrorAt { bytes: 10 });
                world.phone.media().set_file_fault("DCIM/100APPLE/IMG_0002.JPG", fault);
            },
            copy_photos,
            async |world: &World| world.phone.media().set_file_fault("DCIM/100APPLE/IMG_0002.JPG", None),
        ),
        Row::command(
            "originals that are only in iCloud",
            (PhotosNotOnIphone, "\"files\":30"),
            PLAIN,
            async |world: &World| world.phone.media().optimise_storage(40, 10),
            copy_photos,
            async |world: &World| world.phone.media().optimise_storage(40, 40),
        ),
        Row::own(
            "photos were copied since no backup is to be had",
            PhotosCopyOnly,
            "Photos of",
            |id, quotes| async move {
                let mut stage = Stage::set(PLAIN).await;
                stage.start().await;
                let text = "Not allowed by policy (MBErrorDomain/22)".into();
                stage.world.phone.set_fault(Some(Fault::FinalError { code: 22, text }));
                stage.bring_the_phone().await?;
                stage.told(BackupBlockedByOrganisation, "policy", Instant::now()).await?;
                let began = Instant::now();
                if stage.request(Request::CopyPhotos { phone: None }).await != Reply::Done {
                    return Err("photos are not copied".into());
                }
                let told = stage.told(id, &quotes, began).await?;
                let cure = async |world: &World| world.phone.set_fault(None);
                stage.after(id, Then::Asked, told, cure).await
            },
        ),
    ]
}
