//! The decision what a phone does next: pure, with no clock, no I/O and no await.
//!
//! ```text
//!            Attached & due, Requested         TurnCame         Ended ok
//!  Nothing ───────────────────────────▶ Queued ─────────▶ Run ──────────▶ Nothing
//!     ▲                                  ▲ │ Ended with a failure; from Queued: Detached, no longer allowed
//!     │ (a person's request starts       │ ├──▶ RetryAt     ── Tick at that time ──────────▶ Queued
//!     │  a run from every state; by      │ ├──▶ WaitFor     ── Cured, Attached ────────────▶ Queued
//!     │  itself one starts only in the   │ ├──▶ GaveUp      ── Attached, Tick a day later ─▶ Queued
//!     │  allowed hours and unpaused)     │ └──▶ NeedsPerson ── Requested ──────────────────▶ Queued
//!     └──────────────────────────────────┘
//! ```

use backstay_shared::{health::Condition, ids::RunId};
use chrono::TimeDelta;

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
                // Nothing has begun, so that nothing has failed.
                Doing::Queued(queued) => {
                    state.doing =
                        if queued.is_owed { Doing::WaitFor(Condition::DeviceReconnected) } else { Doing::Nothing };
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
                state.full = false;
                vec![Effect::Cancel(run)]
            }
            _ => Vec::new(),
        },
        Input::Satisfied => match state.doing {
            Doing::Run(_) | Doing::Queued(Queued { occasion: Occasion::Asked, .. }) => Vec::new(),
            doing => {
                (state.doing, state.failures_in_a_row, state.full) = (Doing::Nothing, 0, false);
                if let Doing::Queued(queued) = doing { vec![Effect::Leave(queued.run)] } else { Vec::new() }
            }
        },
        Input::TurnCame(run) => turn_came(&mut state, facts, run),
        Input::Cured(condition) => cured(&mut state, facts, condition),
        Input::Ended { run, next, before_it_began } if is_of(&state, run) => {
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

fn start(state: &mut PhoneState, facts: &Facts, occasion: Occasion, is_owed: bool) -> Vec<Effect> {
    let run = facts.fresh_run;
    state.doing = Doing::Queued(Queued { run, occasion, is_owed, since: facts.now });
    (state.reattached, state.held_back) = (false, false);
    vec![Effect::Queue { run, asked: occasion == Occasion::Asked }]
}

/// Starts what is owed, now or from when on it may start by itself.
fn start_by_itself(state: &mut PhoneState, facts: &Facts, occasion: Occasion) -> Vec<Effect> {
    match facts.allowed_from {
        Some(from) if from <= facts.now => start(state, facts, occasion, true),
        _ => hold_back(state, facts),
    }
}

/// What is owed waits for when it may start by itself.
fn hold_back(state: &mut PhoneState, facts: &Facts) -> Vec<Effect> {
    let from = facts.allowed_from;
    // A person who resumes sends a tick. What waits already goes on waiting.
    if from.is_some() || !matches!(state.doing, Doing::RetryAt(_)) {
        state.doing = Doing::RetryAt(from.unwrap_or(facts.now));
        state.held_back = true;
    }
    from.map(Effect::WakeAt).into_iter().collect()
}

/// It joined the queue when it was allowed; its turn may come hours later, and a pause at any time. By a clock that has
/// been set right since it may not be due.
fn may_still_start(queued: &Queued, facts: &Facts) -> bool {
    let is_allowed = || facts.allowed_from.is_some_and(|from| from <= facts.now);
    queued.occasion == Occasion::Asked || is_allowed() && (queued.is_owed || facts.due <= facts.now)
}

fn leave_the_queue(state: &mut PhoneState, facts: &Facts, queued: &Queued) -> Vec<Effect> {
    let mut effects = vec![Effect::Leave(queued.run)];
    effects.extend(match queued.is_owed {
        true => hold_back(state, facts),
        false => start_if_due(state, facts, queued.occasion),
    });
    effects
}

fn turn_came(state: &mut PhoneState, facts: &Facts, run: RunId) -> Vec<Effect> {
    match state.doing {
        Doing::Queued(queued) if queued.run == run => {
            if !may_still_start(&queued, facts) {
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
            state.full |= full;
            (queued.occasion, queued.is_owed, queued.since) = (Occasion::Asked, true, facts.now);
            vec![Effect::Hurry(queued.run)]
        }
        _ => {
            state.full |= full;
            start(state, facts, Occasion::Asked, true)
        }
    }
}

fn start_if_due(state: &mut PhoneState, facts: &Facts, occasion: Occasion) -> Vec<Effect> {
    state.doing = Doing::Nothing;
    match facts.allowed_from {
        _ if !state.present => Vec::new(),
        Some(from) if facts.due.max(from) <= facts.now => start(state, facts, occasion, false),
        Some(from) => vec![Effect::WakeAt(facts.due.max(from))],
        None => Vec::new(),
    }
}

fn attached(state: &mut PhoneState, facts: &Facts, by_a_person: bool) -> Vec<Effect> {
    use Condition::{DeviceReconnected, DeviceSeenOnWifi, DeviceUnlocked, NetworkUp, UsbmuxdUp, UserPresent};
    state.present = true;
    let occasion = if by_a_person { Occasion::PersonAtThePhone } else { Occasion::Time };
    match &mut state.doing {
        // Due by that alone, it would be forgotten by the time it may start.
        Doing::Nothing if by_a_person && is_due_by_connecting(facts) => start_by_itself(state, facts, occasion),
        Doing::Nothing => start_if_due(state, facts, occasion),
        // A backup that was begun and failed is owed, whatever the schedule says.
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

/// Plugging it in is what makes it due.
fn is_due_by_connecting(facts: &Facts) -> bool {
    facts.due > facts.now && facts.due_on_connect.is_some_and(|at| at <= facts.now)
}

fn tick(state: &mut PhoneState, facts: &Facts) -> Vec<Effect> {
    match state.doing {
        _ if !state.present => Vec::new(),
        Doing::Nothing => start_if_due(state, facts, Occasion::Time),
        Doing::RetryAt(at) | Doing::GaveUp(at) if at <= facts.now => start_by_itself(state, facts, Occasion::Time),
        // Resumed, or the hours have changed: its own time was before.
        Doing::RetryAt(_) if state.held_back => start_by_itself(state, facts, Occasion::Time),
        Doing::RetryAt(at) | Doing::GaveUp(at) => vec![Effect::WakeAt(at)],
        // A pause has begun, the hours are over, or the clock was set right.
        Doing::Queued(queued) if !may_still_start(&queued, facts) => leave_the_queue(state, facts, &queued),
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
