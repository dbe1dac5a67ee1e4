//! The settings and what is kept: mistaken, too old, unfinished, damaged, of a newer Backstay, or in the hands of another program.

use std::{
    fs::{self, File},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Instant,
};

use backstay_shared::{client::Client, health::FailureId::*, protocol::Request};
use backstay_tests::{
    phone::{Event, Fault},
    world::{World, text},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::harness::{
    BACKED_UP, PLAIN, QUIET, Row, Stage,
    Then::{self, AfterAPause, Asked, ByItself},
    object_of,
};

fn own_folder(world: &World) -> PathBuf {
    world.root().join(".backstay").join(world.phone.udid())
}

/// Every receipt is of so many days before.
pub(crate) fn make_older(world: &World, days: i64) {
    for entry in fs::read_dir(own_folder(world).join("receipts")).unwrap() {
        let path = entry.unwrap().path();
        let mut receipt: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for key in ["started_at", "verified_at"] {
            let at: DateTime<Utc> = receipt[key].as_str().unwrap().parse().unwrap();
            receipt[key] = serde_json::to_value(at - TimeDelta::days(days)).unwrap();
        }
        fs::write(&path, receipt.to_string()).unwrap();
    }
}

fn ledger(world: &World) -> PathBuf {
    own_folder(world).join("ledger.sqlite")
}

fn set_format(world: &World, format: i64) {
    let connection = rusqlite::Connection::open(ledger(world)).unwrap();
    connection.pragma_update(None, "user_version", format).unwrap();
}

/// The disk forgot a file of the latest backup.
pub(crate) fn lose_a_file(world: &World) {
    let data = world.phone.data();
    // What came first is in the latest backup whatever was changed since.
    let file = (0..).find_map(|index| {
        let path = world.latest().join(data.file(index).unwrap().file_id.path());
        path.exists().then_some(path)
    });
    fs::remove_file(file.unwrap()).unwrap();
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::own("a mistake in the settings", ConfigInvalid, "every_days", |id, quotes| async move {
            let mut stage = Stage::set(PLAIN).await;
            stage.start().await;
            let began = Instant::now();
            stage.world.configure(&format!("{QUIET}[backup]\nevery_days = 3\n"));
            let told = stage.told(id, &quotes, began).await?;
            // The last good settings stay in force meanwhile.
            stage.bring_the_phone().await?;
            stage.is_backed_up().await?;
            stage.after(id, Then::Goes, told, async |world: &World| world.configure(QUIET)).await
        }),
        Row::own("no backup for nine days", BackupOverdue, "\"days\":9", |id, quotes| async move {
            let mut stage = Stage::set(BACKED_UP).await;
            make_older(&stage.world, 9);
            let began = Instant::now();
            stage.start().await;
            let told = stage.told(id, &quotes, began).await?;
            stage.after(id, ByItself, told, async |world: &World| world.phone.plug_in()).await
        }),
        Row::own(
            "the daemon is killed in the middle of a backup",
            BackupIncomplete,
            "ended in the middle",
            |id, quotes| async move {
                let mut stage = Stage::set(PLAIN).await;
                stage.start().await;
                let mut events = stage.world.phone.events();
                stage.world.phone.set_fault(Some(Fault::SilentAt { bytes: 20_000 }));
                stage.world.phone.plug_in();
                while events.recv().await.unwrap() != Event::WentSilent {}
                stage.kill().await;
                stage.world.phone.unplug();
                let began = Instant::now();
                stage.start().await;
                let told = stage.told(id, &quotes, began).await?;
                let cure = async |world: &World| {
                    world.phone.set_fault(None);
                    world.phone.plug_in();
                };
                stage.after(id, ByItself, told, cure).await
            },
        ),
        Row::own("a file of the latest backup is gone", BackupDamaged, "verify --deep", |id, _| async move {
            let mut stage = Stage::set(BACKED_UP).await;
            lose_a_file(&stage.world);
            let began = Instant::now();
            let object = object_of(&stage.world, &["verify", stage.world.phone.udid(), "--deep"]).await;
            let evidence = crate::harness::names(&object, id, "verify --deep")?;
            stage.start().await;
            let mut told = stage.told(id, "", began).await?;
            told.evidence = evidence;
            stage.world.phone.plug_in();
            stage.is_here().await?;
            let cure = async |world: &World| {
                let mut client = Client::connect(&world.socket()).await.unwrap();
                client.request(Request::BackUp { phone: None, full: false }).await.unwrap();
            };
            stage.after(id, Then::Goes, told, cure).await
        }),
        Row::own(
            "the phone lists another digest, twice",
            BackupDigestMismatch,
            "\"files\":1",
            |id, quotes| async move {
                let stage = Stage::set(PLAIN).await;
                let world = &stage.world;
                world.phone.plug_in();
                let index = world.phone.data().files().position(|file| file.has_digest() && file.size > 0).unwrap();
                world.phone.set_fault(Some(Fault::WrongDigest { index }));
                let (_, first) = world.back_up_once().await;
                let began = Instant::now();
                let (_, object) = world.back_up_once().await;
                let visible = began.elapsed();
                if first["failure"]["id"] != "backup-verify-failed" {
                    return Err(format!("the first one: {first}"));
                }
                let evidence = crate::harness::names(&object, id, &quotes)?;
                world.phone.set_fault(None);
                let output = world.backstay(&["backup", "--once", "--full", "--json"]).await;
                match text(&output).contains("\"warning\"") {
                    false => Ok(crate::harness::Told { visible, evidence, retry: "kept; right with --full".into() }),
                    true => Err(format!("the next one: {}", text(&output))),
                }
            },
        ),
        Row::own("the ledger is garbage", LedgerDamaged, "ledger-damaged", |id, quotes| async move {
            let stage = Stage::set(BACKED_UP).await;
            fs::write(ledger(&stage.world), vec![b'?'; 5000]).unwrap();
            stage.world.phone.plug_in();
            let began = Instant::now();
            let (_, object) = stage.world.back_up_once().await;
            let visible = began.elapsed();
            let evidence = crate::harness::names(&object, id, &quotes)?;
            let (code, again) = stage.world.back_up_once().await;
            match (code, &again["receipt"]["warning"]) {
                (0, Value::Null) => {
                    Ok(crate::harness::Told { visible, evidence, retry: "backed up all the same; made anew".into() })
                }
                _ => Err(format!("the next one: {again}")),
            }
        }),
        Row::daemon(
            "the ledger is of a newer Backstay",
            (HostSoftwareOutdated, "ledger.sqlite"),
            Asked,
            BACKED_UP,
            async |world: &World| set_format(world, 99),
            async |world: &World| set_format(world, 1),
        ),
        Row::own(
            "another Backstay is at work on the phone",
            BackupInProgressElsewhere,
            "process",
            |id, quotes| async move {
                let mut stage = Stage::set(BACKED_UP).await;
                stage.start().await;
                let file = File::open(own_folder(&stage.world).join("lock")).unwrap();
                file.try_lock().unwrap();
                let held = Arc::new(Mutex::new(Some(file)));
                let began = Instant::now();
                stage.bring_the_phone().await?;
                let told = stage.told(id, &quotes, began).await?;
                stage.after(id, AfterAPause, told, async move |_: &World| drop(held.lock().unwrap().take())).await
            },
        ),
        Row::own(
            "another program holds the sync lock",
            BackupInProgressElsewhere,
            "taking the sync lock",
            |id, quotes| async move {
                let mut stage = Stage::set(PLAIN).await;
                stage.start().await;
                let lock = stage.world.phone.media().hold_sync_lock().unwrap();
                let began = Instant::now();
                stage.bring_the_phone().await?;
                let told = stage.told(id, &quotes, began).await?;
                stage.after(id, AfterAPause, told, async move |_: &World| drop(lock)).await
            },
        ),
    ]
}
