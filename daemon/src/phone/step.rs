//! The decision what a phone does next: pure, with no clock, no I/O and no await.
//!
//! ```text
//!            Attached & due, Requested         TurnCame         Ended ok
//!  Nothing ───────────────────────────▶ Queued ─────────▶ Run ──────────▶ Nothing
//!     ▲                                  ▲ │ Ended with a failure; from Queued: Detached, no longer allowed (what is only
//!     │                                  │ │ due, and not owed, goes back to Nothing then)
//!     │ (a person's request starts       │ ├──▶ RetryAt     ── Tick at that time ──────────▶ Queued
//!     │  a run from every state; by      │ ├──▶ WaitFor     ── Cured, Attached ────────────▶ Queued
//!     │  itself one starts only in the   │ ├──▶ GaveUp      ── Attached, Tick a day later ─▶ Queued
//!     │  allowed hours and unpaused)     │ └──▶ NeedsPerson ── Requested ──────────────────▶ Queued
//!     └──────────────────────────────────┘
//! ```

use backstay_shared::{health::Condition, ids::RunId};
use chrono::{DateTime, TimeDelta, Utc};

use super::state::{Doing, Effect, Facts, Input, Occasion, PhoneState, Queued};
use crate::schedule::retry::Next;

/// Who plugged the phone in or unlocked it longer ago may be gone.
const NEAR_FOR: TimeDelta = TimeDelta::minutes(2);

/// What follows from an event.
pub fn step(mut state: PhoneState, input: Input, facts: &Facts) -> (PhoneState, Vec<Effect>) {
    let effects = match input {
        Input::Attached { by_a_person } => attached(&mut state, facts, by_a_person),
        Input::Detached => {
            state.present = false;
            match state.doing {
                // Nothing has begun, so that nothing has failed; what is owed is so all the same.
                Doing::Queued(queued) => {
                    state.doing = match state.owed {
                        true => Doing::WaitFor(Condition::DeviceReconnected),
                        false => Doing::Nothing,
                    };
                    vec![Effect::Leave(queued.run)]
                }
                _ => Vec::new(),
            }
        }
        Input::Tick => tick(&mut state, facts),
        Input::ClockWasSet { by } => {
            // Forward nothing is moved: the moment may be an hour of the day, and one that is too early is looked at anew.
            match &mut state.doing {
                Doing::RetryAt(at) | Doing::GaveUp(at) => *at += by.min(TimeDelta::zero()),
                Doing::Queued(queued) => queued.since += by,
                _ => {}
            }
            tick(&mut state, facts)
        }
        Input::Requested { full } => requested(&mut state, facts, full),
        Input::CancelRequested => match state.doing {
            Doing::Run(run) | Doing::Queued(Queued { run, .. }) => {
                // Whoever wanted everything anew does no more.
                (state.full, state.asked) = (false, false);
                vec![Effect::Cancel(run)]
            }
            _ => Vec::new(),
        },
        Input::Satisfied => match state.doing {
            Doing::Run(_) | Doing::Queued(Queued { occasion: Occasion::Asked, .. }) => Vec::new(),
            doing => {
                (state.doing, state.failures_in_a_row, state.full) = (Doing::Nothing, 0, false);
                forget_what_was_owed(&mut state);
                if let Doing::Queued(queued) = doing { vec![Effect::Leave(queued.run)] } else { Vec::new() }
            }
        },
        Input::TurnCame(run) => turn_came(&mut state, facts, run),
        Input::Cured(condition) => cured(&mut state, facts, condition),
        Input::Ended { run, next, anew, before_it_began } if is_of(&state, run) => {
            state.full |= anew;
            ended(&mut state, facts, next, before_it_began)
        }
        Input::Ended { .. } => Vec::new(),
    };
    (state, effects)
}

/// It is the one that waits for its turn or is under way.
fn is_of(state: &PhoneState, number: RunId) -> bool {
    matches!(state.doing, Doing::Run(run) | Doing::Queued(Queued { run, .. }) if run == number)
}

/// When the next backup is due, plugged in as it is.
fn due(state: &PhoneState, facts: &Facts) -> DateTime<Utc> {
    match facts.due_on_connect {
        Some(on_connect) if state.by_connecting => on_connect.min(facts.due),
        _ => facts.due,
    }
}

/// From when on it may start by itself. Who asked for a backup outside the hours wants it in spite of them, also when it
/// takes more than one try.
fn allowed_from(state: &PhoneState, facts: &Facts) -> Option<DateTime<Utc>> {
    if state.asked && !facts.held { Some(facts.now) } else { facts.allowed_from }
}

