//! `backstay extract`: files out of a snapshot, under the names that the person knows.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use backstay_shared::{
    health::{Failure, FailureId, readable_bytes},
    overview::{Phase, Progress},
};
use chrono::{DateTime, Local, Utc};
use serde_json::json;

use super::{CliError, Context, output, progress::Display, vault};
use crate::{
    health::diagnose,
    host::disk,
    transfer::DiskError,
    vault::{
        extract::{
            self, Event, ExtractError, Order,
            selection::{Amount, Found, Selection},
        },
        manifest::ManifestError,
        reader::Reader,
        scratch::Scratch,
        verify::{Findings, VerifyError},
    },
};

/// Arguments of `backstay extract`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// A name, a UDID or a unique part of either
    phone: String,
    /// The id of a snapshot or a unique beginning of it; the latest when left out
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,
    /// A domain, a folder or a file, or a part of its name that is unique: CameraRollDomain/Media/DCIM
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

/// How often the bar moves.
const INTERVAL: Duration = Duration::from_millis(250);

/// Carries it out.
///
/// # Errors
/// When not everything that was asked for is there at the end.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let phone = vault::choose_phone(context, Some(&arguments.phone))?;
    let snapshot = vault::choose_snapshot(&phone, arguments.snapshot.as_deref())?;
    let passwords = vault::passwords_for(&phone, &snapshot, arguments.password_stdin).await?;
    let cancel = Arc::new(AtomicBool::new(false));
    let (arguments, stop) = (arguments.clone(), cancel.clone());
    let mut work = tokio::task::spawn_blocking(move || {
        let scratch = Scratch::of(&phone.layout);
        let reader =
            Reader::open(&snapshot.tree, &passwords, &scratch).map_err(|error| diagnose::encryption(&error))?;
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
    diagnose::verification(&VerifyError::Manifest(error))
}

fn select(reader: &Reader, wanted: &str) -> Result<Selection, CliError> {
    match Selection::find(reader.manifest(), wanted).map_err(unreadable)? {
        Found::One(selection) => Ok(selection),
        Found::Nothing => Err(CliError::Usage(format!("the snapshot holds nothing of the name {wanted:?}"))),
        Found::Several(places) => {
            let places = places.join("\n  ");
            Err(CliError::Usage(format!("{wanted:?} fits several places, name one whole, such as:\n  {places}")))
        }
    }
}

fn list(reader: &Reader, selection: &Selection, as_json: bool) -> Result<(), CliError> {
    let mut amount = Amount::default();
    let mut shown = Ok(());
    let show = |file: &crate::vault::manifest::ManifestFile<'_>, amount: &mut Amount| {
        let (modified, length) = (extract::modified(file), reader.length(file));
        amount.bytes = amount.bytes.saturating_add(length.unwrap_or_default());
        if as_json {
            let modified = modified.map(DateTime::<Utc>::from);
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
    reader
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
        return output::json_line(&json!({ "event": "done", "files": amount.files, "bytes": amount.bytes }));
    }
    output::line(&format!("{} files, {}", amount.files, readable_bytes(amount.bytes)))
}

fn local_time(at: SystemTime) -> String {
    DateTime::<Local>::from(at).format("%Y-%m-%d %H:%M").to_string()
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
    let total = selection.amount(reader).map_err(unreadable)?;
    disk::make_private(destination)
        .map_err(|source| diagnose::disk(&DiskError { operation: "creating", path: destination.to_owned(), source }))?;
    let mut tally = Tally::new(Display::new(arguments.json, phone), total);
    let order = Order { selection, destination, overwrite: arguments.overwrite };
    let ended = extract::extract(reader, &order, cancel, |event| tally.hear(event));
    tally.display.finish();
    ended.map_err(|error| stopped(error, &tally, destination))?;
    tally.told(destination, arguments.json)
}

fn stopped(error: ExtractError, tally: &Tally, destination: &Path) -> Failure {
    match error {
        ExtractError::Manifest(error) => unreadable(error),
        ExtractError::Cancelled => FailureId::CancelledByUser.into(),
        ExtractError::Disk(error) => {
            let mut failure = diagnose::disk(&error);
            if failure.id == FailureId::HostDiskFull {
                failure.evidence.bytes_needed = Some(tally.total.bytes.saturating_sub(tally.done.bytes));
                failure.evidence.bytes_free = disk::free_bytes(destination).ok();
            }
            failure
        }
    }
}

/// What became of the files so far.
struct Tally {
    display: Display,
    total: Amount,
    done: Amount,
    existing: u64,
    damages: Findings,
    unwritable: u64,
    first_unwritable: Option<DiskError>,
    shown_at: Instant,
}

impl Tally {
    fn new(display: Display, total: Amount) -> Self {
        Self {
            display,
            total,
            done: Amount::default(),
            existing: 0,
            damages: Findings::default(),
            unwritable: 0,
            first_unwritable: None,
            shown_at: Instant::now(),
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Copied { bytes } => self.done.bytes += bytes,
            Event::Done => self.done.files += 1,
            Event::Existing { path } => {
                self.existing += 1;
                let path = path.display().to_string();
                let object = json!({ "event": "existing", "path": path });
                self.display.aside(&format!("is there already: {}", plain(&path)), &object);
            }
            Event::Damaged(damage) => {
                let (domain, path, what) = (&damage.domain, &damage.relative_path, &damage.what);
                let object = json!({ "event": "damaged", "domain": domain, "path": path, "what": what });
                self.display.aside(&format!("{} {what} in the backup", plain(&format!("{domain}/{path}"))), &object);
                self.damages.add(damage);
            }
            Event::Unwritable(error) => {
                self.unwritable += 1;
                let path = error.path.display().to_string();
                let object = json!({ "event": "unwritable", "path": path, "what": error.source.to_string() });
                self.display.aside(&format!("can't be written: {}: {}", plain(&path), error.source), &object);
                self.first_unwritable.get_or_insert(error);
            }
        }
        if self.shown_at.elapsed() >= INTERVAL {
            self.shown_at = Instant::now();
            let fraction = self.done.bytes as f64 / self.total.bytes.max(1) as f64;
            let progress = Progress {
                phase: Phase::Transferring,
                bytes: self.done.bytes,
                files: self.done.files,
                fraction: Some(fraction.min(1.0)),
                ..Progress::start()
            };
            // A closed pipe ends the showing, not the work.
            drop(self.display.show(&progress));
        }
    }

    /// What came of it as a whole; what is worst decides the exit code.
    fn told(self, destination: &Path, as_json: bool) -> Result<(), CliError> {
        let Amount { files, bytes } = self.done;
        if as_json {
            output::json_line(&json!({
                "event": if self.damages.count + self.unwritable + self.existing == 0 { "done" } else { "incomplete" },
                "destination": destination.display().to_string(),
                "files": files,
                "bytes": bytes,
                "existing": self.existing,
                "damaged": self.damages.count,
                "unwritable": self.unwritable,
            }))?;
        } else {
            output::line(&format!("{files} files ({}) are in {}", readable_bytes(bytes), destination.display()))?;
        }
        self.damages.into_result().map_err(|error| diagnose::verification(&error))?;
        if let Some(error) = self.first_unwritable {
            let mut failure = diagnose::disk(&error);
            failure.evidence.files = Some(self.unwritable);
            return Err(failure.into());
        }
        match self.existing {
            0 => Ok(()),
            count => Err(CliError::Usage(format!(
                "{count} files were there already and are as they were; --overwrite replaces them"
            ))),
        }
    }
}
