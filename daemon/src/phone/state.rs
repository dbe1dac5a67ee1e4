//! What is known of one phone between two events.

use backstay_shared::ids::RunId;
use chrono::{DateTime, Utc};

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
}

/// What is going on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Doing {
    /// Nothing; the schedule says when.
    #[default]
    Nothing,
    /// A run waits for its turn or is under way.
    Run(RunId),
    /// The next try is at this time.
    RetryAt(DateTime<Utc>),
    /// The next try is when this has happened.
    WaitFor(Next),
}

/// What can happen to a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// It was plugged in, or is there when the daemon starts.
    Attached,
    /// It was pulled out.
    Detached,
    /// Time has passed.
    Tick,
    /// A person wants a backup now.
    Requested {
        /// Everything anew.
        full: bool,
    },
    /// A person wants the run to end.
    CancelRequested,
    /// A good backup was made without the daemon: nothing is owed any more.
    Satisfied,
    /// The person tapped Trust.
    TrustGained,
    /// A run ended; late news of an older run is ignored.
    Ended {
        /// Which.
        run: RunId,
        /// What to do next when it failed.
        next: Option<Next>,
    },
}

/// What the decision depends on besides the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The wall clock.
    pub now: DateTime<Utc>,
    /// When the next backup is due.
    pub due: DateTime<Utc>,
    /// The number of the run that may begin.
    pub fresh_run: RunId,
}

/// What the actor is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Begin a run.
    Start {
        /// Its number.
        run: RunId,
        /// Everything anew.
        full: bool,
    },
    /// End a run.
    Cancel(RunId),
    /// Send a tick at this time.
    WakeAt(DateTime<Utc>),
}
