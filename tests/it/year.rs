//! A year of the schedule in a simulated time: the daemon's own rules ([`Plan`], [`step`], [`ClockWatch`], `retry`), on a
//! computer that sleeps, with clocks that are changed and set, a phone that comes and goes and lies locked, another that wants
//! the disk, too, and a person who pauses.
//!
//! What has to hold is told by another reckoning: the minutes of the year, one by one. `BACKSTAY_SEED` repeats a draw.

mod happens;
mod life;
mod reckoning;

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use backstay::{
    host::clock::{ClockWatch, Reading},
    phone::{
        state::{Doing, Effect, Facts, Input, Occasion, PhoneState},
        step::step,
        turns::{News, Turn, Turns, Waiting},
    },
    schedule::{
        due::{Known, Plan},
        retry::{self, Circumstances},
    },
};
use backstay_shared::{
    config::Config,
    health::{Condition, FailureId},
    ids::RunId,
    overview::Pause,
};
use backstay_tests::random::{Random, seed};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::{America, Australia, Europe, Tz};

use self::{life::Life, reckoning::Reckoning};

/// As often as the daemon looks at the clock by itself.
const SELF_CHECK: u64 = 60;

/// What could start has started by then: the daemon looks at the clock once in so long, also after a sleep.
const LATE_SECONDS_MAX: u64 = SELF_CHECK + 1;

/// How soon the daemon sees that a phone was unlocked.
const CURE_AFTER: u64 = 4;

/// A clock that is set by so many seconds has not been set, as far as the daemon can tell.
const SET_UNNOTICED: u64 = 120;

struct Run {
    number: RunId,
    ends_at: u64,
    /// None for success.
    failure: Option<FailureId>,
    hindered: bool,
    passcode_asked: bool,
    _turn: Turn,
}

/// A place in the queue, and the turn as soon as it has come.
enum Place {
    Waits(RunId, Waiting),
    Has(Turn),
}

