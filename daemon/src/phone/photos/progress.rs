//! How far a copy is, and what came of it.

use std::time::{Duration, Instant};

use backstay_shared::{
    health::{Failure, FailureId},
    overview::{self, Phase},
};
use tokio::sync::watch;

const INTERVAL: Duration = Duration::from_millis(250);

/// Weight of the newest interval in the rate.
const RATE_WEIGHT: f64 = 0.2;

/// Files that could not be copied and are told by name; the others are counted.
const TOLD_MAX: usize = 100;

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// True until it is known what is to be copied; `files_total` counts what was found so far.
    pub looking: bool,
    /// Files that are through.
    pub files: u64,
    /// Files to copy: those on the phone that are not there yet.
    pub files_total: u64,
    /// Their bytes that are through.
    pub bytes: u64,
    /// Their bytes.
    pub bytes_total: u64,
    /// Bytes a second of late.
    pub bytes_per_second: Option<u64>,
}

impl Progress {
    /// The beginning.
    pub fn start() -> Self {
        Self { looking: true, ..Self::default() }
    }

    /// As a backup's progress, for who shows either.
    pub fn shown(&self) -> overview::Progress {
        let left = self.bytes_total.saturating_sub(self.bytes);
        overview::Progress {
            phase: if self.looking { Phase::Scanning } else { Phase::Transferring },
            bytes: self.bytes,
            bytes_total: None,
            files: self.files,
            fraction: (!self.looking).then(|| self.bytes as f64 / self.bytes_total.max(1) as f64),
            bytes_per_second: self.bytes_per_second,
            seconds_left: self.bytes_per_second.filter(|rate| *rate > 0).map(|rate| left / rate),
        }
    }
}

/// A file that could not be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCopied {
    /// Its path on the phone.
    pub path: String,
    /// Why, as the phone or the disk says it.
    pub why: String,
}

/// What a copy that ran to its end has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files that came and are proved.
    pub files: u64,
    /// Bytes that came, also of files that were not kept.
    pub bytes: u64,
    /// Files that were there already.
    pub there: u64,
    /// Files that could not be copied.
    pub failed: u64,
    /// The first of these.
    pub first_failed: Vec<NotCopied>,
    /// `photos-not-on-iphone`, when it seems so.
    pub warning: Option<Failure>,
}

impl Copied {
    pub(super) fn add_failed(&mut self, path: String, why: String) {
        tracing::warn!(path, why, "a photo could not be copied");
        self.failed += 1;
        if self.first_failed.len() < TOLD_MAX {
            self.first_failed.push(NotCopied { path, why });
        }
    }

    /// `photos-copy-failed` with count and first path, when some files could not be copied; none when all are there.
    pub fn failure(&self) -> Option<Failure> {
        let first = self.first_failed.first()?;
        let mut failure = Failure::from(FailureId::PhotosCopyFailed).path(&first.path).text(&first.why);
        failure.evidence.files = Some(self.failed);
        failure.evidence.bytes_received = Some(self.bytes).filter(|bytes| *bytes > 0);
        Some(failure)
    }
}

/// Counts, and tells whoever watches.
#[derive(Debug)]
pub struct Tally {
    /// What came of it so far.
    pub copied: Copied,
    now: Progress,
    progress: watch::Sender<Progress>,
    told_at: Instant,
    told_bytes: u64,
    rate: Option<f64>,
}

impl Tally {
    /// Tells through this channel.
    pub fn new(progress: watch::Sender<Progress>) -> Self {
        let now = Progress::start();
        Self { copied: Copied::default(), now, progress, told_at: Instant::now(), told_bytes: 0, rate: None }
    }

    /// So much was found so far that is to be copied.
    pub fn found(&mut self, files: u64, bytes: u64) {
        (self.now.files_total, self.now.bytes_total) = (files, bytes);
        if self.told_at.elapsed() >= INTERVAL {
            self.told_at = Instant::now();
            self.tell();
        }
    }

    /// What is to be copied is known.
    pub fn begin(&mut self) {
        self.now.looking = false;
        self.told_at = Instant::now();
        self.tell();
    }

    /// Bytes came.
    pub fn came(&mut self, bytes: u64) {
        self.copied.bytes += bytes;
        self.through(bytes);
    }

    /// Bytes are through that need not come.
    pub fn through(&mut self, bytes: u64) {
        self.now.bytes = self.now.bytes.saturating_add(bytes);
        let elapsed = self.told_at.elapsed();
        if elapsed < INTERVAL {
            return;
        }
        let newest = self.copied.bytes.saturating_sub(self.told_bytes) as f64 / elapsed.as_secs_f64();
        self.rate = Some(self.rate.map_or(newest, |rate| rate + RATE_WEIGHT * (newest - rate)));
        self.told_at = Instant::now();
        self.told_bytes = self.copied.bytes;
        self.tell();
    }

    /// Bytes that were through are to come again, or never.
    pub fn back(&mut self, bytes: u64) {
        self.now.bytes = self.now.bytes.saturating_sub(bytes);
    }

    /// A file is through.
    pub fn file(&mut self) {
        self.now.files += 1;
    }

    /// Tells the last counts.
    pub fn end(&mut self) {
        self.tell();
    }

    /// Files that are still to come.
    pub const fn files_left(&self) -> u64 {
        self.now.files_total.saturating_sub(self.now.files)
    }

    fn tell(&mut self) {
        self.now.bytes_per_second = self.rate.map(|rate| rate as u64);
        self.progress.send_replace(self.now.clone());
    }
}
