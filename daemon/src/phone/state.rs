//! What is known of one phone between two events.

use backstay_shared::{health::Condition, ids::RunId};
use chrono::{DateTime, TimeDelta, Utc};

use crate::schedule::retry::Next;

/// Where a phone stands. Changed by [`super::step::step`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhoneState {
    /// It is connected.
    pub present: bool,
    /// What is going on.
    pub doing: Doing,
    /// Failures since the last success.
    pub failures_in_a_row: u32,
    /// The backup that is owed is to bring everything anew.
    pub full: bool,
    /// It was plugged in anew while a run was still ending.
    pub reattached: bool,
    /// A backup is owed whatever the schedule says: a person asked for one, or one that had begun failed.
    pub owed: bool,
    /// A person asked for it: until it is made or cancelled, the allowed hours do not hold up what follows a failure.
    pub asked: bool,
    /// It was plugged in when it was old enough for that; the schedule alone may not have it due yet.
    pub by_connecting: bool,
    /// What is owed waits only for when it may start: not for its own time.
    pub held_back: bool,
}

/// What is going on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Doing {
    /// Nothing; the schedule says when.
    #[default]
    Nothing,
    /// A run waits for its turn on the disk.
    Queued(Queued),
    /// A run is under way.
    Run(RunId),
    /// The next try is at this time.
    RetryAt(DateTime<Utc>),
    /// The next try is as soon as this holds.
    WaitFor(Condition),
    /// Too many tries failed: the next one is at this time, or when the phone comes anew.
    GaveUp(DateTime<Utc>),
    /// The next try is when a person asks.
    NeedsPerson,
}

/// A run that waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Its number.
    pub run: RunId,
    /// Why it waits.
    pub occasion: Occasion,
    /// Since when that has been the occasion.
    pub since: DateTime<Utc>,
}

/// What can happen to a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// It came, changed its link, or is there when the daemon starts.
    Attached {
        /// Somebody plugged it in just now, and is there to type its passcode.
        by_a_person: bool,
    },
    /// It was pulled out.
    Detached,
    /// Time has passed.
    Tick,
    /// The clock was set, by so much: no pause becomes longer by that.
    ClockWasSet {
        /// Negative when it was set back.
        by: TimeDelta,
    },
    /// A person wants a backup now.
    Requested {
        /// Everything anew.
        full: bool,
    },
    /// A person wants the run to end.
    CancelRequested,
    /// A good backup was made without the daemon: nothing is owed any more.
    Satisfied,
    /// A run that waited has its turn.
    TurnCame(RunId),
    /// What a failed backup waited for holds now.
    Cured(Condition),
    /// A run ended; late news of an older run is ignored.
    Ended {
        /// Which.
        run: RunId,
        /// What to do next when it failed.
        next: Option<Next>,
        /// The next one has to bring everything anew.
        anew: bool,
        /// It was not even begun: what stood in the way was seen before the phone was asked for anything.
        before_it_began: bool,
    },
}

/// What the decision depends on besides the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The wall clock.
    pub now: DateTime<Utc>,
    /// When the next backup is due.
    pub due: DateTime<Utc>,
    /// From when on it is due when a person plugs it in; none where that makes nothing due.
    pub due_on_connect: Option<DateTime<Utc>>,
    /// From when on a backup may start by itself: now, at the next allowed hour, after a pause; none until a person
    /// resumes.
    pub allowed_from: Option<DateTime<Utc>>,
    /// Nothing starts by itself, whatever a person asked for before: there is a pause, or the clock was just set.
    pub held: bool,
    /// The number of the run that may begin.
    pub fresh_run: RunId,
}

/// What the actor is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Take a place in the queue.
    Queue {
        /// The number of the run.
        run: RunId,
        /// A person wants it now.
        asked: bool,
    },
    /// A person wants the run that waits for its turn to be next.
    Hurry(RunId),
    /// Leave the queue, or give the turn back that has just come.
    Leave(RunId),
    /// Begin a run that has its turn.
    Start {
        /// Its number.
        run: RunId,
        /// Everything anew.
        full: bool,
        /// Why now: whether somebody is likely at the phone, and whether a person wants it in spite of everything.
        occasion: Occasion,
    },
    /// End a run.
    Cancel(RunId),
    /// Send a tick at this time.
    WakeAt(DateTime<Utc>),
}

/// Why a run begins at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A person asked: what may be skipped is skipped.
    Asked,
    /// The phone was just plugged in or unlocked, so that somebody can type its passcode.
    PersonAtThePhone,
    /// The time has come; nobody may be near.
    Time,
}
