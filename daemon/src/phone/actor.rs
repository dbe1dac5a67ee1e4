//! One actor owns one phone: it takes in what happens, asks [`step`] what follows, and does it.

use std::{collections::BTreeMap, time::Duration};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::{RunId, Udid},
    overview::{Activity, EndedRun, Phase, PhoneOverview, Problem, Progress},
    protocol::Refusal,
};
use chrono::{DateTime, Local, Utc};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    facts::{self, Introduction},
    link::{Attached, Muxer},
    pairing,
    phones::{Message, Surroundings},
    run::{self, Ended, Job, new_run_id},
    state::{Doing, Effect, Facts, Input, PhoneState},
    step::step,
};
use crate::{
    schedule::{
        due::{Rule, next_due},
        retry::{self, Next},
    },
    vault::{
        layout::Layout,
        ledger::LedgerError,
        receipt::{self, Receipt},
        transaction::{self, Idle},
    },
};

/// The wall clock is looked at this often while a phone is here, since it may be set or the computer may sleep.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

struct Active {
    run: RunId,
    progress: watch::Receiver<Progress>,
    ended: oneshot::Receiver<Ended>,
    cancel: CancellationToken,
    turn_came: watch::Receiver<bool>,
}

/// Everything about one phone. Only its own task touches it.
pub(super) struct Actor {
    udid: Udid,
    around: Surroundings,
    own: mpsc::Sender<Message>,
    since: DateTime<Utc>,
    state: PhoneState,
    attached: watch::Sender<Option<Attached>>,
    introduction: Introduction,
    receipt: Option<Receipt>,
    last_run: Option<EndedRun>,
    problems: BTreeMap<FailureId, Problem>,
    active: Option<Active>,
    wake_at: Option<DateTime<Utc>>,
    trust: Option<CancellationToken>,
}

impl Actor {
    pub(super) fn new(udid: Udid, around: Surroundings, own: mpsc::Sender<Message>) -> Self {
        let layout = Layout::new(&around.root, &udid);
        let found = transaction::recover_if_idle(&layout).unwrap_or_else(|error| {
            tracing::warn!(%udid, %error, "what an earlier run left could not be tidied up");
            Idle::Nothing
        });
        let receipt = receipt::latest(&layout).unwrap_or_else(|error| {
            tracing::warn!(%udid, %error, "the receipts can't be read");
            None
        });
        let idle = !matches!(found, Idle::Busy);
        let Standing { last_run, noticed } = Standing::of(found);
        // A run whose receipt is there did not fail, wherever it was killed; one that another process is at did not yet.
        let committed = receipt.as_ref().map(|receipt| receipt.run);
        let failed = last_run.as_ref().filter(|ended| idle && Some(ended.run) != committed);
        let failed = failed.and_then(|ended| ended.failure.clone());
        // A run that was killed is owed, like one whose cable came out.
        let owed = match &failed {
            Some(problem) if problem.id == FailureId::BackupIncomplete => Doing::WaitFor(Next::Reconnection),
            _ => Doing::Nothing,
        };
        let warned = receipt
            .as_ref()
            .and_then(|receipt| receipt.warning.as_ref().map(|warning| Problem::new(warning, receipt.verified_at)));
        let introduction = receipt.as_ref().map(Introduction::from).unwrap_or_default();
        Self {
            problems: failed.into_iter().chain(warned).chain(noticed).map(|problem| (problem.id, problem)).collect(),
            udid,
            around,
            own,
            since: Utc::now(),
            state: PhoneState { doing: owed, ..PhoneState::default() },
            attached: watch::Sender::new(None),
            introduction,
            receipt,
            last_run,
            active: None,
            wake_at: None,
            trust: None,
        }
    }

