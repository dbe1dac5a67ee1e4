//! The fallback of last resort: photos and videos out of `/DCIM`, over AFC, when a whole backup is not to be had.
//!
//! What is copied is proved as far as it can be: a file has the size that the phone said, it was synced, read again
//! from the disk and compared with the BLAKE3 of what came. What the phone itself reads wrong is not to be noticed,
//! since AFC has no checksum of its own to hold against. A copy that broke is begun again with the same command: files
//! that are there are skipped, and a large one goes on where it stopped.

pub mod lane;
pub mod only_in_icloud;
pub mod progress;
pub mod scan;
pub mod source;
pub mod target;

use std::{path::Path, sync::Arc};

use backstay_shared::health::{Failure, FailureId};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::progress::{Copied, NotCopied, Progress};
use self::{lane::Work, progress::Tally, scan::Item, source::Source, target::Target};
use super::{
    link::{Attached, Muxer, Session},
    loss,
};
use crate::health::diagnose;

/// Where the phone has them.
const DCIM: &str = "/DCIM";

/// Connections at a time. Each answers one request after the other, and small photos are mostly waiting.
const LANES: usize = 4;

/// Copies the phone's photos into this folder, which is made when it is not there. Nothing in it is removed or written
/// into: a file of the same name and another content stays, and the photo gets a number.
///
/// # Errors
/// `photos-copy-failed` when the phone was lost on the way, with the cause in its text; what kept it from beginning;
/// what the disk said; `cancelled-by-user`. Files that could not be read are no error here: see [`Copied::failure`].
pub async fn copy(
    muxer: &Muxer,
    attached: &Attached,
    destination: &Path,
    progress: watch::Sender<Progress>,
    cancel: &CancellationToken,
) -> Result<Copied, Failure> {
    let path = destination.to_owned();
    let target = blocking(move || Target::open(&path)).await?.map_err(|error| diagnose::disk(&error))?;
    let target = Arc::new(target);
    let begin = async {
        let mut sources = match connect(muxer, attached).await {
            Ok(sources) => sources,
            Err(failure) => return Err(loss::told_apart(muxer, attached, failure, false).await),
        };
        let mut tally = Tally::new(progress);
        match scan::scan(&mut sources, &target, &mut tally).await {
            Ok(items) => Ok((sources, tally, items)),
            Err(failure) => Err(lost(muxer, attached, failure, None).await),
        }
    };
    let (sources, mut tally, items) = tokio::select! {
        begun = begin => begun?,
        () = cancel.cancelled() => return Err(FailureId::CancelledByUser.into()),
    };
    check_room(&target, &items).await?;
    tally.begin();
    let work = Work::new(muxer.clone(), attached.clone(), target, cancel.child_token(), items, tally);
    carry_out(&work, sources, cancel).await
}

async fn carry_out(work: &Work, sources: Vec<Source>, cancel: &CancellationToken) -> Result<Copied, Failure> {
    let ended = join_all(sources.into_iter().map(|source| lane::run(work, source))).await;
    // Also what came before the end is proved and named: the next copy need not fetch it again.
    let proved = work.prove_rest().await;
    let target = work.target.clone();
    let synced = blocking(move || target.sync()).await?.map_err(|error| diagnose::disk(&error));
    work.tally().end();
    if let Some(failure) = ended.into_iter().find_map(Result::err) {
        return Err(lost(&work.muxer, &work.attached, failure, Some(work)).await);
    }
    proved.and(synced)?;
    if cancel.is_cancelled() {
        return Err(FailureId::CancelledByUser.into());
    }
    let mut copied = work.tally().copied.clone();
    copied.warning = match warn(work).await {
        Ok(warning) => warning,
        Err(failure) => {
            tracing::debug!(%failure, "whether some photos are only in iCloud is not known");
            None
        }
    };
    Ok(copied)
}

async fn warn(work: &Work) -> Result<Option<Failure>, Failure> {
    only_in_icloud::check(&mut work.connect().await?).await
}

async fn connect(muxer: &Muxer, attached: &Attached) -> Result<Vec<Source>, Failure> {
    let mut session = Session::open(muxer, attached).await?;
    let mut sources = Vec::new();
    for _ in 0..LANES {
        match Source::connect(&mut session).await {
            Ok(source) => sources.push(source),
            // Fewer are slower and no worse.
            Err(failure) if !sources.is_empty() => tracing::debug!(%failure, "fewer connections than wanted"),
            Err(failure) => return Err(failure),
        }
    }
    session.close().await;
    Ok(sources)
}

/// It is told before an hour of copying rather than after it.
async fn check_room(target: &Arc<Target>, items: &[Item]) -> Result<(), Failure> {
    let needed = items.iter().fold(0_u64, |bytes, item| bytes.saturating_add(item.size));
    let asked = target.clone();
    let free = blocking(move || asked.free_bytes()).await?.map_err(|error| diagnose::disk(&error))?;
    if needed <= free {
        return Ok(());
    }
    let mut failure = Failure::from(FailureId::HostDiskFull).path(target.path());
    failure.evidence.bytes_needed = Some(needed);
    failure.evidence.bytes_free = Some(free);
    Err(failure)
}

/// A copy that broke off, with the cause in its text; what the computer's own disk said stays what it is.
async fn lost(muxer: &Muxer, attached: &Attached, failure: Failure, work: Option<&Work>) -> Failure {
    let is_ours = |id: FailureId| {
        use FailureId::{
            BackupDriveMissing, HostDiskFull, HostFileLimit, HostIoError, HostQuotaExceeded, HostWriteDenied,
        };
        matches!(
            id,
            BackupDriveMissing | HostDiskFull | HostFileLimit | HostIoError | HostQuotaExceeded | HostWriteDenied
        )
    };
    if is_ours(failure.id) {
        return failure;
    }
    let cause = loss::told_apart(muxer, attached, failure, false).await;
    let mut text = cause.id.entry().title.clone();
    if let Some(seen) = &cause.evidence.text {
        text = format!("{text}: {seen}");
    }
    let mut failure = Failure::from(FailureId::PhotosCopyFailed).text(text).doing("copying photos");
    if let Some(work) = work {
        let tally = work.tally();
        failure.evidence.files = Some(tally.files_left());
        failure.evidence.bytes_received = Some(tally.copied.bytes).filter(|bytes| *bytes > 0);
    }
    failure
}

/// Work of the disk, on a thread of its own: it must not hold up the answers of the phone.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::from(FailureId::HostIoError).doing("copying photos").text(error))
}
