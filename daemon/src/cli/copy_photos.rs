//! `backstay copy-photos`: photos and videos out of a phone, when a whole backup is not to be had.

use std::path::PathBuf;

use backstay_shared::health::readable_bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{CliError, Context, backup::choose, extract::plain, output, phones, progress::Display};
use crate::phone::photos::{self, Copied, Progress};

/// Arguments of `backstay copy-photos`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A name, a UDID or a unique part of either
    phone: String,
    /// The folder that they go to; what is there already stays as it is
    #[arg(value_name = "DEST")]
    destination: PathBuf,
    /// One event a line, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Carries it out.
///
/// # Errors
/// When not every photo of the phone is there at the end.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let muxer = context.muxer()?;
    let attached = choose(phones::found(context, &muxer).await?, Some(&arguments.phone))?;
    let display = Display::new(arguments.json, attached.udid.as_str());
    let (progress, mut watched) = watch::channel(Progress::start());
    let cancel = CancellationToken::new();
    let copying = photos::copy(&muxer, &attached, &arguments.destination, progress, &cancel);
    tokio::pin!(copying);
    let mut following = true;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut copying => break ended,
            changed = watched.changed(), if following => {
                following = changed.is_ok();
                show(&display, &watched.borrow_and_update().clone());
            }
            signal = tokio::signal::ctrl_c() => {
                if signal.is_ok() && cancel.is_cancelled() {
                    // Asked twice: a disk that hangs keeps it from ending. The next copy goes on from here.
                    std::process::exit(130);
                }
                cancel.cancel();
            }
        }
    };
    show(&display, &watched.borrow().clone());
    display.finish();
    told(&ended?, arguments)
}

fn show(display: &Display, progress: &Progress) {
    // A closed pipe ends the showing, not the work.
    match display {
        Display::Json => drop(output::json_line(&json!({
            "event": "progress",
            "phase": progress.shown().phase,
            "files": progress.files,
            "files_total": progress.files_total,
            "bytes": progress.bytes,
            "bytes_total": progress.bytes_total,
            "bytes_per_second": progress.bytes_per_second,
        }))),
        Display::Bar(_) => drop(display.show(&progress.shown())),
    }
}

/// What came of it as a whole.
fn told(copied: &Copied, arguments: &Arguments) -> Result<(), CliError> {
    let destination = arguments.destination.display().to_string();
    if arguments.json {
        for not_copied in &copied.first_failed {
            output::json_line(&json!({ "event": "not-copied", "path": not_copied.path, "what": not_copied.why }))?;
        }
        output::json_line(&json!({
            "event": if copied.failed == 0 { "done" } else { "incomplete" },
            "destination": destination,
            "files": copied.files,
            "bytes": copied.bytes,
            "existing": copied.there,
            "not_copied": copied.failed,
            "warning": copied.warning.as_ref().map(output::problem_of),
        }))?;
    } else {
        for not_copied in &copied.first_failed {
            output::line(&format!("not copied: {}: {}", plain(&not_copied.path), plain(&not_copied.why)))?;
        }
        let Copied { files, bytes, there, .. } = copied;
        output::line(&format!("{files} files came ({}) to {destination}, {there} were there", readable_bytes(*bytes)))?;
        if let Some(warning) = &copied.warning {
            output::warn(&output::problem_of(warning))?;
        }
    }
    copied.failure().map_or(Ok(()), |failure| Err(failure.into()))
}
