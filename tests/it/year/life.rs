//! What happens to a computer and a phone in a year.

use std::ops::Range;

use backstay_tests::random::Random;
use chrono::TimeDelta;

use super::reckoning::{DAYS, Reckoning};

const DAY: u64 = 24 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    Sleeps,
    Wakes,
    Comes,
    Goes,
    Unlocked,
    Locked,
    /// A person wants no backups for a while.
    Paused,
    Resumed,
    /// Another phone wants the disk, and wants it no more.
    OtherBegins,
    OtherEnds,
    /// In seconds.
    ClockSet {
        by: i64,
    },
}

pub(super) struct Life {
    /// With the second at which it happens, in order.
    pub(super) happenings: Vec<(u64, Happening)>,
    pub(super) seconds: u64,
}

impl Life {
    pub(super) fn draw(reckoning: &Reckoning, random: &mut Random) -> Self {
        let minutes = DAYS.unsigned_abs() * DAY;
        let mut awake = Minutes::new(minutes, true);
        let mut present = Minutes::new(minutes, false);
        let mut unlocked = Minutes::new(minutes, false);
        let mut paused = Minutes::new(minutes, false);
        let mut other = Minutes::new(minutes, false);
        for day in 0..DAYS.unsigned_abs() {
            let midnight = day * DAY;
            if random.below(10) < 6 {
                awake.paint(midnight.saturating_sub(random.below(180))..midnight + 300 + random.below(240), false);
            }
            for _ in 0..random.below(3) {
                let from = midnight + random.below(DAY);
                awake.paint(from..from + 1 + random.below(180), false);
            }
            if random.below(100) < 85 {
                for _ in 0..=random.below(3) {
                    let from = midnight + random.below(DAY);
                    present.paint(from..from + 2 + random.below(14 * 60), true);
                }
            }
            for _ in 0..random.below(12) {
                let from = midnight + random.below(DAY);
                unlocked.paint(from..from + 1 + random.below(10), true);
            }
        }
        for _ in 0..30 {
            let from = random.below(minutes);
            paused.paint(from..from + 10 + random.below(2 * DAY), true);
        }
        for _ in 0..300 {
            let from = random.below(minutes);
            other.paint(from..from + 1 + random.below(8 * 60), true);
        }
        // Left at home.
        let holidays = (120 + random.below(120)) * DAY;
        awake.paint(holidays..holidays + 14 * DAY, false);
        for change in &reckoning.changes {
            let at = u64::try_from((*change - reckoning.start).num_minutes()).unwrap();
            for minutes in [&mut awake, &mut present, &mut unlocked] {
                minutes.paint(at - 240..at + 240, true);
            }
            // Plugged in anew, so that it waits for nobody.
            awake.paint(at - 250..at, true);
            present.paint(at - 245..at - 240, false);
            for minutes in [&mut paused, &mut other] {
                minutes.paint(at - 240..at + 240, false);
            }
        }
        let mut happenings = awake.changes(true, (Happening::Wakes, Happening::Sleeps));
        happenings.extend(present.changes(false, (Happening::Comes, Happening::Goes)));
        happenings.extend(unlocked.changes(false, (Happening::Unlocked, Happening::Locked)));
        happenings.extend(paused.changes(false, (Happening::Paused, Happening::Resumed)));
        happenings.extend(other.changes(false, (Happening::OtherBegins, Happening::OtherEnds)));
        for _ in 0..6 {
            happenings.extend(clock_set(reckoning, random));
        }
        // To the second: things that happen at once are seldom seen to.
        for (at, _) in &mut happenings {
            *at = *at * 60 + random.below(60);
        }
        happenings.sort_by_key(|(at, _)| *at);
        Self { happenings, seconds: minutes * 60 }
    }
}

/// The clock is wrong by a little or by much, and is set right later, or is not; not in the nights in which clocks are
/// changed.
fn clock_set(reckoning: &Reckoning, random: &mut Random) -> Vec<(u64, Happening)> {
    let at = (5 + random.below(DAYS.unsigned_abs() - 40)) * DAY + random.below(DAY);
    let by = match random.below(5) {
        0 => 2 * 60,
        1 => -60 * (6 + i64::try_from(random.below(85)).unwrap()),
        2 => 60 * (6 + i64::try_from(random.below(85)).unwrap()),
        3 => -3 * 24 * 3600,
        _ => 20 * 24 * 3600,
    };
    let back = at + 30 + random.below(2 * DAY);
    let moment = |minutes: u64| reckoning.start + TimeDelta::minutes(i64::try_from(minutes).unwrap());
    let near = |change: &chrono::DateTime<chrono::Utc>| {
        let span = TimeDelta::days(1);
        moment(at) - span < *change + span && *change - span < moment(back) + span
    };
    if reckoning.changes.iter().any(near) {
        return Vec::new();
    }
    vec![(at, Happening::ClockSet { by }), (back, Happening::ClockSet { by: -by })]
}

/// Something that is so or not, minute by minute.
struct Minutes(Vec<bool>);

impl Minutes {
    fn new(minutes: u64, is_so: bool) -> Self {
        Self(vec![is_so; usize::try_from(minutes).unwrap()])
    }

    fn paint(&mut self, range: Range<u64>, is_so: bool) {
        let end = u64::try_from(self.0.len()).unwrap();
        for minute in range.start.min(end)..range.end.min(end) {
            self.0[usize::try_from(minute).unwrap()] = is_so;
        }
    }

    fn changes(&self, at_first: bool, (begins, ends): (Happening, Happening)) -> Vec<(u64, Happening)> {
        let before = std::iter::once(&at_first).chain(&self.0);
        let changed = self.0.iter().zip(before).enumerate().filter(|(_, (now, before))| now != before);
        changed.map(|(minute, (now, _))| (minute as u64, if *now { begins } else { ends })).collect()
    }
}
