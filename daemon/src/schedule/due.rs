//! When the next backup is due and may start, and why then: from the settings, the last good one and the clock.

use std::time::Duration;

use backstay_shared::{
    config::{Backup, Hours},
    hours::{self, Hours as AllowedHours},
    overview::{Due, DueReason, Pause},
};
use chrono::{DateTime, TimeZone, Utc};

/// A last backup that is dated further ahead was dated by a clock that was wrong.
pub const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// No phone is called late before it is so much later than when it was due.
const LATE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What reads expressions ends with the century; then a year is as good as any.
const WITHOUT_FURTHER_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How often.
#[derive(Debug, Clone)]
enum Rule {
    /// This long after the last good backup.
    Every(Hours),
    /// At the times of a cron expression, in local time; one that was missed is caught up.
    Cron(Box<cron::Schedule>),
}

/// What the settings say of when.
#[derive(Debug, Clone)]
pub struct Plan {
    rule: Rule,
    hours: Option<AllowedHours>,
    on_connect: Option<Hours>,
}

/// What it depends on besides.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The wall clock.
    pub now: DateTime<Utc>,
    /// When the last good backup was verified.
    pub last_good: Option<DateTime<Utc>>,
    /// Since when the phone has been known here.
    pub known_since: DateTime<Utc>,
    /// A person wants no backup to start by itself.
    pub paused: Option<Pause>,
    /// After the clock was set: from when on it is believed.
    pub settled_from: Option<DateTime<Utc>>,
}

/// There is no backup as recent as a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// When the last good one was made, or else since when the phone has been known.
    pub since: DateTime<Utc>,
    /// Whether there is one whose date can be believed.
    pub a_backup_was_made: bool,
}

impl Known {
    /// When the last good one was made, if that can be.
    fn believed(&self) -> Option<DateTime<Utc>> {
        self.last_good.filter(|good| self.can_be(*good))
    }

    /// Whether a backup can have been made then.
    pub fn can_be(&self, good: DateTime<Utc>) -> bool {
        good <= self.now + AHEAD_MAX
    }

    /// When one was made then, or now if that is past.
    #[must_use]
    pub fn once_made(self, at: DateTime<Utc>) -> Self {
        let now = at.max(self.now);
        Self { now, last_good: Some(now), ..self }
    }
}

impl From<&Backup> for Plan {
    fn from(config: &Backup) -> Self {
        let rule = match &config.schedule {
            Some(schedule) => Rule::Cron(Box::new(schedule.0.clone())),
            None => Rule::Every(config.every_hours),
        };
        Self { rule, hours: config.hours, on_connect: config.on_connect_hours }
    }
}

impl Plan {
    /// When the next backup is due. A moment in the past means: since then.
    ///
    /// A last backup "in the future" is a clock that was set back. By less than a day its date stands, so that no time
    /// of the schedule comes twice; by more, the old date says nothing, and a backup is due.
    pub fn due<Zone: TimeZone>(&self, known: &Known, zone: &Zone) -> Due {
        let due = |at, reason| Due { at, reason };
        let Some(good) = known.believed() else {
            return match known.last_good {
                Some(_) => due(known.now, DueReason::ClockWasSetBack),
                None => due(known.known_since.min(known.now), DueReason::FirstBackup),
            };
        };
        self.due_after(good, zone)
    }

    /// When the next one is due after a good one.
    fn due_after<Zone: TimeZone>(&self, good: DateTime<Utc>, zone: &Zone) -> Due {
        let due = |at, reason| Due { at, reason };
        match &self.rule {
            Rule::Every(hours) => due(good + hours.duration(), DueReason::Interval { hours: hours.number() }),
            Rule::Cron(schedule) => match next_of(schedule, good, zone) {
                Some(at) => due(at, DueReason::Schedule),
                None => due(good + WITHOUT_FURTHER_TIME, DueReason::Schedule),
            },
        }
    }