fn forget_what_was_owed(state: &mut PhoneState) {
    (state.owed, state.asked, state.by_connecting) = (false, false, false);
}

/// The clock may have been set right since it began to wait.
fn is_wanted(state: &PhoneState, facts: &Facts) -> bool {
    state.owed || due(state, facts) <= facts.now
}

fn start(state: &mut PhoneState, facts: &Facts, occasion: Occasion) -> Vec<Effect> {
    let run = facts.fresh_run;
    state.doing = Doing::Queued(Queued { run, occasion, since: facts.now });
    (state.reattached, state.held_back) = (false, false);
    vec![Effect::Queue { run, asked: occasion == Occasion::Asked }]
}

/// What it waited for is so: starts what is wanted, now or from when on it may start by itself.
fn start_by_itself(state: &mut PhoneState, facts: &Facts, occasion: Occasion) -> Vec<Effect> {
    match allowed_from(state, facts) {
        Some(from) if from <= facts.now && is_wanted(state, facts) => start(state, facts, occasion),
        _ => hold_back(state, facts),
    }
}

/// What is owed waits for when it may start by itself; of the rest the schedule knows.
fn hold_back(state: &mut PhoneState, facts: &Facts) -> Vec<Effect> {
    let from = facts.allowed_from;
    if !state.owed {
        (state.doing, state.held_back) = (Doing::Nothing, false);
        return from.map(|from| Effect::WakeAt(due(state, facts).max(from))).into_iter().collect();
    }
    // A person who resumes sends a tick. What waits already goes on waiting.
    if from.is_some() || !matches!(state.doing, Doing::RetryAt(_)) {
        state.doing = Doing::RetryAt(from.unwrap_or(facts.now));
        state.held_back = true;
    }
    from.map(Effect::WakeAt).into_iter().collect()
}

/// It joined the queue when it was wanted and allowed; its turn may come hours later, and a pause at any time.
fn may_still_start(state: &PhoneState, queued: &Queued, facts: &Facts) -> bool {
    let is_allowed = || allowed_from(state, facts).is_some_and(|from| from <= facts.now);
    queued.occasion == Occasion::Asked || is_allowed() && is_wanted(state, facts)
}

fn leave_the_queue(state: &mut PhoneState, facts: &Facts, queued: &Queued) -> Vec<Effect> {
    let mut effects = vec![Effect::Leave(queued.run)];
    effects.extend(hold_back(state, facts));
    effects
}

fn turn_came(state: &mut PhoneState, facts: &Facts, run: RunId) -> Vec<Effect> {
    match state.doing {
        Doing::Queued(queued) if queued.run == run => {
            if !may_still_start(state, &queued, facts) {
                return leave_the_queue(state, facts, &queued);
            }
            let occasion = match queued.occasion {
                Occasion::PersonAtThePhone if facts.now - queued.since > NEAR_FOR => Occasion::Time,
                occasion => occasion,
            };
            state.doing = Doing::Run(run);
            vec![Effect::Start { run, full: state.full, occasion }]
        }
        _ => vec![Effect::Leave(run)],
    }
}

fn requested(state: &mut PhoneState, facts: &Facts, full: bool) -> Vec<Effect> {
    match &mut state.doing {
        // It is what it was when it began.
        Doing::Run(_) => Vec::new(),
        _ if !state.present => Vec::new(),
        Doing::Queued(queued) => {
            (queued.occasion, queued.since) = (Occasion::Asked, facts.now);
            (state.owed, state.asked, state.full) = (true, true, state.full | full);
            vec![Effect::Hurry(queued.run)]
        }
        _ => {
            (state.owed, state.asked, state.full) = (true, true, state.full | full);
            start(state, facts, Occasion::Asked)
        }
    }
}

fn attached(state: &mut PhoneState, facts: &Facts, by_a_person: bool) -> Vec<Effect> {
    use Condition::{DeviceReconnected, DeviceSeenOnWifi, DeviceUnlocked, NetworkUp, UsbmuxdUp, UserPresent};
    state.present = true;
    state.by_connecting |= by_a_person && facts.due_on_connect.is_some_and(|at| at <= facts.now);
    let occasion = if by_a_person { Occasion::PersonAtThePhone } else { Occasion::Time };
    match &mut state.doing {
        Doing::Nothing => start_by_itself(state, facts, occasion),
        Doing::WaitFor(DeviceReconnected | DeviceSeenOnWifi | NetworkUp | UsbmuxdUp) => {
            start_by_itself(state, facts, occasion)
        }
        // Whoever plugs it in can unlock it, too.
        Doing::WaitFor(UserPresent | DeviceUnlocked) | Doing::GaveUp(_) if by_a_person => {
            start_by_itself(state, facts, occasion)
        }
        Doing::GaveUp(at) => vec![Effect::WakeAt(*at)],
        Doing::RetryAt(at) if *at <= facts.now => start_by_itself(state, facts, occasion),
        Doing::RetryAt(at) => vec![Effect::WakeAt(*at)],
        Doing::Queued(queued) => {
            if by_a_person && queued.occasion != Occasion::Asked {
                (queued.occasion, queued.since) = (occasion, facts.now);
            }
            Vec::new()
        }
        Doing::Run(_) => {
            state.reattached = true;
            Vec::new()
        }
        Doing::WaitFor(_) | Doing::NeedsPerson => Vec::new(),
    }
}

