//! One actor owns one phone: it takes in what happens, asks [`step`] what follows, and does it.

mod active;
mod attention;
mod ending;
mod greeting;
mod planning;
mod publish;
mod standing;
mod starting;

use std::time::Duration;

use backstay_shared::{
    config::Backup,
    health::{Condition, Failure, FailureId, Retry},
    ids::Udid,
    overview::{EarlierPhone, EndedRun},
    protocol::Refusal,
};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    active::{Active, Happened, Running, Stage},
    attention::Attention,
    standing::Standing,
};
use super::{
    facts::Introduction,
    link::Attached,
    phones::{Message, Surroundings},
    state::{Doing, Effect, Input, Occasion, PhoneState, Queued},
    step::step,
    vitals::Vitals,
    wifi,
};
use crate::{
    health::tracker::Tracker,
    schedule::due::Plan,
    vault::{
        layout::Layout,
        receipt::{self, Receipt},
    },
};

/// What no event reports is looked for this often: the wall clock, a phone not seen for days, a backup that crawls.
const SELF_CHECK: Duration = Duration::from_secs(60);

/// While a backup runs, which wakes the processor anyway.
const SELF_CHECK_WHILE_RUNNING: Duration = Duration::from_secs(10);

/// Everything about one phone. Only its own task touches it.
pub(super) struct Actor {
    udid: Udid,
    around: Surroundings,
    plan: Plan,
    /// `[backup]` as it is for this phone.
    backup: Backup,
    /// The settings say that it is never backed up.
    turned_off: bool,
    /// The phone that it seems to have replaced.
    earlier: Option<EarlierPhone>,
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
    /// By how much the clock had been set at the last look.
    clock_set_by: TimeDelta,
    /// What the last failed run told.
    raised_by_run: Option<FailureId>,
}

impl Actor {
    pub(super) fn new(udid: Udid, around: Surroundings, own: mpsc::Sender<Message>) -> Self {
        let snoozed = around.board.snoozes().of(Some(&udid));
        let Standing { receipt, last_run, problems, doing, failures_in_a_row, known_since } =
            Standing::find(&around.root, &udid, snoozed);
        let raised_by_run = last_run.as_ref().and_then(|ended| ended.failure.as_ref()).map(|problem| problem.id);
        Self {
            backup: around.config.backup_of(&udid),
            turned_off: around.config.is_turned_off(&udid),
            earlier: None,
            introduction: receipt.as_ref().map(Introduction::from).unwrap_or_default(),
            plan: Plan::from(&around.config.backup_of(&udid)),
            udid,
            own,
            known_since,
            state: PhoneState { owed: doing != Doing::Nothing, doing, failures_in_a_row, ..PhoneState::default() },
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
            clock_set_by: around.clock.set_by(),
            raised_by_run,
            around,
        }
    }

