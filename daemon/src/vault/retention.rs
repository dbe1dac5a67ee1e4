//! Which older snapshots stay.

use std::collections::HashSet;

use backstay_shared::config::Retention;
use chrono::{DateTime, Datelike, TimeZone, Utc};

/// For each older snapshot, whether it stays. Both lists are ordered from old to new, and `latest` is the time of the
/// backup that is never pruned: it stands for its own day, week and month.
///
/// A day, week or month in which there was no backup does not use up one of those that are kept: after a month away
/// the last ones from before are still there.
pub fn keep<Zone: TimeZone>(
    older: &[DateTime<Utc>],
    latest: Option<DateTime<Utc>>,
    rule: &Retention,
    zone: &Zone,
) -> Vec<bool> {
    let mut kept = vec![false; older.len()];
    for place in kept.iter_mut().rev().take(rule.last as usize) {
        *place = true;
    }
    let day = |date: &DateTime<Zone>| (date.year(), date.ordinal());
    let week = |date: &DateTime<Zone>| (date.iso_week().year(), date.iso_week().week());
    let month = |date: &DateTime<Zone>| (date.year(), date.month());
    type Period<'a, Zone> = &'a dyn Fn(&DateTime<Zone>) -> (i32, u32);
    let rules: [(u32, Period<'_, Zone>); 3] = [(rule.daily, &day), (rule.weekly, &week), (rule.monthly, &month)];
    for (count, period) in rules {
        let mut periods: HashSet<(i32, u32)> =
            latest.iter().map(|latest| period(&latest.with_timezone(zone))).collect();
        let allowed = periods.len() + count as usize;
        for (index, at) in older.iter().enumerate().rev() {
            if periods.len() < allowed && periods.insert(period(&at.with_timezone(zone))) {
                kept[index] = true;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use chrono::Days;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    fn kept(older: &[&str], latest: &str, rule: Retention) -> Vec<String> {
        let times: Vec<_> = older.iter().map(|text| at(text)).collect();
        let kept = keep(&times, Some(at(latest)), &rule, &Utc);
        older.iter().zip(kept).filter(|(_, kept)| *kept).map(|(text, _)| (*text).to_owned()).collect()
    }

    const NONE: Retention = Retention { last: 0, daily: 0, weekly: 0, monthly: 0 };

    #[test]
    fn each_rule_keeps_its_own() {
        let older =
            ["2026-01-31T08:00", "2026-02-27T08:00", "2026-03-01T08:00", "2026-03-02T08:00", "2026-03-02T20:00"];
        let latest = "2026-03-02T23:00";
        assert_eq!(kept(&older, latest, NONE), [""; 0]);
        assert_eq!(kept(&older, latest, Retention { last: 2, ..NONE }), older[3..]);
        // The day of the latest is the latest's.
        assert_eq!(kept(&older, latest, Retention { daily: 1, ..NONE }), older[2..3]);
        assert_eq!(kept(&older, latest, Retention { daily: 2, ..NONE }), older[1..3]);
        // 1 March 2026 is a Sunday: the week before that of the latest.
        assert_eq!(kept(&older, latest, Retention { weekly: 1, ..NONE }), older[2..3]);
        assert_eq!(kept(&older, latest, Retention { monthly: 2, ..NONE }), older[..2]);
    }

    #[test]
    fn a_year_of_daily_backups_leaves_what_was_asked_for() {
        let first = at("2025-01-01T03:00");
        let mut older: Vec<DateTime<Utc>> = Vec::new();
        for day in 0..365 {
            let latest = first + Days::new(day);
            let rule = Retention { last: 3, daily: 7, weekly: 4, monthly: 6 };
            let kept = keep(&older, Some(latest), &rule, &Utc);
            older = older.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(at, _)| at).collect();
            older.push(latest);
        }
        older.pop();
        // 7 days, 4 weeks and 6 months, where one snapshot may stand for several.
        assert!((12..=17).contains(&older.len()), "{}: {older:?}", older.len());
        assert!(older[0] <= at("2025-07-01T03:00"), "{older:?}");
    }
}
