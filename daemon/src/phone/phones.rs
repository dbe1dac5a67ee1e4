//! The actors, by phone, and how the rest of the daemon speaks to them.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use backstay_shared::{
    config::Config,
    health::{Condition, Failure, FailureId},
    ids::{RunId, Udid},
    overview::{EarlierPhone, Pause, Timetable},
    protocol::Refusal,
};
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    actions,
    actor::Actor,
    facts::Introduction,
    link::{Attached, Muxer},
    photos,
    turns::Turns,
    vitals::Vitals,
    wifi,
};
use crate::{
    health::diagnose,
    host::clock::ClockWatch,
    ipc::board::Board,
    vault::{
        free_space,
        layout::{Layout, OWN_FOLDER},
        roots::KnownRoots,
    },
    watch::Apple,
};

/// Messages that wait for an actor; more than this means it hangs.
const QUEUE_LENGTH: usize = 64;

/// What all actors share.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The way to the phones.
    pub muxer: Muxer,
    /// The settings.
    pub config: Arc<Config>,
    /// Where backups go.
    pub root: PathBuf,
    /// Folders that held backups before.
    pub known_roots: KnownRoots,
    /// Where their state is shown.
    pub board: Board,
    /// One backup at a time: they share a disk.
    pub turns: Turns,
    /// A person wants no backups to start by themselves.
    pub paused: watch::Sender<Option<Pause>>,
    /// Why nothing at all is backed up: nobody knows where to, or nobody has agreed to it.
    pub held: Option<Failure>,
    /// What is known of iCloud and of iOS versions.
    pub apple: Apple,
    /// Whether the wall clock can be believed.
    pub clock: ClockWatch,
    /// Ends everything.
    pub shutdown: CancellationToken,
    /// Lets the end wait for everything.
    pub tasks: TaskTracker,
}

impl Surroundings {
    /// True before a person has agreed to backups.
    pub fn is_setup_needed(&self) -> bool {
        self.held.as_ref().is_some_and(|why| why.id == FailureId::SetupNeeded)
    }
}

/// What an actor is told.
#[derive(Debug)]
pub(super) enum Message {
    Presence { attached: Option<Attached>, just_came: bool },
    BackUp { full: bool, reply: oneshot::Sender<Result<RunId, Refusal>> },
    Cancel { reply: oneshot::Sender<Result<(), Refusal>> },
    Attached { reply: oneshot::Sender<Option<Attached>> },
    Timetable { reply: oneshot::Sender<Timetable> },
    Snooze { problem: FailureId, until: DateTime<Utc>, reply: oneshot::Sender<bool> },
    LookAgain,
    Introduced { introduction: Introduction, earlier: Option<EarlierPhone> },
    Vitals(Vitals),
    Trust(Result<(), Failure>),
    Cured(Condition),
    Noticed(Failure),
    NotReached(Option<Failure>),
    DriveIsBack { reply: oneshot::Sender<()> },
}

/// Named for people; a phone's name may hold anything.
fn photos_folder(name: &str, udid: &Udid) -> String {
    let plain: String =
        name.chars().filter(|character| character.is_alphanumeric() || " -_'".contains(*character)).collect();
    let plain = plain.trim();
    format!("Photos of {}", if plain.is_empty() { udid.as_str() } else { plain })
}

/// The actors, by phone. Clones are the same.
#[derive(Debug, Clone)]
pub struct Phones {
    surroundings: Surroundings,
    actors: Arc<Mutex<BTreeMap<Udid, mpsc::Sender<Message>>>>,
}

