//! One actor owns one phone: it takes in what happens, asks [`step`] what follows, and does it.

mod attention;
mod greeting;
mod publish;
mod standing;
mod starting;

use std::time::Duration;

use backstay_shared::{
    health::{Condition, FailureId},
    ids::{RunId, Udid},
    overview::{EndedRun, Progress},
    protocol::Refusal,
};
use chrono::{DateTime, Local, Utc};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{attention::Attention, standing::Standing};
use super::{
    facts::Introduction,
    link::Attached,
    phones::{Message, Surroundings},
    run::{Ended, new_run_id},
    state::{Doing, Effect, Facts, Input, PhoneState},
    step::step,
    vitals::Vitals,
};
use crate::{
    health::tracker::Tracker,
    schedule::{
        due::{Rule, next_due},
        retry::{self, Circumstances},
    },
    vault::{
        layout::Layout,
        receipt::{self, Receipt},
    },
};

/// What no event reports is looked for this often: the wall clock, a phone not seen for days, a backup that crawls.
const SELF_CHECK: Duration = Duration::from_secs(60);

/// While a backup runs, which wakes the processor anyway.
const SELF_CHECK_WHILE_RUNNING: Duration = Duration::from_secs(10);

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
    known_since: DateTime<Utc>,
    state: PhoneState,
    attached: watch::Sender<Option<Attached>>,
    introduction: Introduction,
    vitals: Option<Vitals>,
    receipt: Option<Receipt>,
    last_run: Option<EndedRun>,
    problems: Tracker,
    attention: Attention,
    active: Option<Active>,
    wake_at: Option<DateTime<Utc>>,
    trust: Option<CancellationToken>,
    cure: Option<(Condition, CancellationToken)>,
    checked_at: Instant,
}

impl Actor {
    pub(super) fn new(udid: Udid, around: Surroundings, own: mpsc::Sender<Message>) -> Self {
        let Standing { receipt, last_run, problems, doing, known_since } = Standing::find(&around.root, &udid);
        Self {
            introduction: receipt.as_ref().map(Introduction::from).unwrap_or_default(),
            udid,
            own,
            known_since,
            state: PhoneState { doing, ..PhoneState::default() },
            attached: watch::Sender::new(None),
            vitals: None,
            receipt,
            last_run,
            problems,
            attention: Attention::default(),
            active: None,
            wake_at: None,
            trust: None,
            cure: None,
            checked_at: Instant::now(),
            around,
        }
    }

    pub(super) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut paused = self.around.paused.subscribe();
        let mut apple = self.around.apple.findings();
        self.check_itself();
        self.publish();
        loop {
            let wake = self.next_wake();
            let active = &mut self.active;
            let happened = tokio::select! {
                message = messages.recv() => Happened::Message(message),
                happened = Active::next(active) => happened,
                () = tokio::time::sleep_until(wake) => Happened::Wake,
                Ok(()) = paused.changed() => Happened::Wake,
                Ok(()) = apple.changed() => Happened::Wake,
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
                    self.check_itself();
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
                if let Some(why) = &self.around.held {
                    return drop(reply.send(Err(Refusal::Failure(why.clone()))));
                }
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
            Message::Attached { reply } => drop(reply.send(self.attached.borrow().clone())),
            Message::Noticed(failure) => {
                tracing::warn!(udid = %self.udid, %failure, "noticed");
                self.problems.raise(&failure, Utc::now());
            }
            Message::Snooze { problem, until, reply } => {
                // Who asked may have gone; it is snoozed all the same.
                let _gone = reply.send(self.problems.snooze(problem, until));
            }
            Message::DriveIsBack { reply } => {
                self.problems.clear(FailureId::BackupDriveMissing);
                self.act(Input::Cured(Condition::BackupDrivePresent));
                self.publish();
                // Who asked ends only with the daemon.
                let _gone = reply.send(());
            }
            Message::LookAgain => {
                if let Doing::WaitFor(condition) = self.state.doing {
                    self.act(Input::Cured(condition));
                }
            }
            Message::Introduced(introduction) => self.introduction = introduction,
            Message::Vitals(vitals) => self.learn(vitals),
            Message::Cured(condition) => {
                tracing::info!(udid = %self.udid, ?condition, "what a backup waited for is so");
                self.act(Input::Cured(condition));
            }
            Message::Trust(Ok(())) => {
                self.problems.retain(|id| !is_want_of_trust(id));
                self.act(Input::Cured(Condition::PairingAccepted));
            }
            Message::Trust(Err(failure)) => {
                if failure.id != FailureId::TrustPending {
                    self.problems.clear(FailureId::TrustPending);
                }
                self.problems.raise(&failure, Utc::now());
            }
        }
    }

