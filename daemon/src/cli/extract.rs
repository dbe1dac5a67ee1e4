//! `backstay extract`: files out of a snapshot, under the names that the person knows.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use backstay_shared::health::{Failure, FailureId, readable_bytes};
use chrono::{DateTime, Datelike, Local, Utc};
use serde_json::json;

use self::tally::Tally;
use super::{CliError, Context, output, progress::Display, vault};
use crate::{
    health::diagnose,
    host::disk,
    transfer::DiskError,
    vault::{
        extract::{
            self, ExtractError, Order,
            selection::{Amount, Found, Selection},
        },
        history::Snapshot,
        layout::Layout,
        ledger::Ledger,
        manifest::{ManifestError, ManifestFile, Rows},
        reader::Reader,
        receipt,
        scratch::Scratch,
        verify::VerifyError,
    },
};

mod destination;
mod tally;

/// Arguments of `backstay extract`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// A name, a UDID or a unique part of either
    phone: String,
    /// The id of a snapshot or a unique beginning of it; the latest when left out
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,
    /// A domain, a folder or a file, or a part of its name that is unique: CameraRollDomain/Media/DCIM; / for everything
    #[arg(value_name = "DOMAIN-OR-PATH")]
    what: String,
    /// The folder that they go to
    #[arg(value_name = "DEST", required_unless_present = "list")]
    destination: Option<PathBuf>,
    /// Show what it is, and take nothing out
    #[arg(long, conflicts_with_all = ["destination", "overwrite"])]
    list: bool,
    /// Replace files that are there already
    #[arg(long)]
    overwrite: bool,
    /// Read the backup password from standard input rather than from the password store
    #[arg(long)]
    password_stdin: bool,
    /// One object a line, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Carries it out.
///
/// # Errors
/// When not everything that was asked for is there at the end.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let phone = vault::choose_phone(context, Some(&arguments.phone))?;
    let snapshot = vault::choose_snapshot(&phone, arguments.snapshot.as_deref())?;
    if let Some(destination) = &arguments.destination {
        let backups = destination::of_backups(&context.root, &vault::all_phones(context)?, &snapshot.tree);
        destination::check(destination, &backups)?;
    }
    let passwords = vault::passwords_for(&phone, &snapshot, arguments.password_stdin).await?;
    let cancel = Arc::new(AtomicBool::new(false));
    let (arguments, stop) = (arguments.clone(), cancel.clone());
    let mut work = tokio::task::spawn_blocking(move || {
        let scratch = Scratch::of(&phone.layout);
        let reader = Reader::open(&snapshot.tree, &passwords, &scratch)
            .map_err(|error| diagnose::of_kept(diagnose::encryption(&error)))?;
        let reader = with_ledger(reader, &phone.layout, &snapshot);
        let selection = select(&reader, &arguments.what)?;
        match &arguments.destination {
            Some(destination) if !arguments.list => {
                take_out(&reader, &selection, destination, &phone.name, &arguments, &stop)
            }
            _ => list(&reader, &selection, arguments.json),
        }
    });
    loop {
        tokio::select! {
            done = &mut work => {
                return done.unwrap_or_else(|_| Err(Failure::from(FailureId::HostIoError).doing("extracting").into()));
            }
            signal = tokio::signal::ctrl_c() => {
                if signal.is_ok() && cancel.swap(true, Ordering::Relaxed) {
                    // Asked twice: a disk that hangs keeps it from ending.
                    std::process::exit(130);
                }
            }
        }
    }
}

fn unreadable(error: ManifestError) -> Failure {
    diagnose::of_kept(diagnose::verification(&VerifyError::Manifest(error)))
}

/// With what the ledger knows of the snapshot's files. Without it they are taken out all the same.
fn with_ledger(reader: Reader, layout: &Layout, snapshot: &Snapshot) -> Reader {
    // Opened, it would be made.
    if !layout.ledger().is_file() {
        return reader;
    }
    let held = Ledger::open(layout).and_then(|ledger| {
        let tree = receipt::tree_identity(&snapshot.tree).ok().flatten().unwrap_or_default();
        let entry = ledger.snapshots()?.into_iter().find(|entry| entry.id == snapshot.id && entry.tree == tree);
        entry.map(|entry| ledger.held(entry.number)).transpose()
    });
    match held {
        Ok(held) => reader.with_held(held.unwrap_or_default()),
        Err(error) => {
            tracing::warn!(%error, "the ledger can't be read; files are not compared with it");
            reader
        }
    }
}

fn select(reader: &Reader, wanted: &str) -> Result<Selection, CliError> {
    let lines = |places: Vec<String>| places.iter().map(|place| format!("\n  {}", plain(place))).collect::<String>();
    match Selection::find(reader.manifest(), wanted).map_err(unreadable)? {
        Found::One(selection) => Ok(selection),
        Found::Nothing(meant) => Err(CliError::Usage(match &meant[..] {
            [] => format!("the snapshot holds nothing of the name {wanted:?}"),
            [only] => format!("nothing is called {wanted:?}; is {} meant?", plain(only)),
            _ => format!("nothing is called {wanted:?}; is one of these meant?{}", lines(meant)),
        })),
        Found::Several(places) => {
            let places = lines(places);
            Err(CliError::Usage(format!("{wanted:?} fits several places, name one whole, such as:{places}")))
        }
    }
}