    /// Since when there is no backup as recent as a person wants: `patience` after the last good one, but not before it is
    /// a day later than planned. None until then. A last good one whose date can't be believed hides nothing.
    pub fn overdue_since<Zone: TimeZone>(&self, known: &Known, patience: Duration, zone: &Zone) -> Option<Overdue> {
        let good = known.believed();
        let last = good.unwrap_or(known.known_since);
        let due = good.map_or(last, |good| self.due_after(good, zone).at);
        let is_overdue = (last + patience).max(due + LATE_AFTER) <= known.now;
        is_overdue.then_some(Overdue { since: last, a_backup_was_made: good.is_some() })
    }

    /// From when on a backup is due that plugging the phone in starts; none where that starts none.
    pub fn due_on_connect(&self, known: &Known) -> Option<DateTime<Utc>> {
        let after = self.on_connect?;
        Some(known.believed().map_or(known.now, |good| good + after.duration()))
    }

    /// From when on a backup may start by itself: now, at the next allowed hour, after a pause; none until a person
    /// resumes.
    pub fn allowed_from<Zone: TimeZone>(&self, known: &Known, zone: &Zone) -> Option<DateTime<Utc>> {
        let unpaused = match known.paused {
            Some(pause) => pause.until?.max(known.now),
            None => known.now,
        };
        let settled = known.settled_from.map_or(unpaused, |from| from.max(unpaused));
        Some(self.hours.map_or(settled, |hours| hours.next(settled, zone)))
    }

    /// When the next backup starts if nothing but the settings, a pause and the clock hold it up; in the past when it is
    /// due since then. None until a person resumes.
    pub fn next<Zone: TimeZone>(&self, known: &Known, zone: &Zone) -> Option<Due> {
        self.held_up(self.due(known, zone), known, zone)
    }

    /// The same for what is due then, by the schedule or because a try failed.
    pub fn held_up<Zone: TimeZone>(&self, due: Due, known: &Known, zone: &Zone) -> Option<Due> {
        let mut next = due;
        let mut not_before = |from: DateTime<Utc>, reason| {
            if from > next.at.max(known.now) {
                next = Due { at: from, reason };
            }
            next.at.max(known.now)
        };
        let mut earliest = known.now.max(due.at);
        if let Some(pause) = known.paused {
            earliest = not_before(pause.until?, DueReason::PauseEnds { due: due.at });
        }
        if let Some(from) = known.settled_from {
            earliest = not_before(from, DueReason::ClockSettles { due: due.at });
        }
        if let Some(hours) = self.hours {
            not_before(hours.next(earliest, zone), DueReason::AllowedHours { due: due.at });
        }
        let says_since = matches!(due.reason, DueReason::Interval { .. } | DueReason::Schedule);
        if next.at < known.now && says_since {
            next.reason = DueReason::CatchUp { since: due.at };
        }
        Some(next)
    }

    /// So many from the first on, if each is made when it is due.
    pub fn timetable<Zone: TimeZone>(&self, first: Option<Due>, known: &Known, zone: &Zone, count: usize) -> Vec<Due> {
        let mut known = *known;
        let mut next = first;
        let mut times = Vec::with_capacity(count);
        while let Some(due) = next.filter(|_| times.len() < count) {
            times.push(due);
            known = known.once_made(due.at);
            next = self.next(&known, zone);
        }
        times
    }
}

/// The next time of an expression. What clocks skip comes once, at the next moment there is; what they show twice comes
/// the first time.
fn next_of<Zone: TimeZone>(schedule: &cron::Schedule, after: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
    // Asked as if local time were without changes, so that it is here alone that they are dealt with.
    let shown = after.with_timezone(zone).naive_local().and_utc();
    let times = schedule.after(&shown).map(|shown| hours::moment_of(shown.naive_utc(), zone));
    // Where clocks are put back, times are passed again that were there before.
    { times }.find(|at| *at > after)
}

#[cfg(test)]
#[path = "due_tests.rs"]
mod tests;
