//! `backstay history` and `backstay prune`: which snapshots there are, what each costs, and which may go.

use backstay_shared::health::{Failure, FailureId, readable_bytes};
use bytesize::ByteSize;
use chrono::Utc;
use serde_json::json;

use super::{CliError, Context, output, vault};
use crate::{
    health::diagnose,
    vault::{
        free_space::{self, Freed},
        history::{self, Stays, time_of},
        ledger::{Entry, Ledger},
        phones::BackedUp,
    },
};

/// Arguments of `backstay history`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
    /// One object, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `backstay prune`.
#[derive(Debug, clap::Args)]
pub struct PruneArguments {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
    /// Remove beyond that, oldest first, until so much is free on the disk: 40GB
    #[arg(long, value_name = "SIZE")]
    free: Option<ByteSize>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// One object, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Carries out `backstay history`.
///
/// # Errors
/// When the backups can't be read.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let phone = vault::choose_phone(context, arguments.phone.as_deref())?;
    let (ledger, _lock) = vault::open_ledger(&phone)?;
    let told = || Ok((ledger.snapshots()?, ledger.costs()?));
    let (entries, costs) = told().map_err(|error| diagnose::ledger(&error))?;
    let latest = entries.last().map(|entry| entry.number);
    let last_readable = ledger.last_readable().map_err(|error| diagnose::ledger(&error))?;
    let before_erasing: Vec<i64> = history::last_before_erasing(&entries, &history::erasings(&phone.layout))
        .into_iter()
        .map(|place| entries[place].number)
        .collect();
    let is_after_erasing = |entry: &Entry| entry.receipt.as_ref().is_some_and(|receipt| receipt.after_erasing);
    let rows = entries.iter().zip(costs.iter().map(|(_, cost)| *cost));
    if arguments.json {
        let snapshots: Vec<_> = rows
            .map(|(entry, cost)| {
                let tree = if Some(entry.number) == latest {
                    phone.layout.latest()
                } else {
                    phone.layout.snapshot_tree(&entry.id)
                };
                json!({
                    "id": entry.id, "latest": Some(entry.number) == latest, "files": entry.files, "bytes": entry.bytes,
                    "bytes_only_here": cost, "made_by_backstay": entry.receipt.is_some(), "damaged": entry.damaged,
                    "notes": entry.notes, "doubts": entry.doubts,
                    "after_erasing": is_after_erasing(entry),
                    "kept_from_before_erasing": before_erasing.contains(&entry.number),
                    "kept_for_unreadable_files": last_readable.contains(&entry.number),
                    "removed_for_room": removed_for_room(entry),
                    "checked_at": entry.checked.and_then(|at| chrono::DateTime::<Utc>::from_timestamp(at, 0)),
                    "folder": tree.display().to_string(),
                })
            })
            .collect();
        return output::json_line(&json!({ "phone": phone.name, "udid": phone.layout.udid(), "snapshots": snapshots }));
    }
    output::line(&format!("{}: {}", phone.name, count(entries.len())))?;
    for (entry, cost) in rows {
        let latest = if Some(entry.number) == latest { ", the latest" } else { "" };
        let origin = if entry.receipt.is_none() { ", made by another program" } else { "" };
        let damaged = if entry.damaged { ", DAMAGED: backstay verify" } else { "" };
        let erased = match (is_after_erasing(entry), before_erasing.contains(&entry.number)) {
            (true, _) => ", the first after the iPhone was erased",
            (_, true) => ", the last before the iPhone was erased and so kept for now",
            _ => "",
        };
        let readable = match last_readable.contains(&entry.number) {
            true => ", kept for files that the iPhone can't read any more",
            false => "",
        };
        let room = match removed_for_room(entry) {
            0 => String::new(),
            1 => ", one older snapshot was removed to make room for it".to_owned(),
            removed => format!(", {removed} older snapshots were removed to make room for it"),
        };
        output::line(&format!(
            "{}  {}, {} files ({}), {} only here{latest}{origin}{erased}{readable}{room}{damaged}",
            entry.id,
            time_of(&entry.id).map_or_else(String::new, output::moment),
            entry.files,
            readable_bytes(entry.bytes),
            readable_bytes(cost),
        ))?;
    }
    Ok(())
}

