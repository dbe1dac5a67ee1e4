//! The decision what a phone does next: pure, with no clock, no I/O and no await.
//!
//! ```text
//!            Attached & due, Requested             Ended ok
//!  Nothing ───────────────────────────▶ Run ─────────────────▶ Nothing
//!     ▲                                  ▲ │ Ended with a failure
//!     │ (a person's request starts       │ ├──▶ RetryAt   ── Tick at that time, present ──▶ Run
//!     │  a run from every state)         │ └──▶ WaitFor   ── Attached, TrustGained ───────▶ Run
//!     └──────────────────────────────────┘
//! ```

use super::state::{Doing, Effect, Facts, Input, PhoneState};
use crate::schedule::retry::Next;

/// What follows from an event.
pub fn step(mut state: PhoneState, input: Input, facts: &Facts) -> (PhoneState, Vec<Effect>) {
    let effects = match input {
        Input::Attached => attached(&mut state, facts),
        Input::Detached => {
            state.present = false;
            Vec::new()
        }
        Input::Tick => tick(&mut state, facts),
        Input::Requested { full } => match state.doing {
            Doing::Run(_) => Vec::new(),
            _ if state.present => {
                state.full = full;
                start(&mut state, facts)
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
        Input::TrustGained => match state.doing {
            Doing::Nothing => start_if_due(&mut state, facts),
            Doing::WaitFor(_) if state.present => start(&mut state, facts),
            // The news that the run failed for want of trust is still on its way.
            Doing::Run(_) => {
                state.reattached = true;
                Vec::new()
            }
            Doing::WaitFor(_) | Doing::RetryAt(_) => Vec::new(),
        },
        Input::Ended { run, next } if state.doing == Doing::Run(run) => ended(&mut state, facts, next),
        Input::Ended { .. } => Vec::new(),
    };
    (state, effects)
}

fn start(state: &mut PhoneState, facts: &Facts) -> Vec<Effect> {
    state.doing = Doing::Run(facts.fresh_run);
    state.reattached = false;
    vec![Effect::Start { run: facts.fresh_run, full: state.full }]
}

fn start_if_due(state: &mut PhoneState, facts: &Facts) -> Vec<Effect> {
    if state.present && facts.due <= facts.now {
        return start(state, facts);
    }
    state.doing = Doing::Nothing;
    if state.present { vec![Effect::WakeAt(facts.due)] } else { Vec::new() }
}

fn attached(state: &mut PhoneState, facts: &Facts) -> Vec<Effect> {
    state.present = true;
    match state.doing {
        Doing::Nothing => start_if_due(state, facts),
        // A backup that was begun and failed is owed, whatever the schedule says.
        Doing::WaitFor(Next::Reconnection | Next::PersonAtThePhone) => start(state, facts),
        Doing::RetryAt(at) if at <= facts.now => start(state, facts),
        Doing::RetryAt(at) => vec![Effect::WakeAt(at)],
        Doing::Run(_) => {
            state.reattached = true;
            Vec::new()
        }
        Doing::WaitFor(_) => Vec::new(),
    }
}

fn tick(state: &mut PhoneState, facts: &Facts) -> Vec<Effect> {
    match state.doing {
        _ if !state.present => Vec::new(),
        Doing::Nothing => start_if_due(state, facts),
        Doing::RetryAt(at) if at <= facts.now => start(state, facts),
        Doing::RetryAt(at) => vec![Effect::WakeAt(at)],
        Doing::Run(_) | Doing::WaitFor(_) => Vec::new(),
    }
}

fn ended(state: &mut PhoneState, facts: &Facts, next: Option<Next>) -> Vec<Effect> {
    let reattached = std::mem::take(&mut state.reattached);
    let Some(next) = next else {
        state.failures_in_a_row = 0;
        state.full = false;
        state.doing = Doing::Nothing;
        return if state.present { vec![Effect::WakeAt(facts.due)] } else { Vec::new() };
    };
    state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
    match next {
        // It came back before the news of the broken link did.
        Next::Reconnection if reattached && state.present => start(state, facts),
        Next::After(pause) => {
            let at = facts.now + pause;
            state.doing = Doing::RetryAt(at);
            vec![Effect::WakeAt(at)]
        }
        next => {
            state.doing = Doing::WaitFor(next);
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backstay_shared::ids::RunId;
    use chrono::{DateTime, Utc};

    use super::*;

    const NOON: i64 = 1_795_435_200;

    fn facts(now: i64, due: i64, run: u64) -> Facts {
        let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
        Facts { now: at(now), due: at(due), fresh_run: RunId(run) }
    }

    /// Plays inputs at noon and returns what was to be done.
    fn play(due: i64, inputs: &[Input]) -> (PhoneState, Vec<Effect>) {
        let mut state = PhoneState::default();
        let mut effects = Vec::new();
        for (number, input) in inputs.iter().enumerate() {
            let (after, more) = step(state, input.clone(), &facts(NOON, due, number as u64));
            state = after;
            effects.extend(more);
        }
        (state, effects)
    }

    fn starts(effects: &[Effect]) -> Vec<u64> {
        let run = |effect: &Effect| if let Effect::Start { run, .. } = effect { Some(run.0) } else { None };
        effects.iter().filter_map(run).collect()
    }

    fn failed(run: u64, next: Next) -> Input {
        Input::Ended { run: RunId(run), next: Some(next) }
    }

    #[test]
    fn what_starts_a_backup_and_what_does_not() {
        use Input::{Attached, CancelRequested, Detached, Requested, Satisfied, Tick, TrustGained};
        let (past, future) = (NOON - 1, NOON + 3600);
        let done = Input::Ended { run: RunId(0), next: None };
        let asked = Requested { full: false };
        for (told, due, inputs, expected) in [
            ("plugged in and due", past, vec![Attached], vec![0]),
            ("plugged in and not due", future, vec![Attached], vec![]),
            ("due while away", past, vec![Tick, Tick], vec![]),
            ("asked, though not due", future, vec![Attached, asked.clone()], vec![1]),
            ("asked while away", past, vec![asked.clone()], vec![]),
            ("asked twice", future, vec![Attached, asked.clone(), asked.clone()], vec![1]),
            ("plugged in again after success", future, vec![Attached, Detached, Attached], vec![]),
            ("old news", past, vec![Attached, failed(7, Next::Reconnection), Attached], vec![0]),
            ("pulled and plugged", past, vec![Attached, Detached, failed(0, Next::Reconnection), Attached], vec![0, 3]),
            (
                "plugged before the news",
                past,
                vec![Attached, Detached, Attached, failed(0, Next::Reconnection)],
                vec![0, 3],
            ),
            (
                "owed",
                future,
                vec![Attached, asked.clone(), Detached, failed(1, Next::Reconnection), Attached],
                vec![1, 4],
            ),
            ("done elsewhere", future, vec![Attached, failed(0, Next::Person), Satisfied, Detached, Attached], vec![]),
            ("a person is needed", past, vec![Attached, failed(0, Next::Person), Detached, Attached, Tick], vec![0]),
            ("and asks", past, vec![Attached, failed(0, Next::Person), asked], vec![0, 2]),
            (
                "no passcode loop",
                past,
                vec![Attached, Detached, Attached, failed(0, Next::PersonAtThePhone), Tick],
                vec![0],
            ),
            ("pause not over", past, vec![Attached, failed(0, Next::After(Duration::from_secs(60))), Tick], vec![0]),
            ("trust", past, vec![Attached, failed(0, Next::Reconnection), TrustGained], vec![0, 2]),
            ("cancel is no start", past, vec![Attached, CancelRequested, failed(0, Next::Person), Tick], vec![0]),
            ("success", past, vec![Attached, done], vec![0]),
        ] {
            let (_, effects) = play(due, &inputs);
            assert_eq!(starts(&effects), expected, "{told}");
        }
    }

    /// Every state has an exit: whatever happened, a request with the phone present leads to a run.
    #[test]
    fn a_person_can_always_try_again() {
        use Input::{Attached, CancelRequested, Detached, Tick, TrustGained};
        let nexts = [Next::Person, Next::Reconnection, Next::PersonAtThePhone, Next::After(Duration::from_secs(9))];
        let mut inputs = vec![Attached, Detached, Tick, CancelRequested, TrustGained];
        inputs.extend(nexts.map(|next| failed(0, next)));
        for first in &inputs {
            for second in &inputs {
                for third in &inputs {
                    let asked = Input::Requested { full: true };
                    let all = [first.clone(), second.clone(), third.clone(), Attached, asked];
                    let (state, _) = play(NOON - 1, &all);
                    assert!(matches!(state.doing, Doing::Run(_)), "{all:?} ended in {state:?}");
                }
            }
        }
    }

    #[test]
    fn a_pause_ends() {
        let failed = failed(0, Next::After(Duration::from_secs(60)));
        let (state, effects) = play(NOON - 1, &[Input::Attached, failed]);
        let later = facts(NOON + 60, NOON - 1, 9);
        assert!(effects.contains(&Effect::WakeAt(later.now)));
        assert_eq!(starts(&step(state, Input::Tick, &later).1), [9]);
    }
}
