//! What starts a backup, what does not, and that there is always a way out.

use std::time::Duration;

use backstay_shared::ids::RunId;
use chrono::{DateTime, Utc};

use super::*;

const NOON: i64 = 1_795_435_200;

fn facts(now: i64, due: i64, run: u64) -> Facts {
    let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
    Facts {
        now: at(now),
        due: at(due),
        due_on_connect: None,
        allowed_from: Some(at(now)),
        held: false,
        fresh_run: RunId(run),
    }
}

/// A step after which the turn comes at once: nobody else is here.
fn step(state: PhoneState, input: Input, facts: &Facts) -> (PhoneState, Vec<Effect>) {
    let (mut state, effects) = super::step(state, input, facts);
    let mut done = Vec::new();
    for effect in effects {
        match effect {
            Effect::Queue { run, .. } => {
                let (after, more) = super::step(state, Input::TurnCame(run), facts);
                state = after;
                done.extend(more);
            }
            effect => done.push(effect),
        }
    }
    (state, done)
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
    Input::Ended { run: RunId(run), next: Some(next), anew: false, before_it_began: false }
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
    let done = Input::Ended { run: RunId(0), next: None, anew: false, before_it_began: false };
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
    let ended = |before_it_began| Input::Ended { run: RunId(1), next, anew: false, before_it_began };
    let facts = facts(NOON, NOON - 1, 2);
    assert_eq!(step(here.clone(), ended(true), &facts).0.failures_in_a_row, 0);
    assert_eq!(step(here, ended(false), &facts).0.failures_in_a_row, 1);
}

#[test]
fn what_can_not_be_built_on_is_brought_anew() {
    let here = PhoneState { present: true, doing: Doing::Run(RunId(0)), ..PhoneState::default() };
    let next = Some(Next::After(Duration::from_secs(1)));
    let damaged = Input::Ended { run: RunId(0), next, anew: true, before_it_began: false };
    let (state, _) = step(here.clone(), damaged, &facts(NOON, NOON - 1, 1));
    let effects = step(state, Input::Tick, &facts(NOON + 1, NOON - 1, 2)).1;
    assert!(matches!(effects[..], [Effect::Start { full: true, .. }]), "{effects:?}");
    // Also where the next passcode needs a person, who comes a day later.
    let next = Some(Next::When(Condition::UserPresent));
    let damaged = Input::Ended { run: RunId(0), next, anew: true, before_it_began: false };
    let (state, _) = step(here, damaged, &facts(NOON, NOON - 1, 1));
    let effects = step(state, Input::Attached { by_a_person: true }, &facts(NOON + 90_000, NOON - 1, 2)).1;
    assert!(matches!(effects[..], [Effect::Start { full: true, .. }]), "{effects:?}");
}