/// The turn, if it is to be had now.
fn turn_now(waiting: &mut Waiting) -> Option<Turn> {
    loop {
        match pin!(waiting.news()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(News::Turn(turn)) => return Some(turn),
            Poll::Ready(News::Place) => {}
            Poll::Pending => return None,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    backups: usize,
    failed: usize,
    hindered: usize,
    queued: usize,
    given_back: usize,
    by_connecting: usize,
    events: usize,
    looks: usize,
}

/// The computer, the phone and what the daemon knows of them. Times in seconds: `time` really passes, `awake` stands
/// still while the computer sleeps, `set_by` is what the wall clock is off.
struct Year<'a> {
    zone: Tz,
    plan: Plan,
    reckoning: &'a Reckoning,
    random: Random,
    start: DateTime<Utc>,
    time: u64,
    awake: u64,
    set_by: i64,
    is_awake: bool,
    /// As it really is; the daemon hears of it while the computer is awake.
    is_here: bool,
    is_unlocked: bool,
    clock: ClockWatch,
    clock_set_by: TimeDelta,
    state: PhoneState,
    known_since: DateTime<Utc>,
    last_good: Option<DateTime<Utc>>,
    run: Option<Run>,
    turns: Turns,
    place: Option<Place>,
    other: Option<(Waiting, Option<Turn>)>,
    is_paused: bool,
    /// It was plugged in when it was old enough for that to make it due.
    by_connecting: bool,
    on_connect: Option<Duration>,
    runs: u64,
    wake_at: Option<DateTime<Utc>>,
    checked_at: u64,
    /// When the timer of the daemon goes off, in time awake.
    timer: u64,
    cured_at: Option<(u64, Condition)>,
    /// The last try came to nothing, so that another is owed, at the latest then.
    owed: Option<u64>,
    could_start_for: u64,
    counts: Counts,
    starts: Vec<DateTime<Utc>>,
}

impl Year<'_> {
    fn wall(&self) -> DateTime<Utc> {
        self.start + TimeDelta::seconds(i64::try_from(self.time).unwrap() + self.set_by)
    }

    fn known(&self) -> Known {
        let (now, settled_from) = (self.wall(), self.clock.settled_from());
        let paused = self.is_paused.then_some(Pause { until: None });
        Known { now, last_good: self.last_good, known_since: self.known_since, paused, settled_from }
    }

    fn look(&mut self) {
        let since_boot = Some(Duration::from_secs(self.time));
        self.clock.look_at(Reading { wall: self.wall(), since_boot, awake: Duration::from_secs(self.awake) });
        self.checked_at = self.awake;
    }

    /// As the actor does after its timer went off or the computer woke.
    fn wake_up(&mut self) {
        self.wake_at = self.wake_at.filter(|at| *at > self.wall());
        self.look();
        let set_by = self.clock.set_by();
        let by = set_by - std::mem::replace(&mut self.clock_set_by, set_by);
        // Time starts nothing for a phone that is away, so that nothing is to be reckoned.
        if self.state.present || !by.is_zero() {
            self.act(if by.is_zero() { Input::Tick } else { Input::ClockWasSet { by } });
        }
    }

    fn act(&mut self, input: Input) {
        let known = self.known();
        self.runs += 1;
        let facts = Facts {
            now: known.now,
            due: self.plan.due(&known, &self.zone).at,
            due_on_connect: self.plan.due_on_connect(&known),
            allowed_from: self.plan.allowed_from(&known, &self.zone),
            held: known.paused.is_some() || known.settled_from.is_some(),
            fresh_run: RunId(self.runs),
        };
        let (state, effects) = step(std::mem::take(&mut self.state), input, &facts);
        self.state = state;
        for effect in effects {
            match effect {
                Effect::Queue { run, asked } => {
                    self.place = Some(Place::Waits(run, self.turns.wait(asked, self.last_good)));
                }
                Effect::Leave(_) => {
                    self.counts.given_back += 1;
                    self.place = None;
                }
                Effect::Start { run, occasion, .. } => self.start(run, occasion),
                Effect::WakeAt(at) => self.wake_at = Some(at),
                Effect::Cancel(_) | Effect::Hurry(_) => unreachable!("nobody cancels or asks"),
            }
        }
        self.look_at_the_queue();
        self.cured_at = match self.state.doing {
            Doing::WaitFor(Condition::DeviceUnlocked) if self.state.present && self.is_unlocked => {
                Some((self.time + CURE_AFTER, Condition::DeviceUnlocked))
            }
            _ => None,
        };
    }

    /// As the actor, which hears at once that its turn has come.
    fn look_at_the_queue(&mut self) {
        if let Some((waiting, turn @ None)) = &mut self.other {
            *turn = turn_now(waiting);
        }
        if !self.is_awake {
            return;
        }
        match self.place.take() {
            Some(Place::Waits(run, mut waiting)) => match turn_now(&mut waiting) {
                Some(turn) => {
                    self.place = Some(Place::Has(turn));
                    self.act(Input::TurnCame(run));
                }
                None => self.place = Some(Place::Waits(run, waiting)),
            },
            place => self.place = place,
        }
    }

    fn start(&mut self, number: RunId, occasion: Occasion) {
        let Some(Place::Has(turn)) = self.place.take() else { panic!("it is not its turn") };
        let now = self.wall();
        let shown = now.with_timezone(&self.zone);
        assert!(self.reckoning.allows(now), "outside the allowed hours: {shown}");
        assert!(self.clock.settled_from().is_none_or(|from| from <= now), "by a clock that was just set: {shown}");
        assert!(self.is_awake && self.state.present && self.run.is_none(), "nothing could start: {shown}");
        let is_due = self.reckoning.is_due(self.last_good, now);
        assert!(!self.is_paused, "in a pause: {shown}");
        self.counts.by_connecting += usize::from(!is_due && self.owed.is_none());
        assert!(
            is_due || self.owed.is_some() || self.by_connecting && self.is_old_enough(now),
            "not due, or a second time: {shown}, last good {:?}",
            self.last_good
        );
        let hindered = occasion == Occasion::Time && !self.is_unlocked;
        let (seconds, failure) = match self.random.below(20) {
            _ if hindered => (2, Some(FailureId::DeviceLocked)),
            // That the schedule is right then is to be seen.
            _ if self.reckoning.is_night_of_a_change(now) => (self.random.below(900) + 5, None),
            0 => (90, Some(FailureId::PasscodeNotEntered)),
            1 => (self.random.below(900) + 5, Some(FailureId::SessionLost)),
            _ => (self.random.below(2400) + 5, None),
        };
        let passcode_asked = !hindered && self.random.below(2) == 0;
        self.run = Some(Run { number, ends_at: self.time + seconds, failure, hindered, passcode_asked, _turn: turn });
        self.starts.push(now);
    }

    fn run_ends(&mut self, broken_by: Option<FailureId>) {
        let Some(run) = self.run.take() else { return };
        let failure = broken_by.or(run.failure);
        let next = failure.map(|failure| {
            let seen = Circumstances {
                failures_in_a_row: self.state.failures_in_a_row + u32::from(!run.hindered),
                before_it_began: run.hindered,
                passcode_asked: run.passcode_asked,
                jitter: self.random.below(1000) as f64 / 1000.0,
            };
            retry::next(failure, &seen)
        });
        self.owed = match next {
            None => {
                self.last_good = Some(self.wall());
                self.by_connecting = false;
                self.counts.backups += 1;
                None
            }
            Some(retry::Next::After(pause) | retry::Next::GiveUp(pause)) => {
                self.counts.failed += 1;
                // A clock that is set by less than is noticed makes a pause so much longer.
                Some(self.time + pause.as_secs() + SET_UNNOTICED + 1)
            }
            // Looked at, and not begun: what was owed is so, and what was due is so by the clock.
            Some(_) if run.hindered => {
                self.counts.hindered += 1;
                self.owed
            }
            Some(_) => {
                self.counts.failed += 1;
                Some(0)
            }
        };
        self.act(Input::Ended { run: run.number, next, anew: false, before_it_began: run.hindered });
    }

    /// Whether plugging it in makes it due.
    fn is_old_enough(&self, now: DateTime<Utc>) -> bool {
        let is_old =
            |after: Duration| self.last_good.is_none_or(|good| good - now > TimeDelta::days(1) || now >= good + after);
        self.on_connect.is_some_and(is_old)
    }

    /// By the other reckoning: it is due and allowed, and nothing but the daemon is in the way.
    fn could_start(&self) -> bool {
        let now = self.wall();
        let pause_is_over = self.owed.is_none_or(|until| until <= self.time);
        let waits = match self.state.doing {
            Doing::Queued(_) | Doing::Run(_) | Doing::NeedsPerson => true,
            Doing::WaitFor(Condition::DeviceUnlocked) => !self.is_unlocked,
            Doing::WaitFor(_) => true,
            Doing::Nothing | Doing::RetryAt(_) | Doing::GaveUp(_) => !pause_is_over,
        };
        let is_settled = self.clock.settled_from().is_none_or(|from| from <= now);
        self.is_awake
            && self.state.present
            && !waits
            && is_settled
            && !self.is_paused
            && self.reckoning.allows(now)
            && (self.by_connecting && self.is_old_enough(now) || self.reckoning.is_due(self.last_good, now))
    }

    fn pass(&mut self, until: u64) {
        let before = self.could_start();
        let passed = until - self.time;
        self.time = until;
        self.awake += if self.is_awake { passed } else { 0 };
        self.could_start_for = if before && self.could_start() { self.could_start_for + passed } else { 0 };
        assert!(
            self.could_start_for <= LATE_SECONDS_MAX,
            "missed for {} s at {}: {:?}, last good {:?}",
            self.could_start_for,
            self.wall().with_timezone(&self.zone),
            self.state,
            self.last_good
        );
    }

    fn live(&mut self, life: Life) {
        let end = life.seconds;
        let mut happenings = life.happenings.into_iter().peekable();
        self.look();
        while self.time < end {
            self.counts.looks += 1;
            // As the actor: the next moment by the wall clock, or the next look.
            let until_wake =
                self.wake_at.filter(|_| self.state.present).map(|at| (at - self.wall()).num_milliseconds());
            let until_wake = until_wake.map(|left| self.awake + u64::try_from(left).unwrap_or(0).div_ceil(1000));
            self.timer = (self.checked_at + SELF_CHECK).min(until_wake.unwrap_or(u64::MAX)).max(self.awake);
            // The clock may be set before it goes off: then it goes off when it was meant to.
            loop {
                let timer = self.is_awake.then(|| self.time + (self.timer - self.awake));
                let run = self.run.as_ref().filter(|_| self.is_awake).map(|run| run.ends_at.max(self.time));
                let cured = self.cured_at.filter(|_| self.is_awake).map(|(at, _)| at.max(self.time));
                let next = happenings.peek().map(|(at, _)| *at);
                let Some(until) = [timer, run, cured, next].into_iter().flatten().min() else { return };
                self.pass(until);
                if next == Some(until) {
                    let Some((_, happening)) = happenings.next() else { return };
                    self.counts.events += 1;
                    // Of what nobody tells it, the daemon knows nothing: its timer stays as it is.
                    if self.happens(happening) { break } else { continue }
                }
                if run == Some(until) {
                    self.run_ends(None);
                } else if cured == Some(until) {
                    let (_, condition) = self.cured_at.take().unwrap();
                    self.act(Input::Cured(condition));
                } else {
                    self.wake_up();
                }
                break;
            }
        }
    }
}