/// Carries out `backstay prune`.
///
/// # Errors
/// When the backups can't be read, or another Backstay is at work on them.
pub fn prune(context: &Context, arguments: &PruneArguments) -> Result<(), CliError> {
    let phone = vault::choose_phone(context, arguments.phone.as_deref())?;
    let (mut ledger, lock) = vault::open_ledger(&phone)?;
    if lock.is_none() {
        let name = &phone.name;
        return Err(CliError::Failed(format!("{name} is being backed up; prune when that has ended: backstay status")));
    }
    if let Some(wanted) = arguments.free {
        return free(&phone, &mut ledger, wanted.as_u64(), arguments);
    }
    let retention = context.config.backup_of(phone.layout.udid()).retention();
    let before = || Ok((ledger.snapshots()?, ledger.costs()?));
    let (entries, costs) = before().map_err(|error| diagnose::ledger(&error))?;
    let gone: Vec<Entry> = if arguments.dry_run {
        let stays = Stays::of(&phone.layout, &ledger).map_err(|error| diagnose::ledger(&error))?;
        history::surplus(&entries, &stays, &retention).into_iter().cloned().collect()
    } else {
        history::prune(&phone.layout, &mut ledger, &retention).map_err(|error| diagnose::ledger(&error))?
    };
    let cost = |entry: &Entry| costs.iter().find(|(number, _)| *number == entry.number).map_or(0, |(_, cost)| *cost);
    if arguments.json {
        let snapshots: Vec<_> =
            gone.iter().map(|entry| json!({ "id": entry.id, "bytes_only_here": cost(entry) })).collect();
        return output::json_line(&json!({ "dry_run": arguments.dry_run, "removed": snapshots }));
    }
    let verb = if arguments.dry_run { "would be removed" } else { "removed" };
    for entry in &gone {
        output::line(&format!("{}  {verb}, {} only there", entry.id, readable_bytes(cost(entry))))?;
    }
    let kept = entries.len() - gone.len();
    output::line(&format!("{}: {} snapshots {verb}, {kept} kept", phone.name, gone.len()))
}

/// Snapshots that the run of this one removed.
fn removed_for_room(entry: &Entry) -> u64 {
    entry.receipt.as_ref().map_or(0, |receipt| receipt.made_room)
}

fn count(snapshots: usize) -> String {
    if snapshots == 1 { "one snapshot".to_owned() } else { format!("{snapshots} snapshots") }
}

/// `backstay prune --free`. What went is told one by one, but what it brought only as a whole: snapshots share files.
fn free(phone: &BackedUp, ledger: &mut Ledger, wanted: u64, arguments: &PruneArguments) -> Result<(), CliError> {
    let layout = &phone.layout;
    let freed = match arguments.dry_run {
        true => free_space::plan(layout, ledger, wanted),
        false => free_space::free_locked(layout, ledger, wanted),
    };
    let Freed { removed, bytes_free_before, bytes_free } = freed.map_err(|error| diagnose::vault(&error))?;
    let came_free = bytes_free.saturating_sub(bytes_free_before);
    if arguments.json {
        let snapshots: Vec<_> =
            removed.iter().map(|entry| json!({ "id": entry.id, "damaged": entry.damaged })).collect();
        output::json_line(&json!({
            "dry_run": arguments.dry_run, "removed": snapshots, "bytes_freed": came_free, "bytes_free": bytes_free,
        }))?;
    } else {
        let verb = if arguments.dry_run { "would be removed" } else { "removed" };
        for entry in &removed {
            let damaged = if entry.damaged { ", it was damaged" } else { "" };
            output::line(&format!("{}  {verb}{damaged}", entry.id))?;
        }
        output::line(&format!(
            "{}: {} snapshots {verb}, {} more free, {} in all",
            phone.name,
            removed.len(),
            readable_bytes(came_free),
            readable_bytes(bytes_free),
        ))?;
    }
    if bytes_free >= wanted {
        return Ok(());
    }
    let mut failure = Failure::from(FailureId::HostDiskFull).path(layout.root());
    failure.evidence.bytes_needed = Some(wanted);
    failure.evidence.bytes_free = Some(bytes_free);
    Err(failure.text("no other snapshot may go").into())
}
