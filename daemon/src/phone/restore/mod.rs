//! One restore: a snapshot goes back onto a phone.

pub mod preflight;

use std::{collections::HashMap, path::PathBuf, thread};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
    overview::Progress,
};
use plist::{Dictionary, Value};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    awake,
    device_link::{self, Matter},
    facts::Facts,
    link::{Attached, Muxer, Session},
    loss, run,
};
use crate::{
    transfer::{
        digests::Digests, download::Sent, order::Order, recording, restore_applications::RestoreApplications,
        sync_lock::SyncLock,
    },
    vault::encryption::Password,
};

/// What a person may choose about a restore.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choices {
    /// The phone's settings stay.
    pub keep_settings: bool,
    /// What is on the phone and not in the snapshot stays; apps that are missing then do not come back.
    pub keep_others: bool,
    /// The phone does not restart; until it does, most of what came is not in use.
    pub no_restart: bool,
}

impl Choices {
    /// The request's `Options`. Source of the keys: `idevicebackup2.c` and pymobiledevice3's `mobilebackup2.py`; what
    /// Finder's restore amounts to: libimobiledevice #786, pymobiledevice3 #1053.
    pub fn options(self) -> Dictionary {
        let mut options = Dictionary::new();
        options.insert("RestoreSystemFiles".into(), true.into());
        options.insert("RestorePreserveSettings".into(), self.keep_settings.into());
        options.insert("RemoveItemsNotRestored".into(), (!self.keep_others).into());
        options.insert("RestoreShouldReboot".into(), (!self.no_restart).into());
        // The phone works on a clone already.
        options.insert("RestoreDontCopyBackup".into(), true.into());
        options
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Job {
    /// The way to the phone.
    pub muxer: Muxer,
    /// The phone.
    pub attached: Attached,
    /// Whose backup it is.
    pub source: Udid,
    /// The folder that holds the backup's folder; the phone may change what is in it.
    pub base: PathBuf,
    /// The request's `Options`.
    pub options: Dictionary,
    /// What opens an encrypted backup.
    pub password: Option<Password>,
    /// The backup's apps, to be fetched again; none to leave them out.
    pub applications: Option<Dictionary>,
    /// Where to tell how far it is.
    pub progress: watch::Sender<Progress>,
    /// Ends it.
    pub cancel: CancellationToken,
}

/// Runs a job on a thread of its own, as a backup does.
pub fn start(job: Job) -> oneshot::Receiver<Result<Sent, Failure>> {
    let (sender, receiver) = oneshot::channel();
    awake::keep_awake(job.progress.subscribe(), "An iPhone is being restored");
    let body = move || {
        let ended = match run::runtime(job.attached.usb) {
            Ok(runtime) => runtime.block_on(carry_out(job)),
            Err(error) => Err(Failure::from(FailureId::HostIoError).doing("starting a thread").text(error)),
        };
        // Who asked may have gone.
        drop(sender.send(ended));
    };
    if let Err(error) = thread::Builder::new().name("restore".into()).spawn(body) {
        // The receiver sees the closed channel.
        tracing::error!(%error, "a restore could not be started");
    }
    receiver
}

async fn carry_out(job: Job) -> Result<Sent, Failure> {
    let mut sent = Sent::default();
    let restored = restore(&job, &mut sent).await;
    match restored {
        Ok(()) => Ok(sent),
        Err(failure) => Err(loss::told_apart(&job.muxer, &job.attached, failure, sent.files > 0).await),
    }
}

async fn restore(job: &Job, sent: &mut Sent) -> Result<(), Failure> {
    let prepare = async {
        let mut session = Session::open(&job.muxer, &job.attached).await?;
        let facts = Facts::read(&mut session, &job.attached.udid).await?;
        let sync_lock = SyncLock::take(&mut session).await?;
        Ok::<_, Failure>((session, facts, sync_lock))
    };
    // From then on the conversation itself sees to it, so that what is on the phone for it is removed again.
    let (mut session, facts, sync_lock) = tokio::select! {
        prepared = prepare => prepared?,
        () = job.cancel.cancelled() => return Err(FailureId::CancelledByUser.into()),
    };
    let applications = match &job.applications {
        Some(applications) => Some(RestoreApplications::write(&mut session, applications).await?),
        None => None,
    };
    let log = recording::begin(&job.attached.udid, "restore");
    recording::tell_tree(&log, &job.base.join(job.source.as_str()), true, false);
    let matter = Matter {
        order: Order::Restore {
            target: job.attached.udid.clone(),
            options: job.options.clone(),
            password: job.password.clone(),
        },
        aside: None,
        digests: Digests::default(),
        unreadable: HashMap::new(),
        make_room: &mut |_, _| false,
        base: &job.base,
        source: &job.source,
        usb: job.attached.usb,
        progress: &job.progress,
        cancel: &job.cancel,
        log: log.clone(),
    };
    let result = match device_link::converse(&mut session, &facts, matter).await {
        Ok(outcome) => {
            *sent = outcome.sent;
            outcome.result
        }
        Err(failure) => Err(failure),
    };
    recording::tell_result(&log, result.as_ref().err());
    match (&result, applications) {
        (Err(_), Some(applications)) => applications.remove().await,
        // The phone is about to restart and ends everything else by itself.
        _ => sync_lock.release().await,
    }
    result
}

/// True for a text property of a phone or a backup that says yes.
fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_boolean) == Some(true)
}