fn tick(state: &mut PhoneState, facts: &Facts) -> Vec<Effect> {
    match state.doing {
        _ if !state.present => Vec::new(),
        Doing::Nothing => start_by_itself(state, facts, Occasion::Time),
        Doing::RetryAt(at) | Doing::GaveUp(at) if at <= facts.now => start_by_itself(state, facts, Occasion::Time),
        // Resumed, or the hours have changed: its own time was before.
        Doing::RetryAt(_) if state.held_back => start_by_itself(state, facts, Occasion::Time),
        Doing::RetryAt(at) | Doing::GaveUp(at) => vec![Effect::WakeAt(at)],
        // A pause has begun, the hours are over, or the clock was set right.
        Doing::Queued(queued) if !may_still_start(state, &queued, facts) => leave_the_queue(state, facts, &queued),
        Doing::Queued(_) | Doing::Run(_) | Doing::WaitFor(_) | Doing::NeedsPerson => Vec::new(),
    }
}

fn cured(state: &mut PhoneState, facts: &Facts, condition: Condition) -> Vec<Effect> {
    use Condition::{DeviceUnlocked, PairingAccepted, UserPresent};
    let occasion = match condition {
        DeviceUnlocked | PairingAccepted | UserPresent => Occasion::PersonAtThePhone,
        _ => Occasion::Time,
    };
    match state.doing {
        Doing::WaitFor(awaited) if state.present && awaited == condition => start_by_itself(state, facts, occasion),
        // Trust heals whatever the lack of it was taken for.
        Doing::WaitFor(_) | Doing::NeedsPerson if state.present && condition == PairingAccepted => {
            start_by_itself(state, facts, occasion)
        }
        Doing::Nothing if state.present && condition == PairingAccepted => start_by_itself(state, facts, occasion),
        // The news that the run failed for want of trust is still on its way.
        Doing::Run(_) if condition == PairingAccepted => {
            state.reattached = true;
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn ended(state: &mut PhoneState, facts: &Facts, next: Option<Next>, before_it_began: bool) -> Vec<Effect> {
    use Condition::{DeviceReconnected, DeviceSeenOnWifi, NetworkUp, PairingAccepted, UsbmuxdUp};
    let reattached = std::mem::take(&mut state.reattached);
    state.held_back = false;
    let Some(next) = next else {
        (state.failures_in_a_row, state.full) = (0, false);
        forget_what_was_owed(state);
        state.doing = Doing::Nothing;
        return match facts.allowed_from {
            Some(from) if state.present => vec![Effect::WakeAt(facts.due.max(from))],
            _ => Vec::new(),
        };
    };
    // What was seen beforehand cost nobody anything and is looked at again as often as it takes.
    state.failures_in_a_row = state.failures_in_a_row.saturating_add(u32::from(!before_it_began));
    state.owed |= !before_it_began;
    match next {
        // It came back before the news of the broken link did.
        Next::When(DeviceReconnected | UsbmuxdUp | PairingAccepted) if reattached && state.present => {
            start_by_itself(state, facts, Occasion::PersonAtThePhone)
        }
        // That brings nobody to the phone.
        Next::When(NetworkUp | DeviceSeenOnWifi) if reattached && state.present => {
            start_by_itself(state, facts, Occasion::Time)
        }
        Next::After(pause) => {
            let at = facts.now + pause;
            state.doing = Doing::RetryAt(at);
            vec![Effect::WakeAt(at)]
        }
        Next::GiveUp(pause) => {
            let at = facts.now + pause;
            state.doing = Doing::GaveUp(at);
            vec![Effect::WakeAt(at)]
        }
        Next::When(condition) => {
            state.doing = Doing::WaitFor(condition);
            Vec::new()
        }
        Next::Person => {
            state.doing = Doing::NeedsPerson;
            Vec::new()
        }
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