/// Times of a schedule, allowed hours, and how old the last good one is to be for a start by plugging in.
type Wishes<'a> = (Option<&'a [(u32, u32)]>, Option<&'a str>, Option<u32>);

fn live(zone: Tz, (schedule, hours, on_connect): Wishes, mut random: Random) -> Counts {
    let mut config = Config::default();
    config.backup.on_connect_hours = on_connect.map(|hours| hours.try_into().unwrap());
    config.backup.hours = hours.map(|text| text.to_owned().try_into().unwrap());
    config.backup.schedule = schedule.map(|times| {
        let list = |part: fn(&(u32, u32)) -> u32| {
            times.iter().map(|time| part(time).to_string()).collect::<Vec<_>>().join(",")
        };
        format!("{} {} * * *", list(|time| time.1), list(|time| time.0)).try_into().unwrap()
    });
    let reckoning = Reckoning::new(zone, schedule, config.backup.every_hours.duration(), hours);
    let life = Life::draw(&reckoning, &mut random);
    let mut year = Year {
        zone,
        plan: Plan::from(&config.backup),
        reckoning: &reckoning,
        random,
        start: reckoning.start,
        time: 0,
        awake: 0,
        set_by: 0,
        is_awake: true,
        is_here: false,
        is_unlocked: false,
        clock: ClockWatch::default(),
        clock_set_by: TimeDelta::zero(),
        state: PhoneState::default(),
        known_since: reckoning.start,
        last_good: None,
        run: None,
        turns: Turns::default(),
        place: None,
        other: None,
        is_paused: false,
        by_connecting: false,
        on_connect: config.backup.on_connect_hours.map(|hours| hours.duration()),
        runs: 0,
        wake_at: None,
        checked_at: 0,
        timer: 0,
        cured_at: None,
        owed: None,
        could_start_for: 0,
        counts: Counts::default(),
        starts: Vec::new(),
    };
    year.live(life);
    // Whatever was drawn: in the nights in which clocks are changed a phone is at hand, and each time is kept.
    if schedule.is_some() && hours.is_none() {
        assert_eq!(reckoning.changes.len(), 2, "{:?}", reckoning.changes);
        for due in reckoning.due_in_nights_of_changes() {
            // The one before it may have begun late, and last.
            let kept = year.starts.iter().any(|start| (due..=due + TimeDelta::minutes(3)).contains(start));
            assert!(kept, "nothing at {}", due.with_timezone(&zone));
        }
    }
    year.counts
}