impl Phones {
    /// None yet.
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, actors: Arc::default() }
    }

    /// The queue of the disk.
    pub const fn turns(&self) -> &Turns {
        &self.surroundings.turns
    }

    /// The actor of this phone; started when it is the first one heard of it.
    fn actor(&self, udid: &Udid) -> mpsc::Sender<Message> {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
            let actor = Actor::new(udid.clone(), self.surroundings.clone(), sender.clone());
            // Whoever asks from now on hears of it.
            actor.publish();
            self.surroundings.tasks.spawn(actor.run(receiver));
            sender
        };
        actors.entry(udid.clone()).or_insert_with(start).clone()
    }

    /// The phones heard of so far.
    pub fn known(&self) -> Vec<Udid> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Something is wrong with this phone's kept backups.
    pub async fn noticed(&self, udid: &Udid, failure: Failure) {
        if self.actor(udid).send(Message::Noticed(failure)).await.is_err() {
            tracing::error!(%udid, "a phone's actor ended");
        }
    }

    /// The backup drive is there again. Returns when no phone tells of its absence any more.
    pub async fn drive_is_back(&self) {
        let actors: Vec<_> = self.actors.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for actor in actors {
            let (reply, taken) = oneshot::channel();
            // An actor that is gone has ended with the daemon, and tells nothing.
            if actor.send(Message::DriveIsBack { reply }).await.is_ok() {
                drop(taken.await);
            }
        }
    }

    /// A phone announces itself on the network and can't be reached; none when that is over.
    pub async fn not_reached(&self, udid: &Udid, failure: Option<Failure>) {
        if self.actor(udid).send(Message::NotReached(failure)).await.is_err() {
            tracing::error!(%udid, "a phone's actor ended");
        }
    }

    /// Those that have backups on the disk.
    pub fn remember_all(&self) {
        let folder = self.surroundings.root.join(OWN_FOLDER);
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).for_each(|udid| self.remember(&udid));
    }

    /// A phone that has backups here, though it may be away.
    pub fn remember(&self, udid: &Udid) {
        self.actor(udid);
    }

    /// A phone came, changed its link, or went.
    /// `just_came` says that it was not there before, so that somebody may have plugged it in.
    pub async fn presence(&self, udid: &Udid, attached: Option<Attached>, just_came: bool) {
        if self.actor(udid).send(Message::Presence { attached, just_came }).await.is_err() {
            tracing::error!(%udid, "a phone's actor ended");
        }
    }

    /// A person wants a backup now.
    ///
    /// # Errors
    /// When the phone is not connected.
    pub async fn back_up(&self, udid: &Udid, full: bool) -> Result<RunId, Refusal> {
        let (reply, answer) = oneshot::channel();
        match self.ask(udid, Message::BackUp { full, reply }, answer).await {
            Err(Refusal::Failure(failure)) if failure.id == FailureId::DeviceNotFound => {
                Err(Refusal::Failure(self.why_away(udid).await.unwrap_or(failure)))
            }
            answer => answer,
        }
    }

    /// Why a phone that is away is not found on Wi-Fi; none when it never was to be found there.
    async fn why_away(&self, udid: &Udid) -> Option<Failure> {
        let muxer = &self.surroundings.muxer;
        let expected = muxer.records().last_seen(udid).allowed == Some(true);
        if !self.surroundings.config.network.wifi || !expected {
            return None;
        }
        wifi::examine(muxer, udid).await.failure()
    }

    /// A person wants the running backup to end.
    ///
    /// # Errors
    /// When there is none.
    pub async fn cancel(&self, udid: &Udid) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(udid, Message::Cancel { reply }, answer).await
    }

    /// The link to a phone now.
    ///
    /// # Errors
    /// When it is away.
    pub async fn attached(&self, udid: &Udid) -> Result<Attached, Refusal> {
        let (reply, answer) = oneshot::channel();
        let away = || Refusal::Failure(FailureId::DeviceNotFound.into());
        self.actor(udid).send(Message::Attached { reply }).await.map_err(|_| away())?;
        answer.await.ok().flatten().ok_or_else(away)
    }

    /// When the next backups of a phone are due; none while the daemon ends.
    pub async fn timetable(&self, udid: &Udid) -> Option<Timetable> {
        let (reply, answer) = oneshot::channel();
        self.actor(udid).send(Message::Timetable { reply }).await.ok()?;
        answer.await.ok()
    }

    /// Restarts a phone.
    ///
    /// # Errors
    /// When it is away, refuses or does not answer.
    pub async fn restart(&self, udid: &Udid) -> Result<(), Refusal> {
        let attached = self.attached(udid).await?;
        actions::restart(&self.surroundings.muxer, &attached).await.map_err(Refusal::Failure)
    }

    /// Asks a phone for trust anew; its owner's answer is told when it comes.
    ///
    /// # Errors
    /// When it is away.
    pub async fn pair_again(&self, udid: &Udid) -> Result<(), Refusal> {
        let attached = self.attached(udid).await?;
        let (muxer, actor) = (self.surroundings.muxer.clone(), self.actor(udid));
        let cancel = self.surroundings.shutdown.clone();
        self.surroundings.tasks.spawn(async move {
            let tell = async |trust| drop(actor.send(Message::Trust(trust)).await);
            tell(Err(FailureId::TrustPending.into())).await;
            if let Some(paired) = cancel.run_until_cancelled(actions::pair_again(&muxer, &attached)).await {
                tell(paired).await;
            }
        });
        Ok(())
    }

    /// Removes old snapshots, oldest first, until what is wanted is free or only the newest is left.
    ///
    /// # Errors
    /// Of the disk; `backup-in-progress-elsewhere` while a backup runs.
    pub async fn free_space(&self, udid: &Udid, bytes_wanted: u64) -> Result<(), Refusal> {
        let layout = Layout::new(&self.surroundings.root, udid);
        let freeing =
            tokio::task::spawn_blocking(move || free_space::free_interrupted_too(&layout, bytes_wanted)).await;
        let freed = match freeing {
            Ok(freed) => freed.map_err(|error| Refusal::Failure(diagnose::vault(&error)))?,
            Err(error) => return Err(Refusal::Failure(Failure::from(FailureId::HostIoError).text(error))),
        };
        tracing::info!(%udid, removed = freed.removed.len(), bytes_free = freed.bytes_free, "made room");
        if freed.bytes_free < bytes_wanted {
            let mut failure = Failure::from(FailureId::HostDiskFull).path(&self.surroundings.root);
            failure.evidence.bytes_needed = Some(bytes_wanted);
            failure.evidence.bytes_free = Some(freed.bytes_free);
            return Err(Refusal::Failure(failure));
        }
        Ok(())
    }

    /// Copies the phone's photos beside the backups; what came of it is told as a problem of the phone.
    ///
    /// # Errors
    /// When it is away.
    pub async fn copy_photos(&self, udid: &Udid, name: &str) -> Result<(), Refusal> {
        let attached = self.attached(udid).await?;
        if let Some(why) = &self.surroundings.held {
            return Err(Refusal::Failure(why.clone()));
        }
        // Never into the empty mount point of a drive that is away.
        let (known_roots, root) = (self.surroundings.known_roots.clone(), self.surroundings.root.clone());
        let prepared = tokio::task::spawn_blocking(move || known_roots.prepare(&root)).await;
        prepared
            .unwrap_or_else(|error| Err(Failure::from(FailureId::HostIoError).text(error)))
            .map_err(Refusal::Failure)?;
        let destination = self.surroundings.root.join(photos_folder(name, udid));
        let (phones, muxer) = (self.clone(), self.surroundings.muxer.clone());
        let cancel = self.surroundings.shutdown.clone();
        self.surroundings.tasks.spawn(async move {
            let udid = attached.udid.clone();
            // On a thread of its own: what talks to usbmuxd stays on the thread it began on.
            let copying = tokio::task::spawn_blocking(move || {
                let (progress, _) = watch::channel(photos::Progress::start());
                let copying = photos::copy(&muxer, &attached, &destination, progress, &cancel);
                match tokio::runtime::Handle::current().block_on(copying) {
                    Ok(copied) => copied
                        .failure()
                        .or(copied.warning)
                        .unwrap_or_else(|| Failure::from(FailureId::PhotosCopyOnly).path(&destination)),
                    Err(failure) => failure,
                }
            });
            let told = copying.await.unwrap_or_else(|error| Failure::from(FailureId::PhotosCopyFailed).text(error));
            phones.noticed(&udid, told).await;
        });
        Ok(())
    }

    /// Ends pauses whose time is over, for ever.
    pub async fn end_pauses(&self) {
        let mut paused = self.surroundings.paused.subscribe();
        loop {
            let until = paused.borrow_and_update().and_then(|pause| pause.until);
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep((until - Utc::now()).to_std().unwrap_or_default()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => self.pause(None),
                changed = paused.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Nothing starts by itself until then, or until it is called with none.
    pub fn pause(&self, pause: Option<Pause>) {
        self.surroundings.board.put_pause(pause);
        self.surroundings.paused.send_replace(pause);
    }

    /// A person has heard of a problem of this phone. False when it has none such.
    pub async fn snooze(&self, udid: &Udid, problem: FailureId, until: DateTime<Utc>) -> bool {
        let (reply, answer) = oneshot::channel();
        let sent = self.actor(udid).send(Message::Snooze { problem, until, reply }).await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// What a failed backup waits for may have changed.
    pub async fn look_again(&self, udid: &Udid) {
        // Also whether it may be on the network.
        self.surroundings.muxer.records().look_again();
        if self.actor(udid).send(Message::LookAgain).await.is_err() {
            tracing::error!(%udid, "a phone's actor ended");
        }
    }

    async fn ask<T>(
        &self,
        udid: &Udid,
        message: Message,
        answer: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        // An actor ends only with the daemon.
        let gone = || Refusal::Failure(Failure::from(FailureId::UnknownError).text("the daemon is ending"));
        self.actor(udid).send(message).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