/// Plugged in during a pause of hours, what is owed starts as soon as the person resumes, and not at the pause's old end.
#[test]
fn what_a_pause_held_back_starts_when_it_is_resumed() {
    let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
    let waits = PhoneState { doing: Doing::WaitFor(Condition::DeviceReconnected), owed: true, ..PhoneState::default() };
    let paused = Facts { allowed_from: Some(at(NOON + 7200)), ..facts(NOON, NOON + 60_000, 1) };
    let (state, effects) = step(waits, Input::Attached { by_a_person: true }, &paused);
    assert_eq!(effects, [Effect::WakeAt(at(NOON + 7200))]);
    let (state, effects) = step(state, Input::Tick, &paused);
    assert_eq!(starts(&effects), [0_u64; 0], "the pause goes on");
    let (_, effects) = step(state, Input::Tick, &facts(NOON, NOON + 60_000, 2));
    assert_eq!(starts(&effects), [2]);
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// Here, and waiting since noon for the turn of a backup that is owed.
fn queued(occasion: Occasion) -> PhoneState {
    let doing = Doing::Queued(Queued { run: RunId(1), occasion, since: at(NOON) });
    PhoneState { present: true, doing, failures_in_a_row: 2, owed: true, ..PhoneState::default() }
}

/// The turn may come hours after a phone joined the queue, and then the hours may be over.
#[test]
fn a_turn_that_comes_when_nothing_may_start_is_given_back() {
    let (later, allowed) = (NOON + 7200, NOON + 30_000);
    let facts = |from: Option<i64>| Facts { allowed_from: from.map(at), ..facts(later, NOON - 1, 2) };
    for occasion in [Occasion::Time, Occasion::PersonAtThePhone] {
        // The turn comes, and before that a pause or the minute's tick.
        for input in [Input::TurnCame(RunId(1)), Input::Tick, Input::ClockWasSet { by: TimeDelta::seconds(-300) }] {
            let (state, effects) = super::step(queued(occasion), input.clone(), &facts(Some(allowed)));
            assert_eq!(effects, [Effect::Leave(RunId(1)), Effect::WakeAt(at(allowed))], "{input:?}");
            let expected = (&Doing::RetryAt(at(allowed)), true, 2);
            assert_eq!((&state.doing, state.held_back, state.failures_in_a_row), expected, "nothing has failed");
            let (state, effects) = super::step(queued(occasion), input.clone(), &facts(None));
            assert_eq!(effects, [Effect::Leave(RunId(1))], "{input:?} until a person resumes");
            let resumed = super::step(state, Input::Tick, &facts(Some(later))).1;
            assert_eq!(resumed, [Effect::Queue { run: RunId(2), asked: false }], "{input:?} and resumed");
        }
        let allowed = super::step(queued(occasion), Input::TurnCame(RunId(1)), &facts(Some(later))).1;
        assert_eq!(starts(&allowed), [1]);
        // Asked for while it waits.
        let hurried = super::step(queued(occasion), Input::Requested { full: true }, &facts(None));
        assert_eq!(hurried.1, [Effect::Hurry(RunId(1))]);
        let (cancelled, _) = super::step(hurried.0.clone(), Input::CancelRequested, &facts(None));
        assert!(!cancelled.full, "who cancels wants nothing anew");
        let (state, effects) = super::step(hurried.0, Input::Tick, &facts(None));
        assert!(effects.is_empty(), "{effects:?}");
        let effects = super::step(state, Input::TurnCame(RunId(1)), &facts(None)).1;
        assert_eq!(effects, [Effect::Start { run: RunId(1), full: true, occasion: Occasion::Asked }]);
    }
    let old_news = super::step(queued(Occasion::Time), Input::TurnCame(RunId(9)), &facts(Some(later)));
    assert_eq!(old_news, (queued(Occasion::Time), vec![Effect::Leave(RunId(9))]));
}

/// What is only due, by the schedule or because it was plugged in, is so by the clock: while it waits for its turn, for its
/// hours or for somebody to unlock the phone, the clock may be set right, and a pause may begin.
#[test]
fn what_is_due_is_asked_of_the_clock_again_wherever_it_waited() {
    let (ahead, hours, truly_due) = (NOON + 60_000, NOON + 70_000, NOON + 50_000);
    let ready = PhoneState { present: true, ..PhoneState::default() };
    let set_back = Input::ClockWasSet { by: TimeDelta::seconds(-60_000) };
    let on_connect =
        |facts: Facts| Facts { due: at(truly_due + 500_000), due_on_connect: Some(at(truly_due)), ..facts };
    let by_schedule = |facts: Facts| facts;
    let facts_by: [(&dyn Fn(Facts) -> Facts, bool); 2] = [(&by_schedule, false), (&on_connect, true)];
    for (by, by_connecting) in facts_by {
        let wrong = |run| by(facts(ahead, truly_due, run));
        let right = by(facts(NOON, truly_due, 9));
        let forgotten = (PhoneState { by_connecting, ..ready.clone() }, vec![Effect::WakeAt(at(truly_due))]);
        let over = |run, from: Option<i64>| Facts { allowed_from: from.map(at), ..wrong(run) };
        let plugged_in = Input::Attached { by_a_person: true };
        let (queued, effects) = super::step(PhoneState::default(), plugged_in.clone(), &wrong(1));
        assert_eq!(effects, [Effect::Queue { run: RunId(1), asked: false }]);

        // In the queue, by the news of the clock or by the turn.
        for input in [set_back.clone(), Input::TurnCame(RunId(1))] {
            let (state, effects) = super::step(queued.clone(), input, &right);
            assert_eq!((state, &effects[..1]), (forgotten.0.clone(), &[Effect::Leave(RunId(1))][..]));
            assert_eq!(effects[1..], forgotten.1);
        }
        assert_eq!(starts(&step(queued.clone(), Input::TurnCame(RunId(1)), &wrong(2)).1), [1], "still due");

        // Outside the hours, and in a pause without end.
        for from in [Some(hours), None] {
            let (waits, effects) = super::step(queued.clone(), Input::Tick, &over(2, from));
            let wakes = from.map(|from| Effect::WakeAt(at(from)));
            assert_eq!(effects, [Some(Effect::Leave(RunId(1))), wakes].into_iter().flatten().collect::<Vec<_>>());
            assert_eq!(starts(&step(waits.clone(), Input::Tick, &by(facts(hours, truly_due, 3))).1), [3], "still due");
            assert_eq!(super::step(waits, set_back.clone(), &right), forgotten);
        }

        // Unplugged, and plugged in again.
        let (away, effects) = super::step(queued, Input::Detached, &wrong(2));
        assert_eq!((&away.doing, effects), (&Doing::Nothing, vec![Effect::Leave(RunId(1))]));
        let by_itself = Input::Attached { by_a_person: false };
        assert_eq!(super::step(away.clone(), by_itself, &right), forgotten);
        assert_eq!(starts(&step(away, plugged_in.clone(), &wrong(3)).1), [3], "still due");

        // Locked: it was looked at, and nothing begun.
        let (running, _) = step(PhoneState::default(), plugged_in, &wrong(1));
        let next = Some(Next::When(Condition::DeviceUnlocked));
        let hindered = Input::Ended { run: RunId(1), next, anew: false, before_it_began: true };
        let (waits, _) = super::step(running.clone(), hindered, &wrong(2));
        let unlocked = Input::Cured(Condition::DeviceUnlocked);
        assert_eq!(super::step(waits.clone(), unlocked.clone(), &right), forgotten);
        assert_eq!(starts(&step(waits, unlocked.clone(), &wrong(3)).1), [3], "still due");
        // Begun and failed is owed by any clock, and made is made.
        let (waits, _) = super::step(
            running.clone(),
            Input::Ended { run: RunId(1), next, anew: false, before_it_began: false },
            &right,
        );
        assert_eq!(starts(&step(waits, unlocked, &right).1), [9]);
        let made = Input::Ended { run: RunId(1), next: None, anew: false, before_it_began: false };
        let (done, _) = super::step(running, made, &right);
        assert_eq!(done, ready);
    }
}

/// Asked for outside the hours, and the cable came out or the disk was full: it goes on when that is mended. A pause that
/// begins meanwhile holds it up, and a cancel ends it.
#[test]
fn what_a_person_asked_for_is_brought_to_its_end_at_any_hour() {
    let outside = |held, run| Facts { allowed_from: Some(at(NOON + 30_000)), held, ..facts(NOON, NOON + 60_000, run) };
    let here = PhoneState { present: true, ..PhoneState::default() };
    let (running, effects) = step(here, Input::Requested { full: false }, &outside(false, 1));
    assert_eq!(starts(&effects), [1]);
    for (next, mended) in [
        (Next::When(Condition::DeviceReconnected), Input::Attached { by_a_person: true }),
        (Next::When(Condition::SpaceAvailable), Input::Cured(Condition::SpaceAvailable)),
        (Next::After(Duration::ZERO), Input::Tick),
    ] {
        for before_it_began in [false, true] {
            let ended = Input::Ended { run: RunId(1), next: Some(next), anew: false, before_it_began };
            let (waits, _) = step(running.clone(), ended.clone(), &outside(false, 2));
            assert_eq!(starts(&step(waits.clone(), mended.clone(), &outside(false, 3)).1), [3], "{next:?}");
            let (waits, effects) = step(waits, mended.clone(), &outside(true, 3));
            assert_eq!(starts(&effects), [0_u64; 0], "{next:?}: paused");
            assert_eq!(starts(&step(waits, Input::Tick, &outside(false, 4)).1), [4], "{next:?}: resumed");
            let (cancelled, _) = step(running.clone(), Input::CancelRequested, &outside(false, 2));
            let (waits, _) = step(cancelled, ended, &outside(false, 2));
            assert_eq!(starts(&step(waits, mended.clone(), &outside(false, 3)).1), [0_u64; 0], "{next:?}: cancelled");
        }
    }
    let made = Input::Ended { run: RunId(1), next: None, anew: false, before_it_began: false };
    assert!(!step(running, made, &outside(false, 2)).0.asked);
}

#[test]
fn who_leaves_the_queue_by_the_cable_has_failed_at_nothing() {
    let facts = facts(NOON + 60, NOON - 1, 2);
    for occasion in [Occasion::Time, Occasion::Asked] {
        let (state, effects) = super::step(queued(occasion), Input::Detached, &facts);
        assert_eq!(effects, [Effect::Leave(RunId(1))]);
        assert_eq!((state.failures_in_a_row, &state.doing), (2, &Doing::WaitFor(Condition::DeviceReconnected)));
        let back = step(state, Input::Attached { by_a_person: true }, &facts).1;
        assert_eq!(back, [Effect::Start { run: RunId(2), full: false, occasion: Occasion::PersonAtThePhone }]);
    }
}

/// Whoever plugged it in hours ago is not there to type its passcode.
#[test]
fn who_was_near_when_it_joined_the_queue_has_left_when_its_turn_comes() {
    let came = |state, seconds| {
        let effects = super::step(state, Input::TurnCame(RunId(1)), &facts(NOON + seconds, NOON - 1, 2)).1;
        match effects[..] {
            [Effect::Start { occasion, .. }] => occasion,
            _ => panic!("{effects:?}"),
        }
    };
    assert_eq!(came(queued(Occasion::PersonAtThePhone), 120), Occasion::PersonAtThePhone);
    assert_eq!(came(queued(Occasion::PersonAtThePhone), 121), Occasion::Time);
    assert_eq!(came(queued(Occasion::Asked), 7200), Occasion::Asked);
    let anew = Input::Attached { by_a_person: true };
    let (state, _) = super::step(queued(Occasion::Time), anew, &facts(NOON + 7100, NOON - 1, 2));
    assert_eq!(came(state, 7200), Occasion::PersonAtThePhone, "plugged in anew");
    let set_back = Input::ClockWasSet { by: TimeDelta::seconds(-7200) };
    let (state, _) = super::step(queued(Occasion::PersonAtThePhone), set_back, &facts(NOON - 7000, NOON - 9000, 2));
    assert_eq!(came(state, -7000), Occasion::Time, "200 s, whatever the clock says");
}

#[test]
fn a_backup_made_elsewhere_ends_a_wait_in_the_queue_that_no_person_asked_for() {
    let facts = facts(NOON + 60, NOON + 60_000, 2);
    let (state, effects) = super::step(queued(Occasion::Time), Input::Satisfied, &facts);
    assert_eq!((state.doing, effects), (Doing::Nothing, vec![Effect::Leave(RunId(1))]));
    let asked = super::step(queued(Occasion::Asked), Input::Satisfied, &facts);
    assert_eq!(asked, (queued(Occasion::Asked), vec![]));
}

/// What only plugging it in made due is not forgotten by the time it may start.
#[test]
fn plugging_it_in_outside_the_hours_is_made_good_when_they_begin() {
    let here = Input::Attached { by_a_person: true };
    let on_connect = |from: Option<i64>| Facts {
        due_on_connect: Some(at(NOON - 1)),
        allowed_from: from.map(at),
        ..facts(NOON, NOON + 60_000, 1)
    };
    for from in [Some(NOON + 3600), None] {
        let (state, effects) = step(PhoneState::default(), here.clone(), &on_connect(from));
        assert_eq!(starts(&effects), [0_u64; 0]);
        assert!(state.by_connecting, "{state:?}");
        let in_time = Facts { due_on_connect: Some(at(NOON - 1)), ..facts(NOON + 3600, NOON + 60_000, 2) };
        assert_eq!(starts(&step(state, Input::Tick, &in_time).1), [2], "{from:?}");
    }
    let now = on_connect(Some(NOON));
    assert_eq!(starts(&step(PhoneState::default(), here, &now).1), [1]);
    for nobody in [Input::Attached { by_a_person: false }, Input::Tick] {
        let state = PhoneState { present: true, ..PhoneState::default() };
        assert_eq!(starts(&step(state, nobody, &now).1), [0_u64; 0], "only a person's plugging in counts");
    }
}

#[test]
fn whoever_plugs_in_a_locked_phone_can_unlock_it() {
    let locked = PhoneState { doing: Doing::WaitFor(Condition::DeviceUnlocked), ..PhoneState::default() };
    let facts = facts(NOON, NOON - 1, 1);
    let effects = step(locked.clone(), Input::Attached { by_a_person: true }, &facts).1;
    assert_eq!(effects, [Effect::Start { run: RunId(1), full: false, occasion: Occasion::PersonAtThePhone }]);
    let by_itself = step(locked, Input::Attached { by_a_person: false }, &facts).1;
    assert!(by_itself.is_empty(), "{by_itself:?}");
}

/// Settings edited, or the daemon started: a cancelled backup does not come back with it.
#[test]
fn what_was_cancelled_waits_for_its_day_whoever_plugs_the_phone_in() {
    let cancelled = PhoneState { doing: Doing::RetryAt(at(NOON + 60_000)), ..PhoneState::default() };
    for by_a_person in [false, true] {
        let effects = step(cancelled.clone(), Input::Attached { by_a_person }, &facts(NOON, NOON - 1, 1)).1;
        assert_eq!(effects, [Effect::WakeAt(at(NOON + 60_000))]);
    }
}
