//! When it is due, where clocks are changed, and why it is later than that.

use backstay_shared::config::{Config, Schedule};
use chrono::{FixedOffset, TimeDelta};
use chrono_tz::{America, Australia, Europe, Tz};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn plan(schedule: Option<&str>, hours: Option<&str>) -> Plan {
    let mut backup = Config::default().backup;
    backup.schedule = schedule.map(|text| Schedule::try_from(text.to_owned()).unwrap());
    backup.hours = hours.map(|text| text.to_owned().try_into().unwrap());
    Plan::from(&backup)
}

fn known(last_good: &str, now: &str) -> Known {
    let (last_good, now) = (Some(at(last_good)), at(now));
    Known { now, last_good, known_since: at("2026-01-01T00:00:00Z"), paused: None, settled_from: None }
}

#[test]
fn due_follows_the_last_good_backup() {
    let berlin = FixedOffset::east_opt(3600).unwrap();
    let (every, nightly) = (plan(None, None), plan(Some("0 22 * * *"), None));
    for (plan, last_good, due) in [
        (&every, "2026-11-23T10:00:00Z", "2026-11-24T06:00:00Z"),
        (&every, "2026-11-01T10:00:00Z", "2026-11-02T06:00:00Z"),
        (&every, "2026-11-23T14:00:00Z", "2026-11-24T10:00:00Z"),
        (&every, "2030-01-01T00:00:00Z", "2026-11-23T12:00:00Z"),
        (&nightly, "2026-11-23T10:00:00Z", "2026-11-23T21:00:00Z"),
        (&nightly, "2026-11-20T10:00:00Z", "2026-11-20T21:00:00Z"),
        // Made at 22:05, and the clock set back to 13:00: tonight's is made.
        (&nightly, "2026-11-23T21:05:00Z", "2026-11-24T21:00:00Z"),
    ] {
        let found = plan.due(&known(last_good, "2026-11-23T12:00:00Z"), &berlin);
        assert_eq!(found.at, at(due), "{plan:?} after {last_good}");
    }
    let none = Known { last_good: None, ..known("2026-11-23T10:00:00Z", "2026-11-23T12:00:00Z") };
    assert_eq!(every.due(&none, &berlin), Due { at: none.known_since, reason: DueReason::FirstBackup });
}

#[test]
fn each_local_time_comes_once_where_clocks_are_changed() {
    // All times from a moment on, each followed by the next.
    let times = |zone: &Tz, from: &str, count: usize| {
        let plan = plan(Some("15,45 1,2 * * *"), None);
        let mut last = at(from);
        let mut next = || {
            last = plan.due(&Known { now: last, last_good: Some(last), ..known(from, from) }, zone).at;
            last.with_timezone(zone).format("%d %H:%M %z").to_string()
        };
        (0..count).map(|_| next()).collect::<Vec<_>>()
    };
    // 02:15 and 02:45 are skipped: once, at 03:00.
    assert_eq!(
        times(&Europe::Berlin, "2026-03-28T23:00:00Z", 4),
        ["29 01:15 +0100", "29 01:45 +0100", "29 03:00 +0200", "30 01:15 +0200"]
    );
    assert_eq!(
        times(&America::New_York, "2026-03-08T05:00:00Z", 4),
        ["08 01:15 -0500", "08 01:45 -0500", "08 03:00 -0400", "09 01:15 -0400"]
    );
    // Half an hour only: 02:15 comes at 02:30, and 02:45 by itself.
    assert_eq!(
        times(&Australia::Lord_Howe, "2026-10-03T14:00:00Z", 5),
        ["04 01:15 +1030", "04 01:45 +1030", "04 02:30 +1100", "04 02:45 +1100", "05 01:15 +1100"]
    );
    // 01:15 and 01:45 come twice.
    assert_eq!(
        times(&America::New_York, "2026-11-01T04:30:00Z", 4),
        ["01 01:15 -0400", "01 01:45 -0400", "01 02:15 -0500", "01 02:45 -0500"]
    );
    // 01:45 comes twice, half an hour apart.
    assert_eq!(
        times(&Australia::Lord_Howe, "2026-04-04T13:30:00Z", 4),
        ["05 01:15 +1100", "05 01:45 +1100", "05 02:15 +1030", "05 02:45 +1030"]
    );
    // From within the second time: what is passed again is not due again.
    assert_eq!(times(&America::New_York, "2026-11-01T06:20:00Z", 1), ["01 02:15 -0500"]);
}