    pub(super) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        self.publish();
        loop {
            let wake = self.next_wake();
            let active = &mut self.active;
            let happened = tokio::select! {
                message = messages.recv() => Happened::Message(message),
                happened = Active::next(active) => happened,
                () = sleep_until(wake) => Happened::Wake,
                () = self.around.shutdown.cancelled() => Happened::Message(None),
            };
            match happened {
                Happened::Message(Some(message)) => self.take(message),
                Happened::Message(None) => return self.shut_down().await,
                Happened::Progress => {}
                Happened::Ended(ended) => self.ended(*ended),
                Happened::Wake => {
                    // A time that has passed must not wake again: what still waits for one asks anew.
                    self.wake_at = self.wake_at.filter(|at| *at > Utc::now());
                    self.act(Input::Tick);
                }
            }
            self.publish();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Presence(attached) => self.presence(attached),
            Message::BackUp { full, reply } => {
                if self.state.present {
                    self.act(Input::Requested { full });
                }
                let started = match self.state.doing {
                    Doing::Run(run) if self.state.present => Ok(run),
                    _ => Err(Refusal::Failure(FailureId::DeviceNotFound.into())),
                };
                // Who asked may have gone; the backup runs all the same.
                drop(reply.send(started));
            }
            Message::Cancel { reply } => {
                let running = matches!(self.state.doing, Doing::Run(_));
                self.act(Input::CancelRequested);
                drop(reply.send(if running { Ok(()) } else { Err(Refusal::NothingRunning) }));
            }
            Message::Noticed(failure) => {
                tracing::warn!(udid = %self.udid, %failure, "noticed");
                self.raise(&failure);
            }
            Message::Introduced(introduction) => self.introduction = introduction,
            Message::Trust(Ok(())) => {
                self.problems.remove(&FailureId::TrustPending);
                self.act(Input::TrustGained);
            }
            Message::Trust(Err(failure)) => {
                if failure.id != FailureId::TrustPending {
                    self.problems.remove(&FailureId::TrustPending);
                }
                self.raise(&failure);
            }
        }
    }

    fn presence(&mut self, attached: Option<Attached>) {
        if let Some(trust) = self.trust.take() {
            trust.cancel();
        }
        self.problems.remove(&FailureId::TrustPending);
        let (was, is) = (self.attached.borrow().is_some(), attached.is_some());
        self.attached.send_replace(attached.clone());
        if let Some(attached) = &attached {
            tracing::info!(udid = %self.udid, usb = attached.usb, "connected");
            let cancel = self.around.shutdown.child_token();
            self.trust = Some(cancel.clone());
            let greeting = greet(self.around.muxer.clone(), attached.clone(), self.own.clone());
            self.around.tasks.spawn(async move { cancel.run_until_cancelled(greeting).await });
        } else {
            tracing::info!(udid = %self.udid, "gone");
        }
        // Trust comes first: the greeting says when a phone that is due may begin.
        match (was, is) {
            (_, true) => self.act(Input::Attached),
            (true, false) => self.act(Input::Detached),
            (false, false) => {}
        }
    }

    fn raise(&mut self, failure: &Failure) {
        let known = self.problems.get(&failure.id);
        let since = known.map_or_else(Utc::now, |problem| problem.since);
        self.problems.insert(failure.id, Problem::new(failure, since));
    }

    fn due(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match &self.receipt {
            Some(receipt) => next_due(&Rule::from(&self.around.config.backup), receipt.verified_at, now, &Local),
            // Without a backup it is due since it was first heard of.
            None => self.since,
        }
    }

    /// There is a new good backup, whoever made it: what was wrong before is over.
    fn backed_up(&mut self, receipt: Receipt) {
        self.problems.retain(|id, _| *id == FailureId::TrustPending);
        receipt.warning.iter().for_each(|warning| self.raise(warning));
        self.receipt = Some(receipt);
    }

    /// Somebody may have made a backup without the daemon; true when it is so.
    fn look_again(&mut self) -> bool {
        let layout = Layout::new(&self.around.root, &self.udid);
        match receipt::latest(&layout) {
            Ok(Some(receipt)) if self.receipt.as_ref() != Some(&receipt) => {
                self.backed_up(receipt);
                return true;
            }
            Ok(Some(_)) => {}
            Ok(None) => self.receipt = None,
            Err(error) => tracing::warn!(udid = %self.udid, %error, "the receipts can't be read"),
        }
        false
    }

    fn act(&mut self, input: Input) {
        let may_start = self.active.is_none() && matches!(input, Input::Attached | Input::Tick);
        if may_start && self.due(Utc::now()) <= Utc::now() && self.look_again() {
            self.act(Input::Satisfied);
        }
        let now = Utc::now();
        let facts = Facts { now, due: self.due(now), fresh_run: new_run_id() };
        let before = std::mem::take(&mut self.state);
        let (state, effects) = step(before.clone(), input.clone(), &facts);
        if state != before {
            tracing::debug!(udid = %self.udid, ?input, ?before, after = ?state, "step");
        }
        self.state = state;
        for effect in effects {
            match effect {
                Effect::Start { run, full } => self.start(run, full),
                Effect::Cancel(run) => {
                    if let Some(active) = self.active.as_ref().filter(|active| active.run == run) {
                        active.cancel.cancel();
                    }
                }
                Effect::WakeAt(at) => self.wake_at = Some(at),
            }
        }
    }

    fn start(&mut self, run: RunId, full: bool) {
        let Some(attached) = self.attached.borrow().clone() else { return };
        tracing::info!(udid = %self.udid, %run, full, "a backup begins");
        self.problems.retain(|id, _| *id == FailureId::TrustPending);
        let (progress, watched) = watch::channel(Progress::start());
        let (turn, turn_came) = watch::channel(false);
        let (sender, ended) = oneshot::channel();
        let cancel = self.around.shutdown.child_token();
        let job = Job {
            run,
            muxer: self.around.muxer.clone(),
            attached,
            root: self.around.root.clone(),
            known_roots: self.around.known_roots.clone(),
            retention: self.around.config.backup.retention(),
            full,
            password: None,
            progress,
            cancel: cancel.clone(),
        };
        let semaphore = self.around.turn.clone();
        let link = self.attached.subscribe();
        self.around.tasks.spawn(async move {
            let cancelled = |run| Ended { result: Err(FailureId::CancelledByUser.into()), ..Ended::nothing(run) };
            let mut job = job;
            let permit = tokio::select! {
                permit = semaphore.acquire_owned() => permit,
                () = job.cancel.cancelled() => return drop(sender.send(cancelled(run))),
            };
            turn.send_replace(true);
            // It may have been plugged in anew while it waited.
            if let Some(attached) = link.borrow().clone() {
                job.attached = attached;
            }
            let ended = run::start(job).await.unwrap_or_else(|_| Ended::nothing(run));
            drop(permit);
            // An actor that is gone has ended with the daemon; the receipt is on disk.
            drop(sender.send(ended));
        });
        self.active = Some(Active { run, progress: watched, ended, cancel, turn_came });
    }

    fn ended(&mut self, ended: Ended) {
        self.active = None;
        if let Some(facts) = &ended.facts {
            self.introduction = Introduction::from(facts);
        }
        let failure = ended.result.as_ref().err().cloned();
        match &ended.result {
            Ok(receipt) => {
                tracing::info!(udid = %self.udid, run = %ended.run, files = ended.files_received, "backed up and verified");
                self.backed_up(receipt.clone());
            }
            Err(failure) => {
                tracing::warn!(udid = %self.udid, run = %ended.run, %failure, "a backup failed");
                self.raise(failure);
            }
        }
        self.last_run = Some(ended.told());
        let failures = self.state.failures_in_a_row + 1;
        let next = failure.map(|failure| retry::next(failure.id, failures, jitter(), ended.passcode_asked));
        self.act(Input::Ended { run: ended.run, next });
    }

    fn next_wake(&self) -> Option<Instant> {
        // Time does nothing for a phone that is away.
        if !self.state.present {
            return None;
        }
        let until = self.wake_at.map_or(CLOCK_CHECK, |at| (at - Utc::now()).to_std().unwrap_or_default());
        Some(Instant::now() + until.min(CLOCK_CHECK).max(Duration::from_millis(20)))
    }

    fn publish(&self) {
        let activity = match (&self.active, &self.state.doing) {
            (Some(active), _) if *active.turn_came.borrow() => {
                Activity::Running { run: active.run, progress: active.progress.borrow().clone() }
            }
            (Some(active), _) => Activity::Queued { run: active.run },
            _ if !self.state.present => Activity::Away,
            (None, Doing::RetryAt(at)) => {
                Activity::RetryAt { at: *at, attempt: self.state.failures_in_a_row + 1, attempts_max: 0 }
            }
            (None, Doing::WaitFor(_)) => Activity::Blocked,
            (None, Doing::Nothing | Doing::Run(_)) => Activity::Idle,
        };
        let mut problems: Vec<Problem> = self.problems.values().cloned().collect();
        if let Activity::Running { run, progress } = &activity
            && progress.phase == Phase::WaitingForPasscode
        {
            let failure = Failure::from(FailureId::PasscodeNeeded);
            let since = DateTime::from_timestamp_millis(run.0.cast_signed()).unwrap_or_default();
            problems.push(Problem::new(&failure, since));
        }
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        let introduction = &self.introduction;
        self.around.board.put_phone(PhoneOverview {
            name: introduction.name.clone().unwrap_or_else(|| self.udid.to_string()),
            udid: self.udid.clone(),
            model: introduction.model.clone(),
            ios: introduction.ios.clone(),
            activity,
            last_good: self.receipt.as_ref().map(Receipt::last_good),
            next_due: Some(self.due(Utc::now())),
            last_run: self.last_run.clone(),
            problems,
        });
    }

    async fn shut_down(mut self) {
        if let Some(active) = self.active.take() {
            active.cancel.cancel();
            // A run that is past its receipt commits; any other leaves the last good backup as it is.
            drop(active.ended.await);
        }
    }
}

