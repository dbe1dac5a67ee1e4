//! The hours of the day in which backups may start by themselves.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeZone, Utc};
use serde::Deserialize;

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

    /// The first moment from `now` on that lies in them.
    pub fn next<Zone: TimeZone>(&self, now: DateTime<Utc>, zone: &Zone) -> DateTime<Utc> {
        let local = now.with_timezone(zone).naive_local();
        if self.contain(local.time()) {
            return now;
        }
        let mut day = local.date();
        if local.time() >= self.from {
            day = day.succ_opt().unwrap_or(day);
        }
        let begin = day.and_time(self.from);
        // A night in which clocks go forward may lack this time; an hour later it is there.
        let found = zone.from_local_datetime(&begin).earliest();
        let found = found.or_else(|| zone.from_local_datetime(&(begin + Duration::from_secs(3600))).earliest());
        found.map_or(now, |found| found.with_timezone(&Utc))
    }
}

/// The end of the day in which `now` lies.
pub fn midnight<Zone: TimeZone>(now: DateTime<Zone>) -> DateTime<Utc> {
    let tomorrow = now.date_naive().checked_add_days(Days::new(1)).unwrap_or(now.date_naive()).and_time(NaiveTime::MIN);
    let found = now.timezone().from_local_datetime(&tomorrow).earliest();
    found.map_or_else(|| now.with_timezone(&Utc) + Duration::from_secs(24 * 3600), |found| found.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    #[test]
    fn the_next_allowed_moment() {
        let zone = FixedOffset::east_opt(3600).unwrap();
        for (hours, now, next) in [
            ("18:00-08:00", "2026-11-25T18:30:00Z", "2026-11-25T18:30:00Z"),
            ("18:00-08:00", "2026-11-25T06:59:00Z", "2026-11-25T06:59:00Z"),
            ("18:00-08:00", "2026-11-25T07:00:00Z", "2026-11-25T17:00:00Z"),
            ("09:00-17:00", "2026-11-25T16:30:00Z", "2026-11-26T08:00:00Z"),
            ("09:00-17:00", "2026-11-25T05:00:00Z", "2026-11-25T08:00:00Z"),
        ] {
            let parsed = Hours::try_from(hours.to_owned()).unwrap();
            let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
            assert_eq!(parsed.next(at(now), &zone), at(next), "{hours} at {now}");
        }
    }

    #[test]
    fn what_are_no_hours() {
        for text in ["", "18-8", "18:00", "25:00-08:00", "08:00-08:00", "18:00-08:00-09:00"] {
            assert!(Hours::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
