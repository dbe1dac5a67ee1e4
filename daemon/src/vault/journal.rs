//! How the last run of a phone ended, so that a restarted daemon knows.
//!
//! Written as "did not finish" when a run begins and again when it ends: a crash in between leaves the truth.

use std::{fs, io, path::PathBuf};

use backstay_shared::overview::EndedRun;

use super::layout::Layout;
use crate::host::disk;

/// A larger file is not ours.
const JOURNAL_BYTES_MAX: u64 = 1024 * 1024;

fn path(layout: &Layout) -> PathBuf {
    layout.own().join("last-run.json")
}

/// Notes it durably.
///
/// # Errors
/// Of the file system.
pub fn write(layout: &Layout, ended: &EndedRun) -> io::Result<()> {
    disk::write_durably(&path(layout), &serde_json::to_vec_pretty(ended)?)
}

/// What was noted last; none when nothing was or it can't be read.
pub fn read(layout: &Layout) -> Option<EndedRun> {
    let path = path(layout);
    let size = fs::metadata(&path).ok()?.len();
    if size > JOURNAL_BYTES_MAX {
        return None;
    }
    let read = fs::read(&path).and_then(|content| Ok(serde_json::from_slice(&content)?));
    read.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "the last run can't be read")).ok()
}
