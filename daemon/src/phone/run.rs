//! One backup from the first connection to the committed receipt.

mod doing;

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use backstay_shared::{
    config::Backup,
    health::{Failure, FailureId},
    ids::RunId,
    overview::{EndedRun, Problem, Progress},
};
use chrono::Utc;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use self::doing::Run;
use super::{
    awake,
    check::Checked,
    link::{Attached, Muxer},
    state::Occasion,
};
use crate::vault::{encryption::Password, receipt::Receipt, roots::KnownRoots};

/// A number that no other run has, also after a restart: milliseconds since 1970, or some more where several phones
/// came in the same one.
pub fn new_run_id() -> RunId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
    let next = |last: u64| Some(now.max(last + 1));
    // It always takes the new one, and gives back the old.
    RunId(LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(now, |last| now.max(last + 1)))
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its number.
    pub run: RunId,
    /// The way to the phone.
    pub muxer: Muxer,
    /// The phone.
    pub attached: Attached,
    /// Where backups go.
    pub root: PathBuf,
    /// Folders that held backups before.
    pub known_roots: KnownRoots,
    /// The settings of backups.
    pub settings: Backup,
    /// Why now.
    pub occasion: Occasion,
    /// Everything anew.
    pub full: bool,
    /// The backup password, when it is given for this run alone rather than looked up in the password store.
    pub password: Option<Password>,
    /// Where to tell how far it is.
    pub progress: watch::Sender<Progress>,
    /// Ends it.
    pub cancel: CancellationToken,
    /// The daemon ends: that is no person's wish, and the backup is owed.
    pub shutdown: CancellationToken,
}

/// How a run ended, and what it received.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which run.
    pub run: RunId,
    /// What came.
    pub files_received: u64,
    /// What came.
    pub bytes_received: u64,
    /// What was seen before it began.
    pub checked: Checked,
    /// The phone showed its passcode sheet: another try costs its owner another passcode.
    pub passcode_asked: bool,
    /// The proof, or why there is none.
    pub result: Result<Receipt, Failure>,
}

impl Ended {
    /// The thread died before it could say more.
    pub fn nothing(run: RunId) -> Self {
        let failure = Failure::from(FailureId::HostIoError).text("the backup thread ended early");
        Self {
            run,
            files_received: 0,
            bytes_received: 0,
            checked: Checked::default(),
            passcode_asked: false,
            result: Err(failure),
        }
    }

    /// For front ends and the journal.
    pub fn told(&self) -> EndedRun {
        let at = Utc::now();
        EndedRun {
            run: self.run,
            at,
            files_received: self.files_received,
            bytes_received: self.bytes_received,
            failure: self.result.as_ref().err().map(|failure| Problem::new(failure, at)),
        }
    }
}

/// Runs a job on a thread of its own: reading and the short disk operations block it and nothing else, and its
/// sockets are polled without crossing threads.
pub fn start(job: Job) -> oneshot::Receiver<Ended> {
    let (sender, receiver) = oneshot::channel();
    awake::keep_awake(job.progress.subscribe(), "An iPhone is being backed up");
    let body = move || {
        let run = job.run;
        let ended = match runtime(job.attached.usb) {
            Ok(runtime) => runtime.block_on(Run::new(job).carry_out()),
            Err(error) => {
                let failure = Failure::from(FailureId::HostIoError).doing("starting a thread").text(error);
                Ended { result: Err(failure), ..Ended::nothing(run) }
            }
        };
        // Who asked may have gone; the receipt is on disk all the same.
        drop(sender.send(ended));
    };
    if let Err(error) = thread::Builder::new().name("backup".into()).spawn(body) {
        // The receiver sees the closed channel.
        tracing::error!(%error, "a backup could not be started");
    }
    receiver
}

/// What a backup or a restore runs on. Over Wi-Fi the heartbeat has a thread of its own: the phone ends a session in
/// which it is not answered, and a disk that is slow for a moment blocks the thread of the run.
pub(super) fn runtime(usb: bool) -> io::Result<Runtime> {
    let mut builder = if usb { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(1).thread_name("heartbeat").enable_all().build()
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