    pub(super) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut paused = self.around.paused.subscribe();
        let mut woke = self.around.clock.wakes();
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
                Ok(()) = woke.changed() => Happened::HostAwake,
                () = self.around.shutdown.cancelled() => Happened::Message(None),
            };
            match happened {
                Happened::Message(Some(message)) => self.take(message),
                Happened::Message(None) => return self.shut_down().await,
                Happened::News => {}
                Happened::Turn(run) => self.act(Input::TurnCame(run)),
                Happened::Ended(ended) => self.ended(*ended),
                Happened::Wake => self.wake_up(),
                Happened::HostAwake => {
                    // The disk may have been at another computer meanwhile.
                    if self.active.is_none() && self.look_again() {
                        self.act(Input::Satisfied);
                    }
                    self.wake_up();
                }
            }
            self.publish();
        }
    }

    fn wake_up(&mut self) {
        // A time that has passed must not wake again: what still waits for one asks anew.
        self.wake_at = self.wake_at.filter(|at| *at > Utc::now());
        self.check_itself();
        let set_by = self.around.clock.set_by();
        let by = set_by - std::mem::replace(&mut self.clock_set_by, set_by);
        self.act(if by.is_zero() { Input::Tick } else { Input::ClockWasSet { by } });
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Presence { attached, just_came } => self.presence(attached, just_came),
            Message::BackUp { full, reply } => {
                if let Some(why) = &self.around.held {
                    return drop(reply.send(Err(Refusal::Failure(why.clone()))));
                }
                if self.turned_off {
                    return drop(reply.send(Err(Refusal::TurnedOff)));
                }
                let is_less = |doing| matches!(doing, &Doing::Run(_)) && !self.state.full;
                if full && is_less(&self.state.doing) {
                    return drop(reply.send(Err(Refusal::NotFullUnderWay)));
                }
                self.act(Input::Requested { full });
                let started = match self.state.doing {
                    Doing::Run(run) | Doing::Queued(Queued { run, .. }) if self.state.present => Ok(run),
                    _ => Err(Refusal::Failure(FailureId::DeviceNotFound.into())),
                };
                // Whoever hears of the run finds it.
                self.publish();
                // Who asked may have gone; the backup runs all the same.
                drop(reply.send(started));
            }
            Message::Cancel { reply } => {
                let running = matches!(self.state.doing, Doing::Run(_) | Doing::Queued(_));
                self.act(Input::CancelRequested);
                drop(reply.send(if running { Ok(()) } else { Err(Refusal::NothingRunning) }));
            }
            Message::Timetable { reply } => drop(reply.send(self.timetable(Utc::now()))),
            Message::Attached { reply } => drop(reply.send(self.attached.borrow().clone())),
            Message::Noticed(failure) => {
                tracing::warn!(udid = %self.udid, %failure, "noticed");
                // The last copy of the photos is what counts.
                if matches!(failure.id, FailureId::PhotosCopyOnly | FailureId::PhotosCopyFailed) {
                    self.problems.clear(FailureId::PhotosCopyOnly);
                    self.problems.clear(FailureId::PhotosCopyFailed);
                }
                self.problems.raise(&failure, Utc::now());
            }
            Message::NotReached(failure) => {
                self.problems.retain(|id| !wifi::is_about_the_network(id) || Some(id) == self.raised_by_run);
                let now = Utc::now();
                // While nothing is due, nobody misses the phone.
                if let Some(failure) = failure.filter(|_| !self.state.present && self.due(now) <= now) {
                    self.problems.raise(&failure, now);
                }
            }
            Message::Snooze { problem, until, reply } => {
                // Who asked may have gone; it is snoozed all the same.
                let _gone = reply.send(self.problems.snooze(problem, until));
            }
            Message::DriveIsBack { reply } => {
                self.problems.clear(FailureId::BackupDriveMissing);
                self.act(Input::Cured(Condition::BackupDrivePresent));
                self.act(Input::Tick);
                self.publish();
                // Who asked ends only with the daemon.
                let _gone = reply.send(());
            }
            Message::LookAgain => {
                // Trust may have come by another way, too.
                let attached = self.attached.borrow().clone();
                if let Some(attached) = attached {
                    self.greet(attached);
                }
                self.act(told_to_look_again(&self.state.doing));
            }
            Message::Introduced { introduction, earlier } => {
                self.introduction.learn(introduction);
                self.earlier = earlier;
                self.offer_backups();
            }
            Message::Vitals(vitals) => {
                self.learn(vitals);
                // A phone that tells this trusts this computer, whatever was said of it before.
                if [FailureId::TrustDenied, FailureId::PairingLost, FailureId::PairingExpired]
                    .into_iter()
                    .any(|id| self.problems.has(id))
                {
                    self.take(Message::Trust(Ok(())));
                }
            }
            Message::Cured(condition) => {
                tracing::info!(udid = %self.udid, ?condition, "what a backup waited for is so");
                self.problems.retain(|id| id.entry().retry != Retry::AutomaticWhen(condition));
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

    fn presence(&mut self, attached: Option<Attached>, just_came: bool) {
        if let Some(trust) = self.trust.take() {
            trust.cancel();
        }
        self.problems.clear(FailureId::TrustPending);
        let (was, is) = (self.attached.borrow().is_some(), attached.is_some());
        let had_cable = self.attached.borrow().as_ref().is_some_and(|attached| attached.usb);
        let has_cable = attached.as_ref().is_some_and(|attached| attached.usb);
        self.attached.send_replace(attached.clone());
        if let Some(attached) = &attached {
            tracing::info!(udid = %self.udid, way = ?attached.way, usb = attached.usb, "connected");
            self.greet(attached.clone());
        } else {
            tracing::info!(udid = %self.udid, "gone");
        }
        let now = Utc::now();
        match (was, is) {
            (_, true) => {
                self.problems.retain(|id| !wifi::is_about_the_network(id) || Some(id) == self.raised_by_run);
                // A cable that keeps dropping out is nobody at the phone, and no more is Wi-Fi that comes and goes.
                let faulty = if has_cable { self.attention.came(Instant::now()) } else { None };
                let by_a_person = just_came && has_cable && !had_cable && faulty.is_none();
                if let Some(failure) = faulty {
                    self.problems.raise(&failure, now);
                }
                self.act(Input::Attached { by_a_person });
            }
            (true, false) => self.act(Input::Detached),
            (false, false) => {}
        }
    }

    /// No backup of it is wanted, or not yet.
    fn is_out_of_use(&self) -> bool {
        self.turned_off || self.around.is_setup_needed()
    }

    /// Nothing is backed up before a person agrees; the first phone that comes asks for that.
    fn offer_backups(&self) {
        let (board, name) = (&self.around.board, self.introduction.name.as_ref());
        if self.around.is_setup_needed() && !self.turned_off && !board.has(FailureId::SetupNeeded) {
            let failure = Failure::from(FailureId::SetupNeeded).path(&self.around.root);
            board.raise(&name.map_or(failure.clone(), |name| failure.text(name)));
        }
    }

    /// Somebody may have made a backup without the daemon; true when it is so, and younger than what failed here.
    fn look_again(&mut self) -> bool {
        let layout = Layout::new(&self.around.root, &self.udid);
        match receipt::latest(&layout) {
            Ok(Some(receipt)) if self.receipt.as_ref() != Some(&receipt) => {
                let made = receipt.verified_at;
                self.backed_up(receipt);
                return self.last_run.as_ref().is_none_or(|run| made > run.at);
            }
            Ok(Some(_)) => {}
            // A drive that is away takes no backup back.
            Ok(None) if self.around.known_roots.is_missing(&self.around.root) => {}
            Ok(None) => self.receipt = None,
            Err(error) => tracing::warn!(udid = %self.udid, %error, "the receipts can't be read"),
        }
        false
    }

    fn act(&mut self, input: Input) {
        let waits_by_itself =
            matches!(self.state.doing, Doing::Queued(Queued { occasion, .. }) if occasion != Occasion::Asked);
        let may_start = (self.active.is_none() || waits_by_itself)
            && matches!(
                input,
                Input::Attached { .. } | Input::Tick | Input::ClockWasSet { .. } | Input::Cured(_) | Input::TurnCame(_)
            );
        // A drive that is back was maybe at another computer: what it brings may be younger than what failed here.
        let drive_is_back = input == Input::Cured(Condition::BackupDrivePresent);
        let may_be_wanted = drive_is_back || self.state.owed || self.due_at(&input, Utc::now()) <= Utc::now();
        if may_start && may_be_wanted && self.look_again() {
            self.act(Input::Satisfied);
        }
        let facts = self.facts(Utc::now());
        let before = std::mem::take(&mut self.state);
        let (state, effects) = step(before.clone(), input.clone(), &facts);
        if state != before {
            tracing::debug!(udid = %self.udid, ?input, ?before, after = ?state, "step");
        }
        self.state = state;
        for effect in effects {
            match effect {
                Effect::Queue { run, asked } => self.queue(run, asked),
                Effect::Hurry(run) => {
                    if let Some(Stage::Queued(waiting)) = self.stage(run) {
                        waiting.ask();
                    }
                }
                Effect::Leave(run) => self.active = self.active.take().filter(|active| active.run != run),
                Effect::Start { run, full, occasion } => self.start(run, full, occasion),
                Effect::Cancel(run) => self.cancel(run),
                Effect::WakeAt(at) => self.wake_at = Some(at),
            }
        }
        self.watch_for_the_cure();
    }

    fn next_wake(&self) -> Instant {
        let now = Utc::now();
        // Time starts nothing for a phone that is away; its problems still grow older.
        let wake_at = self.wake_at.filter(|_| self.state.present);
        let next = wake_at.into_iter().chain(self.problems.next_change(now)).min();
        let every = if self.progress().is_some() { SELF_CHECK_WHILE_RUNNING } else { SELF_CHECK };
        // Counted from the last one: the progress of a backup comes more often and must not put it off for ever.
        let check = self.checked_at + every;
        let soonest = Instant::now() + Duration::from_millis(20);
        next.map_or(check, |at| check.min(Instant::now() + (at - now).to_std().unwrap_or_default())).max(soonest)
    }

    async fn shut_down(mut self) {
        if let Some((_, cure)) = self.cure.take() {
            cure.cancel();
        }
        if let Some(Active { stage: Stage::Running(running), .. }) = self.active.take() {
            running.cancel.cancel();
            // A run that is past its receipt commits; any other leaves the last good backup as it is.
            drop(running.ended.await);
        }
    }
}

/// Trust that is there heals these.
const fn is_want_of_trust(id: FailureId) -> bool {
    use FailureId::{PairingExpired, PairingLost, PairingNeedsCable, TrustDenied, TrustPending};
    matches!(id, TrustPending | TrustDenied | PairingLost | PairingExpired | PairingNeedsCable)
}

/// A person has mended something and says so. What shows by itself is watched, and is not so for that.
fn told_to_look_again(doing: &Doing) -> Input {
    match doing {
        Doing::WaitFor(condition @ (Condition::PasswordEntered | Condition::PairingAccepted)) => {
            Input::Cured(*condition)
        }
        _ => Input::Tick,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_mends_is_so_because_a_person_says_so() {
        for (condition, is_so) in [
            (Condition::PasswordEntered, true),
            (Condition::PairingAccepted, true),
            (Condition::SpaceAvailable, false),
            (Condition::DeviceUnlocked, false),
            (Condition::UserPresent, false),
        ] {
            let expected = if is_so { Input::Cured(condition) } else { Input::Tick };
            assert_eq!(told_to_look_again(&Doing::WaitFor(condition)), expected);
        }
        assert_eq!(told_to_look_again(&Doing::NeedsPerson), Input::Tick);
    }
}