    fn presence(&mut self, attached: Option<Attached>) {
        if let Some(trust) = self.trust.take() {
            trust.cancel();
        }
        self.problems.clear(FailureId::TrustPending);
        let (was, is) = (self.attached.borrow().is_some(), attached.is_some());
        self.attached.send_replace(attached.clone());
        if let Some(attached) = &attached {
            tracing::info!(udid = %self.udid, usb = attached.usb, "connected");
            self.greet(attached.clone());
        } else {
            tracing::info!(udid = %self.udid, "gone");
        }
        let now = Utc::now();
        match (was, is) {
            (_, true) => {
                if let Some(failure) = self.attention.came(Instant::now()) {
                    self.problems.raise(&failure, now);
                }
                self.act(Input::Attached);
            }
            (true, false) => self.act(Input::Detached),
            (false, false) => {}
        }
    }

    fn due(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match &self.receipt {
            Some(receipt) => next_due(&Rule::from(&self.around.config.backup), receipt.verified_at, now, &Local),
            // Without a backup it is due since it was first heard of.
            None => self.known_since.min(now),
        }
    }

    /// From when on a backup may start by itself.
    fn allowed_from(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.around.held.is_some() {
            return None;
        }
        let unpaused = match *self.around.paused.borrow() {
            Some(pause) => pause.until?.max(now),
            None => now,
        };
        let settled = self.around.clock.settled_from().map_or(unpaused, |from| from.max(unpaused));
        let hours = &self.around.config.backup.hours;
        Some(hours.map_or(settled, |hours| hours.next(settled, &Local)))
    }

    /// There is a new good backup, whoever made it: what was wrong before is over.
    fn backed_up(&mut self, receipt: Receipt) {
        self.problems.retain(|id| id == FailureId::TrustPending || !is_over_with_a_backup(id));
        if let Some(warning) = &receipt.warning {
            self.problems.raise(warning, Utc::now());
        }
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
        let may_start = self.active.is_none() && matches!(input, Input::Attached | Input::Tick | Input::Cured(_));
        if may_start && self.due(Utc::now()) <= Utc::now() && self.look_again() {
            self.act(Input::Satisfied);
        }
        let now = Utc::now();
        let facts = Facts { now, due: self.due(now), allowed_from: self.allowed_from(now), fresh_run: new_run_id() };
        let before = std::mem::take(&mut self.state);
        let (state, effects) = step(before.clone(), input.clone(), &facts);
        if state != before {
            tracing::debug!(udid = %self.udid, ?input, ?before, after = ?state, "step");
        }
        self.state = state;
        for effect in effects {
            match effect {
                Effect::Start { run, full, occasion } => self.start(run, full, occasion),
                Effect::Cancel(run) => {
                    if let Some(active) = self.active.as_ref().filter(|active| active.run == run) {
                        active.cancel.cancel();
                    }
                }
                Effect::WakeAt(at) => self.wake_at = Some(at),
            }
        }
        self.watch_for_the_cure();
    }