#[test]
fn a_leap_day_is_a_day() {
    let plan = plan(Some("0 22 29 2 *"), None);
    let due = plan.due(&known("2026-11-23T10:00:00Z", "2026-11-23T12:00:00Z"), &Utc);
    assert_eq!(due.at, at("2028-02-29T22:00:00Z"));
}

#[test]
fn why_it_is_then() {
    use DueReason::*;
    let berlin = Europe::Berlin;
    let noon = "2026-11-23T12:00:00Z";
    let tonight = at("2026-11-23T21:00:00Z");
    let (every, nightly) = (plan(None, None), plan(Some("0 22 * * *"), None));
    let late = plan(None, Some("18:00-08:00"));
    let just_set = |known: Known| Known { settled_from: Some(known.now + TimeDelta::minutes(5)), ..known };
    let paused = |until: Option<&str>, known: Known| Known { paused: Some(Pause { until: until.map(at) }), ..known };
    for (told, plan, known, expected) in [
        (
            "not yet",
            &every,
            known("2026-11-23T10:00:00Z", noon),
            Some(("2026-11-24T06:00:00Z", Interval { hours: 20 })),
        ),
        ("tonight", &nightly, known("2026-11-23T10:00:00Z", noon), Some(("2026-11-23T21:00:00Z", Schedule))),
        (
            "missed",
            &nightly,
            known("2026-11-20T10:00:00Z", noon),
            Some(("2026-11-20T21:00:00Z", CatchUp { since: at("2026-11-20T21:00:00Z") })),
        ),
        (
            "since yesterday, and only in the evening",
            &late,
            known("2026-11-22T10:00:00Z", noon),
            Some(("2026-11-23T17:00:00Z", AllowedHours { due: at("2026-11-23T06:00:00Z") })),
        ),
        (
            "later, and only in the evening",
            &late,
            known("2026-11-22T19:00:00Z", noon),
            Some(("2026-11-23T17:00:00Z", AllowedHours { due: at("2026-11-23T15:00:00Z") })),
        ),
        (
            "paused past it",
            &nightly,
            paused(Some("2026-11-23T23:00:00Z"), known("2026-11-23T10:00:00Z", noon)),
            Some(("2026-11-23T23:00:00Z", PauseEnds { due: tonight })),
        ),
        (
            "paused, and over by then",
            &nightly,
            paused(Some("2026-11-23T20:00:00Z"), known("2026-11-23T10:00:00Z", noon)),
            Some(("2026-11-23T21:00:00Z", Schedule)),
        ),
        ("paused", &nightly, paused(None, known("2026-11-23T10:00:00Z", noon)), None),
        (
            "the clock was set",
            &nightly,
            just_set(known("2026-11-20T10:00:00Z", noon)),
            Some(("2026-11-23T12:05:00Z", ClockSettles { due: at("2026-11-20T21:00:00Z") })),
        ),
        ("set back by years", &nightly, known("2030-11-20T10:00:00Z", noon), Some((noon, ClockWasSetBack))),
    ] {
        let expected = expected.map(|(text, reason)| Due { at: at(text), reason });
        assert_eq!(plan.next(&known, &berlin), expected, "{told}");
    }
}

#[test]
fn the_next_ten() {
    let known = known("2026-10-22T10:00:00Z", "2026-10-23T12:00:00Z");
    let plan = plan(Some("30 2 * * *"), Some("03:00-05:00"));
    let times = plan.timetable(plan.next(&known, &Europe::Berlin), &known, &Europe::Berlin, 4);
    let shown: Vec<_> =
        times.iter().map(|due| due.at.with_timezone(&Europe::Berlin).format("%d %H:%M %z").to_string()).collect();
    assert_eq!(shown, ["24 03:00 +0200", "25 03:00 +0100", "26 03:00 +0100", "27 03:00 +0100"]);
    assert!(times.iter().all(|due| matches!(due.reason, DueReason::AllowedHours { .. })), "{times:?}");
}

