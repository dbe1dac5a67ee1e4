//! Hours of the day: those in which backups may start by themselves, and those in which nothing pops up. And the local
//! times that clocks skip or show twice.

use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use serde::Deserialize;

/// Whole days were skipped where the date line moved; longer than that no clock has been put forward.
const SKIPPED_MINUTES_MAX: i64 = 2 * 24 * 60;

/// Hours that are never to be found within so long are never there at all.
const SEARCH_MINUTES_MAX: i64 = 3 * 24 * 60;

/// From one time of the day to another, over midnight if the second is the earlier one: `18:00-08:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours {
    from: NaiveTime,
    to: NaiveTime,
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let parsed = text.split_once('-').and_then(|(from, to)| Some((time(from)?, time(to)?)));
        match parsed {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            _ => Err(format!("{text:?} are no hours: expected two different times such as \"18:00-08:00\"")),
        }
    }
}

impl Hours {
    fn contain(&self, time: NaiveTime) -> bool {
        if self.from < self.to { self.from <= time && time < self.to } else { self.from <= time || time < self.to }
    }

    /// Whether `now` lies in them.
    pub fn include<Zone: TimeZone>(&self, now: DateTime<Utc>, zone: &Zone) -> bool {
        self.contain(local(now, zone).time())
    }

    /// The first moment from `now` on that lies in them.
    pub fn next<Zone: TimeZone>(&self, now: DateTime<Utc>, zone: &Zone) -> DateTime<Utc> {
        let here = local(now, zone);
        if self.contain(here.time()) {
            return now;
        }
        let mut day = here.date();
        if here.time() >= self.from {
            day = day.succ_opt().unwrap_or(day);
        }
        let begin = moment_of(day.and_time(self.from), zone);
        if local(begin, zone) - here == begin - now {
            return begin;
        }
        // Clocks are changed before then, which may lead into these hours sooner, or past them.
        let minute = TimeDelta::minutes(1);
        let first = now - TimeDelta::seconds(now.timestamp().rem_euclid(60)) + minute;
        let minutes = std::iter::successors(Some(first), |at| Some(*at + minute));
        let mut minutes = minutes.take(usize::try_from(SEARCH_MINUTES_MAX).unwrap_or_default());
        minutes.find(|at| self.include(*at, zone)).unwrap_or(begin)
    }
}

fn local<Zone: TimeZone>(at: DateTime<Utc>, zone: &Zone) -> NaiveDateTime {
    at.with_timezone(zone).naive_local()
}

/// When clocks show this time: the first time if they show it twice, and the next moment there is if they skip it.
pub fn moment_of<Zone: TimeZone>(local: NaiveDateTime, zone: &Zone) -> DateTime<Utc> {
    let found = |local: &NaiveDateTime| zone.from_local_datetime(local).earliest().map(|at| at.with_timezone(&Utc));
    let this_minute = local - TimeDelta::seconds(local.and_utc().timestamp().rem_euclid(60));
    let later = (1..=SKIPPED_MINUTES_MAX).map(|minutes| this_minute + TimeDelta::minutes(minutes));
    let mut candidates = std::iter::once(local).chain(later);
    candidates.find_map(|candidate| found(&candidate)).unwrap_or_else(|| local.and_utc())
}

/// The end of the day in which `now` lies.
pub fn midnight<Zone: TimeZone>(now: DateTime<Zone>) -> DateTime<Utc> {
    let tomorrow = now.date_naive().checked_add_days(Days::new(1)).unwrap_or(now.date_naive()).and_time(NaiveTime::MIN);
    moment_of(tomorrow, &now.timezone())
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;
    use chrono_tz::{Africa, America, Australia, Europe, Pacific, Tz};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours(text: &str) -> Hours {
        Hours::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn the_next_allowed_moment() {
        let zone = FixedOffset::east_opt(3600).unwrap();
        for (allowed, now, next) in [
            ("18:00-08:00", "2026-11-25T18:30:00Z", "2026-11-25T18:30:00Z"),
            ("18:00-08:00", "2026-11-25T06:59:00Z", "2026-11-25T06:59:00Z"),
            ("18:00-08:00", "2026-11-25T07:00:00Z", "2026-11-25T17:00:00Z"),
            ("09:00-17:00", "2026-11-25T16:30:00Z", "2026-11-26T08:00:00Z"),
            ("09:00-17:00", "2026-11-25T05:00:00Z", "2026-11-25T08:00:00Z"),
        ] {
            assert_eq!(hours(allowed).next(at(now), &zone), at(next), "{allowed} at {now}");
            assert_eq!(hours(allowed).include(at(now), &zone), now == next, "{allowed} at {now}");
        }
    }

    #[test]
    fn where_clocks_are_changed() {
        for (zone, allowed, now, next) in [
            // Forward: the hours begin in what is skipped, or lie in it whole.
            (Europe::Berlin, "02:30-05:00", "2026-03-29T00:10:00Z", "2026-03-29T01:00:00Z"),
            (Europe::Berlin, "02:30-02:45", "2026-03-29T00:10:00Z", "2026-03-30T00:30:00Z"),
            (Australia::Lord_Howe, "02:15-05:00", "2026-10-03T15:10:00Z", "2026-10-03T15:30:00Z"),
            // Back: the same hours come again, or are entered in their middle.
            (Europe::Berlin, "02:10-02:20", "2026-10-25T00:30:00Z", "2026-10-25T01:10:00Z"),
            (Europe::Berlin, "01:00-02:30", "2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z"),
            (America::New_York, "01:10-01:20", "2026-11-01T05:30:30Z", "2026-11-01T06:10:00Z"),
        ] {
            assert_eq!(hours(allowed).next(at(now), &zone), at(next), "{allowed} at {now} in {zone}");
        }
    }

    #[test]
    fn a_time_that_is_skipped_or_shown_twice() {
        for (zone, shown, moment) in [
            (Europe::Berlin, "2026-03-29T02:30:17", "2026-03-29T01:00:00Z"),
            (Europe::Berlin, "2026-10-25T02:30:17", "2026-10-25T00:30:17Z"),
            (America::New_York, "2026-03-08T02:00:00", "2026-03-08T07:00:00Z"),
            (America::New_York, "2026-11-01T01:30:00", "2026-11-01T05:30:00Z"),
            (Australia::Lord_Howe, "2026-10-04T02:15:00", "2026-10-03T15:30:00Z"),
            (Australia::Lord_Howe, "2026-04-05T01:45:00", "2026-04-04T14:45:00Z"),
            // A whole day.
            (Pacific::Apia, "2011-12-30T12:00:00", "2011-12-30T10:00:00Z"),
        ] {
            let shown = shown.parse().unwrap();
            assert_eq!(moment_of(shown, &zone), at(moment), "{shown} in {zone}");
        }
    }

    /// A day that begins at one o'clock.
    #[test]
    fn the_end_of_a_day_without_midnight() {
        let cairo: Tz = Africa::Cairo;
        let evening = at("2026-04-23T18:00:00Z").with_timezone(&cairo);
        assert_eq!(midnight(evening), at("2026-04-23T22:00:00Z"));
    }

    #[test]
    fn what_are_no_hours() {
        for text in ["", "18-8", "18:00", "25:00-08:00", "08:00-08:00", "18:00-08:00-09:00"] {
            assert!(Hours::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