#[test]
fn a_year_without_a_backup_missed_or_made_twice() {
    let seed = seed();
    let nightly: &[(u32, u32)] = &[(1, 15), (1, 45), (2, 15), (2, 45)];
    let twice: &[(u32, u32)] = &[(2, 15), (13, 15)];
    let plans: [Wishes; 3] = [
        (None, Some("18:00-08:00"), Some(6)),
        (Some(nightly), None, None),
        (Some(twice), Some("02:10-05:00"), Some(3)),
    ];
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (number, zone) in (1..).zip([America::New_York, Europe::Berlin, Australia::Lord_Howe]) {
            scope.spawn(move || {
                let (mut queued, mut given_back, mut by_connecting) = (0, 0, 0);
                for (draw, wishes) in (0..).zip(plans) {
                    let random = Random::new(seed.wrapping_add(10 * number + draw));
                    let counts = live(zone, wishes, random);
                    println!("{zone} {wishes:?}: {counts:?}");
                    assert!(counts.backups > 10 && counts.hindered > 0, "{counts:?}");
                    queued += counts.queued;
                    given_back += counts.given_back;
                    assert!(wishes.2.is_some() || counts.by_connecting == 0, "{counts:?}");
                    by_connecting += counts.by_connecting;
                }
                assert!(queued > 0 && given_back > 0 && by_connecting > 0, "{zone}: nothing was seen of it");
            });
        }
    });
    println!("nine years in {:?}", began.elapsed());
}
