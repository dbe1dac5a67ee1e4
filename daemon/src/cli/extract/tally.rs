//! What became of the files, told as it happens and at the end.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use backstay_shared::{
    health::{FailureId, readable_bytes},
    overview::{Phase, Progress},
};
use serde_json::json;

use super::{of_destination, plain, tell_unreadable};
use crate::{
    cli::{CliError, output, progress::Display},
    health::diagnose,
    transfer::DiskError,
    vault::{
        extract::{Event, selection::Amount},
        manifest::Rows,
        verify::Findings,
    },
};

/// How often the bar moves.
const INTERVAL: Duration = Duration::from_millis(250);

/// What became of the files so far.
pub(super) struct Tally {
    display: Display,
    total: Amount,
    /// Whole files.
    done: Amount,
    /// Also of files that are not whole, and go again.
    written_bytes: u64,
    existing: u64,
    renamed: u64,
    damages: Findings,
    unwritable: u64,
    first_unwritable: Option<DiskError>,
    shown_at: Instant,
}

impl Tally {
    pub(super) fn new(display: Display, total: Amount) -> Self {
        Self {
            display,
            total,
            done: Amount::default(),
            written_bytes: 0,
            existing: 0,
            renamed: 0,
            damages: Findings::default(),
            unwritable: 0,
            first_unwritable: None,
            shown_at: Instant::now(),
        }
    }

    /// What was not yet written.
    pub(super) const fn bytes_left(&self) -> u64 {
        self.total.bytes.saturating_sub(self.done.bytes)
    }

    /// No more is shown of how far it is.
    pub(super) fn finish(&self) {
        self.display.finish();
    }

    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Copied { bytes } => self.written_bytes += bytes,
            Event::Done { bytes } => {
                self.done.files += 1;
                self.done.bytes += bytes;
            }
            Event::Existing { path } => {
                self.existing += 1;
                let path = path.display().to_string();
                let object = json!({ "event": "existing", "path": path });
                self.display.aside(&format!("is there already: {}", plain(&path)), &object);
            }
            Event::Renamed { domain, relative_path, path } => {
                self.renamed += 1;
                let written = path.display().to_string();
                let object = json!({ "event": "renamed", "domain": domain, "path": relative_path, "written": written });
                let name = if relative_path.is_empty() { domain } else { format!("{domain}/{relative_path}") };
                self.display.aside(&format!("{} is called here: {}", plain(&name), plain(&written)), &object);
            }
            Event::Damaged(damage) => {
                let (domain, path, what) = (&damage.domain, &damage.relative_path, &damage.what);
                let object = json!({ "event": "damaged", "domain": domain, "path": path, "what": what });
                self.display.aside(&format!("in the backup: {} {what}", plain(&format!("{domain}/{path}"))), &object);
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
            let fraction = self.written_bytes as f64 / self.total.bytes.max(1) as f64;
            let progress = Progress {
                phase: Phase::Transferring,
                bytes: self.written_bytes,
                files: self.done.files,
                fraction: Some(fraction.min(1.0)),
                ..Progress::start()
            };
            // A closed pipe ends the showing, not the work.
            drop(self.display.show(&progress));
        }
    }

    /// Tells what came of it as a whole. What is worst decides the exit code, whether or not it can be told.
    pub(super) fn told(self, destination: &Path, as_json: bool, rows: &Rows) -> Result<(), CliError> {
        let printed = self.print(destination, as_json, rows);
        self.verdict().and(printed)
    }

    fn print(&self, destination: &Path, as_json: bool, rows: &Rows) -> Result<(), CliError> {
        let Amount { files, bytes } = self.done;
        if as_json {
            return output::json_line(&json!({
                "event": if self.damages.count + self.unwritable + self.existing == 0 { "done" } else { "incomplete" },
                "destination": destination.display().to_string(),
                "files": files,
                "bytes": bytes,
                "existing": self.existing,
                "damaged": self.damages.count,
                "unwritable": self.unwritable,
                "renamed": self.renamed,
                "unreadable_rows": rows.unreadable.count,
            }));
        }
        tell_unreadable(rows)?;
        if self.renamed > 0 {
            let renamed = output::count(self.renamed, "name");
            output::line(&format!("{renamed} that this disk does not take, or takes for another, were changed"))?;
        }
        let (counted, are) = (output::count(files, "file"), if files == 1 { "is" } else { "are" });
        output::line(&format!("{counted} ({}) {are} in {}", readable_bytes(bytes), destination.display()))
    }

    fn verdict(self) -> Result<(), CliError> {
        if self.damages.count > 0 {
            return Err(diagnose::damaged(FailureId::BackupDamaged, &self.damages).into());
        }
        if let Some(error) = self.first_unwritable {
            let mut failure = of_destination(&error);
            failure.evidence.files = Some(self.unwritable);
            return Err(failure.into());
        }
        match self.existing {
            0 => Ok(()),
            1 => Err(CliError::Usage("1 file was there already and is as it was; --overwrite replaces it".into())),
            count => Err(CliError::Usage(format!(
                "{count} files were there already and are as they were; --overwrite replaces them"
            ))),
        }
    }
}
