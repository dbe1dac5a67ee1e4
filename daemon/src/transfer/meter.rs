//! How far a run is, told at most four times a second.

use std::time::{Duration, Instant};

use backstay_shared::overview::{Phase, Progress};
use tokio::sync::watch;

const INTERVAL: Duration = Duration::from_millis(250);

/// A shorter list of files is with the phone before a person could read that it goes there.
const LIST_BYTES_MIN: u64 = 1 << 20;

/// Weight of the newest interval in the rate.
const RATE_WEIGHT: f64 = 0.2;

/// Counts, and tells whoever watches.
#[derive(Debug)]
pub struct Meter {
    progress: watch::Sender<Progress>,
    told_at: Instant,
    told_bytes: u64,
    rate: Option<f64>,
    /// The stage in which a list of files began to go to the phone.
    before_list: Option<Phase>,
}

impl Meter {
    /// Tells through this channel.
    pub fn new(progress: watch::Sender<Progress>) -> Self {
        Self { progress, told_at: Instant::now(), told_bytes: 0, rate: None, before_list: None }
    }

    /// Begins a stage; told at once.
    pub fn phase(&mut self, phase: Phase) {
        self.progress.send_if_modified(|progress| {
            let changed = progress.phase != phase;
            progress.phase = phase;
            changed
        });
    }

    /// So much of a list of files of so many bytes went to the phone.
    pub fn sending(&mut self, bytes: u64, of: u64) {
        if of < LIST_BYTES_MIN || self.told_at.elapsed() < INTERVAL {
            return;
        }
        self.told_at = Instant::now();
        self.progress.send_modify(|progress| {
            self.before_list.get_or_insert(progress.phase);
            progress.phase = Phase::SendingList;
            progress.bytes = bytes;
            progress.bytes_total = Some(of);
            (progress.bytes_per_second, progress.seconds_left) = (None, None);
        });
    }

    /// The list is with the phone, which goes on as before.
    pub fn sent_list(&mut self) {
        let Some(phase) = self.before_list.take() else { return };
        self.progress.send_modify(|progress| {
            progress.phase = phase;
            (progress.bytes, progress.bytes_total) = (self.told_bytes, None);
        });
    }

    /// The phone's own estimate of the whole, which only grows.
    pub fn percent(&mut self, percent: f64) {
        self.progress.send_if_modified(|progress| {
            let fraction = (percent / 100.0).max(progress.fraction.unwrap_or(0.0));
            progress.fraction = (fraction > 0.0).then_some(fraction);
            false
        });
    }

    /// So much is through, whole files and all bytes.
    pub fn tick(&mut self, files: u64, bytes: u64) {
        let elapsed = self.told_at.elapsed();
        if elapsed < INTERVAL {
            return;
        }
        // The first interval is mostly the phone's preparation and says nothing of the link.
        let newest = (bytes.saturating_sub(self.told_bytes)) as f64 / elapsed.as_secs_f64();
        let rate = self.rate.map_or(newest, |rate| rate + RATE_WEIGHT * (newest - rate));
        self.rate = (self.told_bytes > 0).then_some(rate);
        self.told_at = Instant::now();
        self.told_bytes = bytes;
        self.progress.send_modify(|progress| {
            progress.phase = Phase::Transferring;
            progress.bytes_total = None;
            progress.files = files;
            progress.bytes = bytes;
            progress.bytes_per_second = self.rate.map(|rate| rate as u64);
            progress.seconds_left = progress
                .fraction
                .filter(|fraction| *fraction > 0.01 && self.rate.is_some() && rate > 1.0)
                .map(|fraction| ((bytes as f64 / fraction - bytes as f64) / rate) as u64);
        });
    }

    /// The final counts.
    pub fn finish(&mut self, files: u64, bytes: u64) {
        self.progress.send_modify(|progress| {
            progress.files = files;
            progress.bytes = bytes;
        });
    }
}