/// What the ledger says at start.
#[derive(Default)]
struct Standing {
    last_run: Option<EndedRun>,
    noticed: Vec<Problem>,
}

impl Standing {
    fn of(found: Idle) -> Self {
        let Idle::Recovered(recovered) = found else { return Self::default() };
        let told = || {
            let damaged = recovered.ledger.newest()?.is_some_and(|newest| newest.damaged);
            Ok::<_, LedgerError>((recovered.ledger.last_run()?, damaged))
        };
        let (last_run, damaged) = told().unwrap_or_else(|error| {
            tracing::warn!(%error, "the ledger can't be read");
            (None, false)
        });
        let notices = [(damaged, FailureId::BackupDamaged), (recovered.renewed, FailureId::LedgerDamaged)];
        let noticed = notices.into_iter().filter(|(is_so, _)| *is_so);
        Self { last_run, noticed: noticed.map(|(_, id)| Problem::new(&id.into(), Utc::now())).collect() }
    }
}

enum Happened {
    Message(Option<Message>),
    Progress,
    Ended(Box<Ended>),
    Wake,
}

impl Active {
    async fn next(active: &mut Option<Self>) -> Happened {
        let Some(active) = active else { return std::future::pending().await };
        let run = active.run;
        tokio::select! {
            biased;
            ended = &mut active.ended => Happened::Ended(Box::new(ended.unwrap_or_else(|_| Ended::nothing(run)))),
            Ok(()) = active.turn_came.changed() => Happened::Progress,
            Ok(()) = active.progress.changed() => Happened::Progress,
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// 0 to 1, different on every computer and at every time.
fn jitter() -> f64 {
    f64::from(Utc::now().timestamp_subsec_micros() % 1000) / 1000.0
}

/// Learns the phone's name and sees to it that it trusts this computer.
async fn greet(muxer: Muxer, attached: Attached, actor: mpsc::Sender<Message>) {
    let tell = async |message| drop(actor.send(message).await);
    match facts::introduce(&muxer, &attached).await {
        Ok(introduction) => tell(Message::Introduced(introduction)).await,
        Err(failure) => tracing::warn!(udid = %attached.udid, %failure, "a phone does not tell its name"),
    }
    match pairing::is_trusted(&muxer, &attached).await {
        Ok(true) | Err(_) => return,
        Ok(false) => tell(Message::Trust(Err(FailureId::TrustPending.into()))).await,
    }
    let paired = pairing::pair(&muxer, &attached, |failure| tracing::info!(%failure, "waiting for trust")).await;
    tell(Message::Trust(paired)).await;
}