fn list(reader: &Reader, selection: &Selection, as_json: bool) -> Result<(), CliError> {
    let mut amount = Amount::default();
    let mut shown = Ok(());
    let show = |file: &ManifestFile<'_>, amount: &mut Amount| {
        let (modified, length) = (file.record.modified.and_then(moment), reader.length(file));
        amount.bytes = amount.bytes.saturating_add(length.unwrap_or_default());
        if as_json {
            let (domain, path, bytes) = (file.domain, file.relative_path, length);
            return output::json_line(
                &json!({ "event": "file", "domain": domain, "path": path, "bytes": bytes, "modified": modified }),
            );
        }
        let modified = modified.map(local_time).unwrap_or_default();
        let name = plain(&format!("{}/{}", file.domain, file.relative_path));
        let length = length.map_or_else(|| "unknown".to_owned(), readable_bytes);
        output::line(&format!("{length:>10}  {modified:16}  {name}"))
    };
    let rows = reader
        .manifest()
        .for_each_file(|file| {
            if shown.is_ok() && selection.holds(&file) {
                amount.files += 1;
                shown = show(&file, &mut amount);
            }
        })
        .map_err(unreadable)?;
    shown?;
    if as_json {
        let (files, bytes, rows) = (amount.files, amount.bytes, rows.unreadable.count);
        return output::json_line(&json!({ "event": "done", "files": files, "bytes": bytes, "unreadable_rows": rows }));
    }
    tell_unreadable(&rows)?;
    output::line(&format!("{}, {}", output::count(amount.files, "file"), readable_bytes(amount.bytes)))
}

/// Rows that can't be read hide nothing but what they name: no failure, and worth a line.
fn tell_unreadable(rows: &Rows) -> Result<(), CliError> {
    match rows.unreadable.count {
        0 => Ok(()),
        count => output::line(&format!(
            "{} of the snapshot's list could not be read whole; backstay verify names them",
            output::count(count, "row")
        )),
    }
}

/// What calendars have: the phone's word may be any number.
fn moment(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0).filter(|at| (1..9999).contains(&at.year()))
}

fn local_time(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
}

/// Names come from a phone and go to a terminal.
pub(super) fn plain(name: &str) -> String {
    name.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

fn take_out(
    reader: &Reader,
    selection: &Selection,
    destination: &Path,
    phone: &str,
    arguments: &Arguments,
    cancel: &AtomicBool,
) -> Result<(), CliError> {
    let survey = selection.survey(reader).map_err(unreadable)?;
    disk::make_private(destination)
        .map_err(|source| of_destination(&DiskError { operation: "creating", path: destination.to_owned(), source }))?;
    let mut tally = Tally::new(Display::new(arguments.json, phone), survey.amount);
    let order = Order { selection, destination, overwrite: arguments.overwrite, twins: &survey.twins };
    let ended = extract::extract(reader, &order, cancel, |event| tally.hear(event));
    tally.finish();
    let rows = ended.map_err(|error| stopped(error, &tally, destination))?;
    tally.told(destination, arguments.json, &rows)
}

fn stopped(error: ExtractError, tally: &Tally, destination: &Path) -> Failure {
    match error {
        ExtractError::Manifest(error) => unreadable(error),
        ExtractError::Cancelled => FailureId::CancelledByUser.into(),
        ExtractError::Disk(error) => {
            let mut failure = of_destination(&error);
            if failure.id == FailureId::ExtractDiskFull {
                failure.evidence.bytes_needed = Some(tally.bytes_left());
                failure.evidence.bytes_free = disk::free_bytes(destination).ok();
            }
            failure
        }
    }
}

/// An error of the disk that the files go to. Room on that of the backups is no help for it.
fn of_destination(error: &DiskError) -> Failure {
    let mut failure = diagnose::disk(error);
    if matches!(failure.id, FailureId::HostDiskFull | FailureId::HostQuotaExceeded) {
        failure.id = FailureId::ExtractDiskFull;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_no_calendar_has_are_left_out() {
        assert_eq!(moment(0).map(local_time).map(|text| text.len()), Some(16));
        assert_eq!(moment(-1).map(|at| at.year()), Some(1969));
        let years = [-62_135_596_800, 253_370_764_799];
        assert!(years.iter().all(|seconds| moment(*seconds).map(local_time).is_some()));
        for seconds in
            [i64::MIN, i64::MAX, 1_700_000_000_000_000, -1_700_000_000_000_000, -62_135_596_801, 253_370_764_800]
        {
            assert_eq!(moment(seconds), None, "{seconds}");
        }
    }
}
