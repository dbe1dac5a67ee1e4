//! When a backup is due and allowed, reckoned minute by minute, with none of what the daemon reckons with.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// A leap year.
pub(super) const DAYS: i64 = 366;

pub(super) struct Reckoning {
    zone: Tz,
    /// The first midnight.
    pub(super) start: DateTime<Utc>,
    /// Every time of the schedule, or none where there is an interval.
    due: Option<Vec<DateTime<Utc>>>,
    interval: Duration,
    hours: Option<(NaiveTime, NaiveTime)>,
    /// When clocks are changed.
    pub(super) changes: Vec<DateTime<Utc>>,
}

impl Reckoning {
    pub(super) fn new(zone: Tz, schedule: Option<&[(u32, u32)]>, interval: Duration, hours: Option<&str>) -> Self {
        let start = zone.with_ymd_and_hms(2028, 1, 1, 0, 0, 0).unwrap().to_utc();
        let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").unwrap();
        let hours = hours.map(|text| text.split_once('-').map(|(from, to)| (time(from), time(to))).unwrap());
        let shown = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
        let (mut due, mut changes) = (Vec::new(), Vec::new());
        // Clocks may be set ahead and back, so that more than the year is reckoned.
        let first = start - TimeDelta::days(40);
        let mut shown_before: NaiveDateTime = shown(first);
        let mut latest_shown = shown_before;
        for minute in 1..(DAYS + 80) * 24 * 60 {
            let at = first + TimeDelta::minutes(minute);
            let shown = shown(at);
            let step = shown - std::mem::replace(&mut shown_before, shown);
            if step != TimeDelta::minutes(1) && (start..start + TimeDelta::days(DAYS)).contains(&at) {
                changes.push(at);
            }
            // What clocks show now and never showed before: a skipped time counts when it is skipped, and one that is
            // shown again counts no more.
            let mut newly_shown = latest_shown + TimeDelta::minutes(1);
            let mut is_due = false;
            while newly_shown <= shown {
                is_due |= schedule
                    .into_iter()
                    .flatten()
                    .any(|(hour, minute)| (newly_shown.hour(), newly_shown.minute()) == (*hour, *minute));
                latest_shown = newly_shown;
                newly_shown += TimeDelta::minutes(1);
            }
            if is_due {
                due.push(at);
            }
        }
        Self { zone, start, due: schedule.map(|_| due), interval, hours, changes }
    }

    /// Whether clocks are changed within four hours, in which a phone was plugged in.
    pub(super) fn is_night_of_a_change(&self, now: DateTime<Utc>) -> bool {
        self.changes.iter().any(|change| (now - *change).abs() <= TimeDelta::minutes(4 * 60 + 5))
    }

    /// The times of the schedule within two hours of when clocks are changed.
    pub(super) fn due_in_nights_of_changes(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let near = |due: &DateTime<Utc>| self.changes.iter().any(|change| (*due - *change).abs() < TimeDelta::hours(2));
        self.due.iter().flatten().copied().filter(move |due| near(due))
    }

    /// Whether a backup may start by itself.
    pub(super) fn allows(&self, now: DateTime<Utc>) -> bool {
        let time = now.with_timezone(&self.zone).time();
        self.hours.is_none_or(|(from, to)| match from < to {
            true => (from..to).contains(&time),
            false => !(to..from).contains(&time),
        })
    }

    /// Whether a backup is owed now.
    pub(super) fn is_due(&self, last_good: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        let Some(good) = last_good else { return true };
        if good - now > TimeDelta::days(1) {
            return true;
        }
        match &self.due {
            None => now >= good + self.interval,
            Some(due) => due.get(due.partition_point(|at| *at <= good)).is_some_and(|at| *at <= now),
        }
    }
}
