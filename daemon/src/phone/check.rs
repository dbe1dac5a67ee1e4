//! Before a backup: gathers what [`crate::preflight`] looks at. The phone and the disk are asked at the same time.

use backstay_shared::health::{Failure, FailureId};

use super::{facts::Facts, link::Session, run::Job, vitals::Vitals};
use crate::{
    health::diagnose,
    host::{disk, volume},
    preflight::{self, ROOM_COMFORT_BYTES, ROOM_SLACK_BYTES, Situation},
    transfer::DiskError,
    vault::{
        forecast,
        free_space::{self, Freed},
        layout::Layout,
        receipt,
        transaction::VaultError,
    },
};

/// What is made free at least; the phone asks for more once it knows what it sends.
const ROOM_LEAST_BYTES: u64 = 16 << 20;

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// What the phone told about itself.
    pub facts: Option<Facts>,
    /// How it is.
    pub vitals: Option<Vitals>,
    /// What is worth knowing though it stands in nobody's way.
    pub notices: Vec<Failure>,
    /// Old snapshots that went to make room for it.
    pub made_room: u64,
    /// What stands in the way was seen beforehand: nobody was asked for anything, and nothing was written.
    pub hindered: bool,
}

/// Looks whether the backup may run. What was seen is there also when it may not.
///
/// # Errors
/// What stands in the way.
pub async fn may_run(job: &Job, seen: &mut Checked) -> Result<(), Failure> {
    let (root, known_roots) = (job.root.clone(), job.known_roots.clone());
    let layout = Layout::new(&job.root, &job.attached.udid);
    // A disk that sleeps takes seconds to answer; so may a ledger on it.
    let host = tokio::task::spawn_blocking(move || {
        known_roots.prepare(&root)?;
        let free = disk::free_bytes(&root).map_err(|source| {
            diagnose::disk(&DiskError { operation: "asking for the free space", path: root.clone(), source })
        })?;
        // Receipts that can't be read are the business of whoever commits the next one.
        let receipts = receipt::all(&layout).unwrap_or_default();
        let has_backup = layout.latest().join("Manifest.db").exists();
        Ok::<_, Failure>((free, volume::name(&root), receipts, has_backup))
    });
    let phone = async {
        let mut session = Session::open(&job.muxer, &job.attached).await?;
        let facts = Facts::read(&mut session, &job.attached.udid).await?;
        let mut vitals = Vitals::read(&mut session, &facts).await?;
        if !job.attached.usb {
            vitals.measure(&mut session).await?;
        }
        session.close().await;
        Ok::<_, Failure>((facts, vitals))
    };
    let (host, phone) = tokio::join!(host, phone);
    let host = host.unwrap_or_else(|error| Err(Failure::from(FailureId::HostIoError).text(error)));
    // The drive first: without it nothing that the phone could do would help.
    let (bytes_free, volume, receipts, has_backup) = host.inspect_err(|failure| {
        seen.hindered = failure.id == FailureId::BackupDriveMissing;
    })?;
    let (facts, vitals) = phone?;
    let forecast = forecast::from_past(&receipts, has_backup, vitals.bytes_used);
    let judge = |bytes_free| {
        let (config, occasion) = (&job.settings, job.occasion);
        let (facts, vitals, forecast, volume) = (&facts, &vitals, &forecast, &*volume);
        preflight::judge(&Situation { facts, vitals, config, occasion, bytes_free, forecast, volume })
    };
    let mut verdict = judge(bytes_free);
    if job.settings.make_room && bytes_free <= ROOM_SLACK_BYTES {
        // What else stands in the way comes first: the room is made by itself, once nothing but it is missing.
        verdict = judge(u64::MAX);
        if verdict.hindrances.is_empty() {
            let layout = Layout::new(&job.root, &job.attached.udid);
            let made = tokio::task::spawn_blocking(move || make_room(&layout)).await.ok().flatten();
            let (bytes_free, removed) = made.unwrap_or((bytes_free, 0));
            seen.made_room = removed;
            verdict = judge(bytes_free);
        }
    }
    (seen.facts, seen.vitals, seen.notices) = (Some(facts), Some(vitals), verdict.notices);
    match verdict.hindrances.into_iter().next() {
        Some(failure) => {
            seen.hindered = true;
            Err(failure)
        }
        None => Ok(()),
    }
}

/// Makes room of old snapshots until a backup can begin; where these are not enough, of what an interrupted run received.
/// Returns the bytes that are free then, and how many snapshots went.
fn make_room(layout: &Layout) -> Option<(u64, u64)> {
    if !layout.ledger().exists() {
        return None;
    }
    // With room to spare, where that can be; else what the phone asks for before it begins, and some.
    type Free = fn(&Layout, u64) -> Result<Freed, VaultError>;
    let tries: [(Free, u64); 3] = [
        (free_space::free, ROOM_SLACK_BYTES + ROOM_COMFORT_BYTES),
        (free_space::free, ROOM_SLACK_BYTES + ROOM_LEAST_BYTES),
        (free_space::free_interrupted_too, ROOM_SLACK_BYTES + ROOM_LEAST_BYTES),
    ];
    let (mut free, mut removed) = (None, 0);
    for (free_with, wanted) in tries {
        match free_with(layout, wanted) {
            Ok(freed) => {
                free = Some(freed.bytes_free);
                removed += freed.removed.len() as u64;
            }
            Err(error) => tracing::warn!(%error, "no room can be made"),
        }
        if free > Some(ROOM_SLACK_BYTES) {
            break;
        }
    }
    free.map(|free| (free, removed))
}