    fn ended(&mut self, mut ended: Ended) {
        let now = Utc::now();
        self.active = None;
        if let Some(facts) = &ended.checked.facts {
            self.introduction = Introduction::from(facts);
        }
        if let Some(vitals) = ended.checked.vitals.take() {
            self.learn(vitals);
        }
        ended.result =
            ended.result.map_err(|failure| self.attention.in_the_light_of_history(failure, self.last_contact(), now));
        let hindered = ended.checked.hindered;
        match &ended.result {
            Ok(receipt) => {
                tracing::info!(udid = %self.udid, run = %ended.run, files = ended.files_received, "backed up and verified");
                self.backed_up(receipt.clone());
                self.attention.succeeded();
            }
            // Nothing has failed: it waits for a moment in which somebody can type the passcode. A wait that takes too long
            // is told as overdue.
            Err(failure) if hindered && failure.id == FailureId::DeviceLocked => {
                tracing::info!(udid = %self.udid, "due, and waits until the phone is unlocked");
            }
            Err(failure) => {
                tracing::warn!(udid = %self.udid, run = %ended.run, %failure, "a backup failed");
                // The latest news of why there is no backup replaces the older.
                self.problems.retain(|id| !is_over_with_a_backup(id) || id == FailureId::BackupOverdue);
                self.problems.raise_since(failure, self.attention.since(failure.id, now));
                // It is the computer's trouble, and told once, however many phones wait for it.
                if failure.id == FailureId::BackupDriveMissing {
                    self.around.board.raise(failure);
                }
                if failure.id == FailureId::UsbDisconnected
                    && let Some(faulty) = self.attention.dropped(Instant::now())
                {
                    self.problems.raise(&faulty, now);
                }
            }
        }
        for id in [FailureId::HostDiskLow, FailureId::DeviceStorageLow] {
            let notice = ended.checked.notices.iter().find(|notice| notice.id == id);
            if ended.checked.facts.is_some() {
                self.problems.set(id, notice.cloned(), now);
            }
        }
        if !(hindered && ended.result.as_ref().is_err_and(|failure| failure.id == FailureId::DeviceLocked)) {
            self.last_run = Some(ended.told());
        }
        let next = ended.result.as_ref().err().map(|failure| {
            let seen = Circumstances {
                failures_in_a_row: self.state.failures_in_a_row + 1,
                passcode_asked: ended.passcode_asked,
                jitter: jitter(),
            };
            retry::next(failure.id, &seen)
        });
        self.act(Input::Ended { run: ended.run, next, before_it_began: hindered });
    }

    fn next_wake(&self) -> Instant {
        let now = Utc::now();
        // Time starts nothing for a phone that is away; its problems still grow older.
        let wake_at = self.wake_at.filter(|_| self.state.present);
        let next = wake_at.into_iter().chain(self.problems.next_change(now)).min();
        let every = if self.active.is_some() { SELF_CHECK_WHILE_RUNNING } else { SELF_CHECK };
        // Counted from the last one: the progress of a backup comes more often and must not put it off for ever.
        let check = self.checked_at + every;
        let soonest = Instant::now() + Duration::from_millis(20);
        next.map_or(check, |at| check.min(Instant::now() + (at - now).to_std().unwrap_or_default())).max(soonest)
    }

    async fn shut_down(mut self) {
        if let Some((_, cure)) = self.cure.take() {
            cure.cancel();
        }
        if let Some(active) = self.active.take() {
            active.cancel.cancel();
            // A run that is past its receipt commits; any other leaves the last good backup as it is.
            drop(active.ended.await);
        }
    }
}

/// Trust that is there heals these.
const fn is_want_of_trust(id: FailureId) -> bool {
    use FailureId::{PairingExpired, PairingLost, PairingNeedsCable, TrustDenied, TrustPending};
    matches!(id, TrustPending | TrustDenied | PairingLost | PairingExpired | PairingNeedsCable)
}

/// True for what stood in the way of a backup; what is known of iCloud and of nearly full disks has news of its own.
const fn is_over_with_a_backup(id: FailureId) -> bool {
    use FailureId::{
        AppleServiceOutage, AppleStatusUnknown, DeviceStorageLow, HostDiskLow, IcloudBackupOff, IcloudBackupStale,
        IosOutdated, TrustPending,
    };
    !matches!(
        id,
        TrustPending
            | HostDiskLow
            | DeviceStorageLow
            | IcloudBackupOff
            | IcloudBackupStale
            | IosOutdated
            | AppleServiceOutage
            | AppleStatusUnknown
    )
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

/// 0 to 1, different on every computer and at every time.
fn jitter() -> f64 {
    f64::from(Utc::now().timestamp_subsec_micros() % 1000) / 1000.0
}
