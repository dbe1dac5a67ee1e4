//! The way to the phone: cables, Wi-Fi, links that are dead or slow, and services that die.

use std::time::Duration;

use backstay_shared::{health::FailureId::*, protocol::Request};
use backstay_tests::{
    phone::{Event, Fault, Mishap, Moment},
    world::World,
};

use crate::harness::{
    Given, PLAIN, Row, Stage,
    Then::{self, AfterAPause, Asked, ByItself},
};

/// Large enough that a crawling backup crawls for minutes.
const LARGE: Given = Given { files: (200, 20_000), ..PLAIN };

/// A minute of crawling is told.
const SLOW: &str = "[watch]\napple_status = false\nios_versions = false\nicloud = false\n[backup]\nslow_minutes = 1\n";

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = crawling();
    rows.extend(cables());
    rows.extend(services());
    rows
}

fn crawling() -> Vec<Row> {
    let slow = |fault: &str, id, wifi: bool| {
        Row::own(fault, id, "bytes_per_second", move |id, quotes| async move {
            let mut stage = Stage::set(Given { config: SLOW, ..LARGE }).await;
            stage.start().await;
            stage.world.phone.set_link_speed(Some(15_000));
            let began = std::time::Instant::now();
            if wifi {
                stage.world.phone.appear_on_wifi()
            } else {
                stage.world.phone.plug_in()
            }
            let told = stage.told_within(Duration::from_secs(200), id, &quotes, began).await?;
            stage.after(id, Then::Goes, told, async |world: &World| world.phone.set_link_speed(None)).await
        })
    };
    vec![
        slow("a cable that carries 15 kB a second", BackupSlow, false),
        slow("Wi-Fi that carries 15 kB a second", WifiWeak, true),
    ]
}

fn cables() -> Vec<Row> {
    vec![
        Row::daemon(
            "the link dies without a word",
            (BackupStalled, "\"seconds\":"),
            AfterAPause,
            PLAIN,
            async |world: &World| world.phone.set_fault(Some(Fault::FreezeAt { bytes: 20_000 })),
            async |world: &World| world.phone.thaw(),
        ),
        Row::daemon(
            "the link dies without a word, over Wi-Fi",
            (WifiHeartbeatLost, "\"seconds\":"),
            AfterAPause,
            PLAIN,
            async |world: &World| {
                world.phone.set_fault(Some(Fault::FreezeAt { bytes: 20_000 }));
                world.phone.appear_on_wifi();
            },
            async |world: &World| world.phone.thaw(),
        ),
        Row::daemon(
            "the cable comes out",
            (UsbDisconnected, "bytes_received"),
            ByItself,
            PLAIN,
            async |world: &World| world.phone.set_fault(Some(Fault::UnplugAt { bytes: 30_000 })),
            async |world: &World| world.phone.plug_in(),
        ),
        Row::daemon(
            "the phone leaves the Wi-Fi",
            (WifiLost, "bytes_received"),
            ByItself,
            PLAIN,
            async |world: &World| {
                world.phone.set_fault(Some(Fault::UnplugAt { bytes: 30_000 }));
                world.phone.appear_on_wifi();
            },
            async |world: &World| world.phone.appear_on_wifi(),
        ),
        Row::daemon(
            "a cable that makes contact again and again",
            (CableFaulty, "It went away"),
            Then::News,
            PLAIN,
            async |world: &World| {
                for _ in 0..4 {
                    world.phone.plug_in();
                    // usbmuxd tells each contact.
                    let mut link = world.phone.link();
                    link.mark_unchanged();
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    world.phone.unplug();
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            },
            async |_: &World| {},
        ),
    ]
}

fn services() -> Vec<Row> {
    let mishap = |fault: &str, id, quotes, moment, mishap: Mishap| {
        Row::daemon(
            fault,
            (id, quotes),
            AfterAPause,
            PLAIN,
            async move |world: &World| world.phone.during_backups(moment, mishap),
            async |world: &World| world.phone.clear_mishaps(),
        )
    };
    vec![
        mishap(
            "the backup service dies among the files",
            DeviceAgentDied,
            "\"files\":",
            Moment::BeforeFile(10),
            Mishap::Closed,
        ),
        mishap(
            "the backup service hangs up before the first file",
            SessionLost,
            "receiving the backup",
            Moment::BeforeFiles,
            Mishap::Closed,
        ),
        mishap(
            "the backup service gives up before the manifest",
            DeviceAgentDied,
            "without a result",
            Moment::BeforeManifest,
            Mishap::Disconnect,
        ),
        Row::own(
            "the backup service dies at the same file twice",
            DeviceFileBreaksBackup,
            "\"times\":2",
            |id, quotes| async move {
                let mut stage = Stage::set(PLAIN).await;
                stage.start().await;
                stage.world.phone.during_backups(Moment::BeforeFile(12), Mishap::Closed);
                let began = std::time::Instant::now();
                stage.world.phone.plug_in();
                let told = stage.told(id, &quotes, began).await?;
                stage.after(id, Asked, told, async |world: &World| world.phone.clear_mishaps()).await
            },
        ),
        Row::own("a person stops the backup", CancelledByUser, "Somebody stopped it", |id, quotes| async move {
            let mut stage = Stage::set(PLAIN).await;
            stage.start().await;
            let mut events = stage.world.phone.events();
            stage.world.phone.set_fault(Some(Fault::SilentAt { bytes: 20_000 }));
            stage.world.phone.plug_in();
            while events.recv().await.unwrap() != Event::WentSilent {}
            let began = std::time::Instant::now();
            stage.request(Request::Cancel { phone: None }).await;
            let told = stage.told(id, &quotes, began).await?;
            stage.after(id, Then::Tomorrow, told, async |world: &World| world.phone.set_fault(None)).await
        }),
    ]
}
