//! The decision what a phone does next: pure, with no clock, no I/O and no await.
//!
//! ```text
//!            Attached & due, Requested             Ended ok
//!  Nothing ───────────────────────────▶ Run ─────────────────▶ Nothing
//!     ▲                                  ▲ │ Ended with a failure
//!     │ (a person's request starts       │ ├──▶ RetryAt     ── Tick at that time ──────────▶ Run
//!     │  a run from every state; by      │ ├──▶ WaitFor     ── Cured, Attached ────────────▶ Run
//!     │  itself one starts only in the   │ ├──▶ GaveUp      ── Attached, Tick a day later ─▶ Run
//!     │  allowed hours and unpaused)     │ └──▶ NeedsPerson ── Requested ──────────────────▶ Run
//!     └──────────────────────────────────┘
//! ```

use backstay_shared::health::Condition;
use chrono::TimeDelta;

use super::state::{Doing, Effect, Facts, Input, Occasion, PhoneState};
use crate::schedule::retry::Next;

/// What follows from an event.
pub fn step(mut state: PhoneState, input: Input, facts: &Facts) -> (PhoneState, Vec<Effect>) {
    let effects = match input {
        Input::Attached { by_a_person } => attached(&mut state, facts, by_a_person),
        Input::Detached => {
            state.present = false;
            Vec::new()
        }
        Input::Tick => tick(&mut state, facts),
        Input::ClockWasSet { by } => {
            // Forward nothing is moved: the moment may be an hour of the day, and one that is too early is looked at anew.
            if let Doing::RetryAt(at) | Doing::GaveUp(at) = &mut state.doing {
                *at += by.min(TimeDelta::zero());
            }
            tick(&mut state, facts)
        }
        Input::Requested { full } => match state.doing {
            Doing::Run(_) => Vec::new(),
            _ if state.present => {
                state.full |= full;
                start(&mut state, facts, Occasion::Asked)
            }
            _ => Vec::new(),
        },
        Input::CancelRequested => match state.doing {
            Doing::Run(run) => vec![Effect::Cancel(run)],
            _ => Vec::new(),
        },
        Input::Satisfied => {
            if !matches!(state.doing, Doing::Run(_)) {
                (state.doing, state.failures_in_a_row, state.full) = (Doing::Nothing, 0, false);
            }
            Vec::new()
        }
        Input::Cured(condition) => cured(&mut state, facts, condition),
        Input::Ended { run, next, before_it_began } if state.doing == Doing::Run(run) => {
            ended(&mut state, facts, next, before_it_began)
        }
        Input::Ended { .. } => Vec::new(),
    };
    (state, effects)
}

fn start(state: &mut PhoneState, facts: &Facts, occasion: Occasion) -> Vec<Effect> {
    state.doing = Doing::Run(facts.fresh_run);
    (state.reattached, state.held_back) = (false, false);
    vec![Effect::Start { run: facts.fresh_run, full: state.full, occasion }]
}

/// Starts what is owed, now or from when on it may start by itself.
fn start_by_itself(state: &mut PhoneState, facts: &Facts, occasion: Occasion) -> Vec<Effect> {
    match facts.allowed_from {
        Some(from) if from <= facts.now => start(state, facts, occasion),
        from => {
            // A person who resumes sends a tick. What waits already goes on waiting.
            if from.is_some() || !matches!(state.doing, Doing::RetryAt(_)) {
                state.doing = Doing::RetryAt(from.unwrap_or(facts.now));
                state.held_back = true;
            }
            from.map(Effect::WakeAt).into_iter().collect()
        }
    }
}

fn start_if_due(state: &mut PhoneState, facts: &Facts, occasion: Occasion) -> Vec<Effect> {
    state.doing = Doing::Nothing;
    match facts.allowed_from {
        _ if !state.present => Vec::new(),
        Some(from) if facts.due.max(from) <= facts.now => start(state, facts, occasion),
        Some(from) => vec![Effect::WakeAt(facts.due.max(from))],
        None => Vec::new(),
    }
}

fn attached(state: &mut PhoneState, facts: &Facts, by_a_person: bool) -> Vec<Effect> {
    use Condition::{DeviceReconnected, DeviceSeenOnWifi, NetworkUp, UsbmuxdUp, UserPresent};
    state.present = true;
    let occasion = if by_a_person { Occasion::PersonAtThePhone } else { Occasion::Time };
    match state.doing {
        Doing::Nothing => start_if_due(state, facts, occasion),
        // A backup that was begun and failed is owed, whatever the schedule says.
        Doing::WaitFor(DeviceReconnected | DeviceSeenOnWifi | NetworkUp | UsbmuxdUp) => {
            start_by_itself(state, facts, occasion)
        }
        Doing::WaitFor(UserPresent) | Doing::GaveUp(_) if by_a_person => start_by_itself(state, facts, occasion),
        Doing::GaveUp(at) => vec![Effect::WakeAt(at)],
        Doing::RetryAt(at) if at <= facts.now => start_by_itself(state, facts, occasion),
        Doing::RetryAt(at) => vec![Effect::WakeAt(at)],
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
        Doing::Nothing => start_if_due(state, facts, Occasion::Time),
        Doing::RetryAt(at) | Doing::GaveUp(at) if at <= facts.now => start_by_itself(state, facts, Occasion::Time),
        // Resumed, or the hours have changed: its own time was before.
        Doing::RetryAt(_) if state.held_back => start_by_itself(state, facts, Occasion::Time),
        Doing::RetryAt(at) | Doing::GaveUp(at) => vec![Effect::WakeAt(at)],
        Doing::Run(_) | Doing::WaitFor(_) | Doing::NeedsPerson => Vec::new(),
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
        Doing::Nothing if condition == PairingAccepted => start_if_due(state, facts, occasion),
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
        state.failures_in_a_row = 0;
        state.full = false;
        state.doing = Doing::Nothing;
        return match facts.allowed_from {
            Some(from) if state.present => vec![Effect::WakeAt(facts.due.max(from))],
            _ => Vec::new(),
        };
    };
    // What was seen beforehand cost nobody anything and is looked at again as often as it takes.
    state.failures_in_a_row = state.failures_in_a_row.saturating_add(u32::from(!before_it_began));
    match next {
        // It came back before the news of the broken link did.
        Next::When(DeviceReconnected | UsbmuxdUp | PairingAccepted) if reattached && state.present => {
            start_by_itself(state, facts, Occasion::PersonAtThePhone)
        }
        // That brings nobody to the phone.
        Next::When(NetworkUp | DeviceSeenOnWifi) if reattached && state.present => {
            start_by_itself(state, facts, Occasion::Time)
        }
        Next::After(pause) | Next::Anew(pause) => {
            state.full |= matches!(next, Next::Anew(_));
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
