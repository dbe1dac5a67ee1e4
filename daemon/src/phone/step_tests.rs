//! What starts a backup, what does not, and that there is always a way out.

use std::time::Duration;

use backstay_shared::ids::RunId;
use chrono::{DateTime, Utc};

use super::*;

const NOON: i64 = 1_795_435_200;

fn facts(now: i64, due: i64, run: u64) -> Facts {
    let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
    Facts { now: at(now), due: at(due), allowed_from: Some(at(now)), fresh_run: RunId(run) }
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
    Input::Ended { run: RunId(run), next: Some(next), before_it_began: false }
}

#[test]
fn what_starts_a_backup_and_what_does_not() {
    use Input::{CancelRequested, Detached, Requested, Satisfied, Tick};
    #[expect(non_upper_case_globals, reason = "it reads as the other inputs do")]
    const Attached: Input = Input::Attached { by_a_person: true };
    let came_by_itself = Input::Attached { by_a_person: false };
    let trust = Input::Cured(Condition::PairingAccepted);
    let back = Next::When(Condition::DeviceReconnected);
    let room = Next::When(Condition::SpaceAvailable);
    let somebody = Next::When(Condition::UserPresent);
    let (past, future) = (NOON - 1, NOON + 3600);
    let done = Input::Ended { run: RunId(0), next: None, before_it_began: false };
    let asked = Requested { full: false };
    for (told, due, inputs, expected) in [
        ("plugged in and due", past, vec![Attached], vec![0]),
        ("plugged in and not due", future, vec![Attached], vec![]),
        ("due while away", past, vec![Tick, Tick], vec![]),
        ("asked, though not due", future, vec![Attached, asked.clone()], vec![1]),
        ("asked while away", past, vec![asked.clone()], vec![]),
        ("asked twice", future, vec![Attached, asked.clone(), asked.clone()], vec![1]),
        ("plugged in again after success", future, vec![Attached, Detached, Attached], vec![]),
        ("old news", past, vec![Attached, failed(7, back), Attached], vec![0]),
        ("pulled and plugged", past, vec![Attached, Detached, failed(0, back), Attached], vec![0, 3]),
        ("plugged before the news", past, vec![Attached, Detached, Attached, failed(0, back)], vec![0, 3]),
        ("owed", future, vec![Attached, asked.clone(), Detached, failed(1, back), Attached], vec![1, 4]),
        ("done elsewhere", future, vec![Attached, failed(0, Next::Person), Satisfied, Detached, Attached], vec![]),
        ("a person is needed", past, vec![Attached, failed(0, Next::Person), Detached, Attached, Tick], vec![0]),
        ("and asks", past, vec![Attached, failed(0, Next::Person), asked], vec![0, 2]),
        ("no passcode loop", past, vec![Attached, Detached, Attached, failed(0, somebody), Tick], vec![0]),
        ("pause not over", past, vec![Attached, failed(0, Next::After(Duration::from_secs(60))), Tick], vec![0]),
        ("trust", past, vec![Attached, failed(0, back), trust.clone()], vec![0, 2]),
        ("room again", past, vec![Attached, failed(0, room), Input::Cured(Condition::SpaceAvailable)], vec![0, 2]),
        ("another cure", past, vec![Attached, failed(0, room), Input::Cured(Condition::Charging)], vec![0]),
        (
            "room again while away",
            past,
            vec![Attached, Detached, failed(0, room), Input::Cured(Condition::SpaceAvailable)],
            vec![0],
        ),
        ("plugging in makes no room", past, vec![Attached, failed(0, room), Detached, Attached], vec![0]),
        ("gave up", past, vec![Attached, failed(0, Next::GiveUp(Duration::from_secs(60))), Tick], vec![0]),
        (
            "gave up and came anew",
            past,
            vec![Attached, failed(0, Next::GiveUp(Duration::from_secs(60))), Detached, Attached],
            vec![0, 3],
        ),
        ("nobody came", past, vec![Attached, Detached, failed(0, somebody), came_by_itself.clone()], vec![0]),
        (
            "gave up, and nobody came",
            past,
            vec![Attached, failed(0, Next::GiveUp(Duration::from_secs(60))), Detached, came_by_itself.clone()],
            vec![0],
        ),
        ("the network is back", past, vec![Attached, Detached, failed(0, back), came_by_itself], vec![0, 3]),
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
    use Input::{CancelRequested, Detached, Tick};
    #[expect(non_upper_case_globals, reason = "it reads as the other inputs do")]
    const Attached: Input = Input::Attached { by_a_person: true };
    let nexts = [
        Next::Person,
        Next::When(Condition::DeviceReconnected),
        Next::When(Condition::SpaceAvailable),
        Next::After(Duration::from_secs(9)),
        Next::Anew(Duration::from_secs(9)),
        Next::GiveUp(Duration::from_secs(9)),
    ];
    let mut inputs = vec![Attached, Detached, Tick, CancelRequested, Input::Cured(Condition::PairingAccepted)];
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
    let (state, effects) = play(NOON - 1, &[Input::Attached { by_a_person: true }, failed]);
    let later = facts(NOON + 60, NOON - 1, 9);
    assert!(effects.contains(&Effect::WakeAt(later.now)));
    assert_eq!(starts(&step(state, Input::Tick, &later).1), [9]);
}

/// A clock that is set back by days makes no pause of seconds one of days.
#[test]
fn no_pause_becomes_longer_when_the_clock_is_set() {
    let (state, _) =
        play(NOON - 1, &[Input::Attached { by_a_person: true }, failed(0, Next::After(Duration::from_secs(60)))]);
    let three_days = 3 * 24 * 3600;
    let set_back = Input::ClockWasSet { by: TimeDelta::seconds(-three_days) };
    let (state, effects) = step(state, set_back, &facts(NOON + 30 - three_days, NOON - 1 - three_days, 8));
    assert!(starts(&effects).is_empty(), "{effects:?}");
    let later = facts(NOON + 60 - three_days, NOON - 1 - three_days, 9);
    assert_eq!(starts(&step(state, Input::Tick, &later).1), [9]);
}

#[test]
fn nothing_starts_by_itself_outside_the_hours_or_in_a_pause() {
    let allowed = |from: Option<i64>| {
        let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
        Facts { allowed_from: from.map(at), ..facts(NOON, NOON - 1, 5) }
    };
    let here = PhoneState { present: true, ..PhoneState::default() };
    let waiting = PhoneState { doing: Doing::WaitFor(Condition::SpaceAvailable), ..here.clone() };
    let cases = [
        (PhoneState::default(), Input::Attached { by_a_person: true }),
        (here.clone(), Input::Tick),
        (waiting, Input::Cured(Condition::SpaceAvailable)),
        (
            PhoneState { doing: Doing::WaitFor(Condition::DeviceReconnected), ..here.clone() },
            Input::Attached { by_a_person: true },
        ),
    ];
    for (state, input) in cases {
        for from in [None, Some(NOON + 3600)] {
            let (after, effects) = step(state.clone(), input.clone(), &allowed(from));
            assert!(starts(&effects).is_empty(), "{state:?} {input:?} {from:?}");
            // The hour comes, or a person resumes.
            let later = facts(NOON + 3600, NOON - 1, 9);
            assert_eq!(starts(&step(after, Input::Tick, &later).1), [9], "{state:?} {input:?} {from:?}");
        }
        let asked = step(here.clone(), Input::Requested { full: false }, &allowed(None)).1;
        assert_eq!(starts(&asked), [5], "a person may");
    }
}

/// Looking beforehand is free, so it never makes Backstay give up.
#[test]
fn what_was_seen_beforehand_is_no_failed_try() {
    let here = PhoneState { present: true, doing: Doing::Run(RunId(1)), ..PhoneState::default() };
    let next = Some(Next::When(Condition::DeviceUnlocked));
    let ended = |before_it_began| Input::Ended { run: RunId(1), next, before_it_began };
    let facts = facts(NOON, NOON - 1, 2);
    assert_eq!(step(here.clone(), ended(true), &facts).0.failures_in_a_row, 0);
    assert_eq!(step(here, ended(false), &facts).0.failures_in_a_row, 1);
}

#[test]
fn what_can_not_be_built_on_is_brought_anew() {
    let here = PhoneState { present: true, doing: Doing::Run(RunId(0)), ..PhoneState::default() };
    let (state, _) = step(here, failed(0, Next::Anew(Duration::from_secs(1))), &facts(NOON, NOON - 1, 1));
    let effects = step(state, Input::Tick, &facts(NOON + 1, NOON - 1, 2)).1;
    assert!(matches!(effects[..], [Effect::Start { full: true, .. }]), "{effects:?}");
}

/// Plugged in during a pause of hours, what is owed starts as soon as the person resumes, and not at the pause's old end.
#[test]
fn what_a_pause_held_back_starts_when_it_is_resumed() {
    let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
    let waits = PhoneState { doing: Doing::WaitFor(Condition::DeviceReconnected), ..PhoneState::default() };
    let paused = Facts { allowed_from: Some(at(NOON + 7200)), ..facts(NOON, NOON + 60_000, 1) };
    let (state, effects) = step(waits, Input::Attached { by_a_person: true }, &paused);
    assert_eq!(effects, [Effect::WakeAt(at(NOON + 7200))]);
    let (state, effects) = step(state, Input::Tick, &paused);
    assert_eq!(starts(&effects), [0_u64; 0], "the pause goes on");
    let (_, effects) = step(state, Input::Tick, &facts(NOON, NOON + 60_000, 2));
    assert_eq!(starts(&effects), [2]);
}