/// What is tried again has a time of its own; the rest follows from that.
#[test]
fn another_try_is_the_first_time() {
    let (berlin, known) = (Europe::Berlin, known("2026-11-22T10:00:00Z", "2026-11-23T12:00:00Z"));
    let retry = |text| Due { at: at(text), reason: DueReason::Retry };
    let shown = |plan: &Plan, text| {
        let times = plan.timetable(plan.held_up(retry(text), &known, &berlin), &known, &berlin, 2);
        times.into_iter().map(|due| (due.at.to_rfc3339(), due.reason)).collect::<Vec<_>>()
    };
    let (every, late) = (plan(None, None), plan(None, Some("18:00-08:00")));
    let (tomorrow, hours) = ("2026-11-24T10:30:00Z", DueReason::Interval { hours: 20 });
    assert_eq!(
        shown(&every, tomorrow),
        [("2026-11-24T10:30:00+00:00".into(), DueReason::Retry), ("2026-11-25T06:30:00+00:00".into(), hours)]
    );
    let moved = DueReason::AllowedHours { due: at(tomorrow) };
    assert_eq!(
        shown(&late, tomorrow)[0],
        ("2026-11-24T17:00:00+00:00".into(), moved),
        "it waits for the hours like any other"
    );
    assert_eq!(shown(&every, "2026-11-23T11:00:00Z")[0], ("2026-11-23T11:00:00+00:00".into(), DueReason::Retry));
}

/// A named zone has its own clock changes, whatever the computer's are.
#[test]
fn the_settings_say_whose_local_time_it_is() {
    let config: Config = toml::from_str(
        "[backup]\nschedule = \"30 2 * * *\"\nhours = \"02:00-05:00\"\ntime_zone = \"America/New_York\"",
    )
    .unwrap();
    let (plan, zone) = (Plan::from(&config.backup), config.backup.time_zone);
    // 02:30 is skipped on the second day.
    let known = known("2026-03-07T12:00:00Z", "2026-03-07T12:00:00Z");
    let times = plan.timetable(plan.next(&known, &zone), &known, &zone, 2);
    let shown: Vec<_> = times.iter().map(|due| due.at.to_rfc3339()).collect();
    assert_eq!(shown, ["2026-03-08T07:00:00+00:00", "2026-03-09T06:30:00+00:00"]);
    assert_eq!(plan.allowed_from(&known, &zone), Some(at("2026-03-08T07:00:00Z")));
}

#[test]
fn plugging_it_in_is_a_time_of_its_own() {
    let mut backup = Config::default().backup;
    let known = known("2026-11-23T10:00:00Z", "2026-11-23T12:00:00Z");
    assert_eq!(Plan::from(&backup).due_on_connect(&known), None);
    backup.on_connect_hours = Some(6.try_into().unwrap());
    assert_eq!(Plan::from(&backup).due_on_connect(&known), Some(at("2026-11-23T16:00:00Z")));
}

/// Whoever wants one a week is not told four days of seven that it is late.
#[test]
fn late_is_later_than_planned() {
    let three_days = Duration::from_secs(3 * 24 * 3600);
    let (every, weekly) = (plan(None, None), plan(Some("0 22 * * 1"), None));
    // A Monday, 22:00 in UTC.
    let good = "2026-11-23T22:00:00Z";
    for (told, plan, last_good, now, is_late) in [
        ("not yet three days", &every, good, "2026-11-26T21:59:00Z", false),
        ("three days", &every, good, "2026-11-26T22:00:00Z", true),
        ("as planned", &weekly, good, "2026-11-29T22:00:00Z", false),
        ("due since yesterday", &weekly, good, "2026-12-01T21:59:00Z", false),
        ("due for a day", &weekly, good, "2026-12-01T22:00:00Z", true),
        ("by a clock that was put back by hours", &every, "2026-11-24T08:00:00Z", good, false),
        ("by a clock that was wrong", &every, "2030-01-01T00:00:00Z", good, true),
    ] {
        let overdue = plan.overdue_since(&known(last_good, now), three_days, &Utc);
        assert_eq!(overdue.is_some(), is_late, "{told}");
        assert!(overdue.is_none_or(|overdue| overdue.a_backup_was_made == (last_good == good)), "{told}");
    }
    let never = |now| Known { last_good: None, known_since: at("2026-11-20T00:00:00Z"), ..known(good, now) };
    for (now, is_late) in [("2026-11-22T23:59:00Z", false), ("2026-11-23T00:00:00Z", true)] {
        let overdue = Overdue { since: at("2026-11-20T00:00:00Z"), a_backup_was_made: false };
        let expected = is_late.then_some(overdue);
        assert_eq!(weekly.overdue_since(&never(now), three_days, &Utc), expected, "{now}");
    }
}
