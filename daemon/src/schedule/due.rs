//! When the next backup is due, from the last good one and the clock.

use std::time::Duration;

use backstay_shared::config::Backup;
use chrono::{DateTime, TimeZone, Utc};

/// How often.
#[derive(Debug, Clone)]
pub enum Rule {
    /// This long after the last good backup.
    Every(Duration),
    /// At the times of a cron expression, in local time; one that was missed is caught up.
    Cron(Box<cron::Schedule>),
}

impl From<&Backup> for Rule {
    fn from(config: &Backup) -> Self {
        match &config.schedule {
            Some(schedule) => Self::Cron(Box::new(schedule.0.clone())),
            None => Self::Every(config.every_hours.duration()),
        }
    }
}

/// When the next backup is due. A moment in the past means: since then.
///
/// A last backup "in the future" is a clock that was set back. By less than a day it counts as made just now; by more,
/// the old time says nothing, and a backup is due.
pub fn next_due<Zone: TimeZone>(
    rule: &Rule,
    last_good: DateTime<Utc>,
    now: DateTime<Utc>,
    zone: &Zone,
) -> DateTime<Utc> {
    if last_good > now + Duration::from_secs(24 * 3600) {
        return now;
    }
    let last_good = last_good.min(now);
    match rule {
        Rule::Every(interval) => last_good + *interval,
        // An expression that never comes again leaves the phone alone for a year, not for ever.
        Rule::Cron(schedule) => schedule
            .after(&last_good.with_timezone(zone))
            .next()
            .map_or(last_good + Duration::from_secs(365 * 24 * 3600), |at| at.with_timezone(&Utc)),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use chrono::FixedOffset;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::from_str(text).unwrap()
    }

    #[test]
    fn due_follows_the_last_good_backup() {
        let berlin = FixedOffset::east_opt(3600).unwrap();
        let every = Rule::Every(Duration::from_secs(20 * 3600));
        let nightly = Rule::Cron(Box::new(cron::Schedule::from_str("0 0 22 * * *").unwrap()));
        let now = at("2026-11-23T12:00:00Z");
        for (rule, last_good, due) in [
            (&every, "2026-11-23T10:00:00Z", "2026-11-24T06:00:00Z"),
            (&every, "2026-11-01T10:00:00Z", "2026-11-02T06:00:00Z"),
            (&every, "2026-11-23T14:00:00Z", "2026-11-24T08:00:00Z"),
            (&every, "2030-01-01T00:00:00Z", "2026-11-23T12:00:00Z"),
            (&nightly, "2026-11-23T10:00:00Z", "2026-11-23T21:00:00Z"),
            (&nightly, "2026-11-20T10:00:00Z", "2026-11-20T21:00:00Z"),
        ] {
            assert_eq!(next_due(rule, at(last_good), now, &berlin), at(due), "{rule:?} after {last_good}");
        }
    }
}
