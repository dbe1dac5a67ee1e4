//! A running backup, as a bar for people or as one object a line for scripts.

use std::{
    io::{self, Write},
    time::Duration,
};

use backstay_shared::{
    health::readable_bytes,
    overview::{Phase, Progress},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{CliError, output};

const STEPS: u64 = 1000;

/// Shows progress until it is dropped.
#[derive(Debug)]
pub enum Display {
    /// On the terminal.
    Bar(ProgressBar),
    /// On standard output.
    Json,
}

impl Display {
    /// A bar, or lines.
    pub fn new(as_json: bool, phone: &str) -> Self {
        if as_json {
            return Self::Json;
        }
        let bar = ProgressBar::new(STEPS);
        let style = ProgressStyle::with_template("{prefix}  {bar:30} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(phone.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Self::Bar(bar)
    }

    /// Shows how far it is now.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn show(&self, progress: &Progress) -> Result<(), CliError> {
        match self {
            Self::Json => {
                let mut object = serde_json::to_value(progress).unwrap_or_default();
                if let Some(fields) = object.as_object_mut() {
                    fields.insert("event".into(), json!("progress"));
                }
                output::json_line(&object)
            }
            Self::Bar(bar) => {
                // A bar is drawn on terminals alone, and this must not be missed.
                if progress.phase == Phase::WaitingForPasscode && bar.is_hidden() {
                    drop(writeln!(io::stderr(), "{}: {}", bar.prefix(), describe(progress)));
                }
                bar.set_position((progress.fraction.unwrap_or(0.0) * STEPS as f64) as u64);
                bar.set_message(describe(progress));
                Ok(())
            }
        }
    }

    /// Shows that another phone has the disk, and how many are to come before.
    pub fn waits(&self, place: Option<u32>) {
        match self {
            // A closed pipe ends the showing.
            Self::Json => drop(output::json_line(&json!({ "event": "queued", "place": place }))),
            Self::Bar(bar) => {
                if bar.is_hidden() {
                    drop(writeln!(io::stderr(), "{}: {}", bar.prefix(), waits(place)));
                }
                bar.set_message(waits(place));
            }
        }
    }

    /// Tells something of its own without disturbing the bar.
    pub fn aside(&self, text: &str, object: &serde_json::Value) {
        // A closed terminal changes nothing about the work.
        match self {
            Self::Json => drop(output::json_line(object)),
            Self::Bar(bar) => bar.suspend(|| drop(writeln!(io::stderr(), "{text}"))),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Shows how far a run is until it ends; the first Ctrl-C ends it, a second one at once. None when its thread died.
pub async fn follow<T>(
    display: &Display,
    mut ended: oneshot::Receiver<T>,
    mut watched: watch::Receiver<Progress>,
    cancel: &CancellationToken,
) -> Option<T> {
    let mut following = true;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut ended => break ended,
            changed = watched.changed(), if following => {
                following = changed.is_ok();
                let now = watched.borrow_and_update().clone();
                // A closed pipe ends the listening, not the run.
                drop(display.show(&now));
            }
            signal = tokio::signal::ctrl_c() => {
                if signal.is_ok() && cancel.is_cancelled() {
                    // Asked twice: a disk that hangs keeps the run from ending. The next start tidies up.
                    std::process::exit(130);
                }
                cancel.cancel();
            }
        }
    };
    display.finish();
    ended.ok()
}

/// `waits for its turn, 3 in the queue`
pub fn waits(place: Option<u32>) -> String {
    match place {
        Some(1) => "waits for its turn, and is next".into(),
        Some(place) => format!("waits for its turn, {place} in the queue"),
        None => "waits for its turn".into(),
    }
}

/// `4.1 GB, 12034 files, 38.2 MB/s, 3 min left`
pub fn describe(progress: &Progress) -> String {
    match progress.phase {
        Phase::Preparing => "preparing".into(),
        Phase::WaitingForPasscode => "enter your passcode on the iPhone".into(),
        Phase::Scanning => "the iPhone looks for what changed".into(),
        Phase::SendingList => match progress.bytes_total {
            Some(total) => {
                let (bytes, total) = (readable_bytes(progress.bytes), readable_bytes(total));
                format!("sending the list of files: {bytes} of {total}")
            }
            None => "sending the list of files".into(),
        },
        Phase::Transferring => {
            let mut text = format!("{}, {} files", readable_bytes(progress.bytes), progress.files);
            if let Some(rate) = progress.bytes_per_second {
                text.push_str(&format!(", {}/s", readable_bytes(rate)));
            }
            if let Some(seconds) = progress.seconds_left {
                text.push_str(&format!(", {} left", duration(seconds)));
            }
            text
        }
        Phase::Verifying => "checking every file".into(),
        Phase::Committing => "putting the new backup in place".into(),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
