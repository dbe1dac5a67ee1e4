//! `schedule`: times as in a crontab.

use std::{collections::BTreeSet, str::FromStr};

use chrono::DateTime;
use serde::Deserialize;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const WEEKDAYS_WHOLE: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// A cron expression, in local time: five fields as in a crontab, or the same five behind the second.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Schedule(pub cron::Schedule);

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let whole = match fields[..] {
            // As @daily.
            [word] if word.starts_with('@') => Some(text.clone()),
            [minute, hour, day, month, weekday] => whole(&text, ["0", minute, hour, day, month, weekday])?,
            [second, minute, hour, day, month, weekday] => whole(&text, [second, minute, hour, day, month, weekday])?,
            [_, _, _, _, _, _, _] => {
                return Err(format!(
                    "{text:?} has seven fields, and a year is none of ours: expected minute, hour, day, month and \
                     weekday, as \"0 22 * * *\", or six that begin with the second"
                ));
            }
            _ => None,
        };
        let schedule = whole.and_then(|whole| cron::Schedule::from_str(&whole).ok()).ok_or_else(|| {
            format!("{text:?} is no cron expression: expected minute, hour, day, month and weekday, as \"0 22 * * *\"")
        })?;
        // As the 30th of February.
        match schedule.after(&DateTime::UNIX_EPOCH).next() {
            Some(_) => Ok(Self(schedule)),
            None => Err(format!("{text:?} is a time that never comes")),
        }
    }
}

/// The expression as its reader has it, with weekdays by name; none where they are no weekdays.
fn whole(text: &str, fields: [&str; 6]) -> Result<Option<String>, String> {
    let [second, minute, hour, day, month, weekday] = fields;
    if !is_any(day) && !is_any(weekday) {
        return Err(format!(
            "{text:?} has a day of the month and a weekday, which some programs take for \"either\" and some for \
             \"both\": give one of them, and * for the other"
        ));
    }
    let weekday = weekdays_by_name(weekday);
    Ok(weekday.map(|weekday| format!("{second} {minute} {hour} {day} {month} {weekday}")))
}

fn is_any(field: &str) -> bool {
    matches!(field, "*" | "?")
}

/// Weekdays by name: numbers count from Sunday = 0 in a crontab, where 7 is Sunday as well, and from Sunday = 1 in what
/// reads it. None for what is no weekday.
fn weekdays_by_name(field: &str) -> Option<String> {
    if is_any(field) {
        return Some(field.to_owned());
    }
    let mut days = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            // By name Sunday is the end of a week as well as its beginning.
            Some((from, to)) => match (weekday(from)?, weekday(to)?) {
                (from, 0) if from > 0 && to != "0" => (from, 7),
                days => days,
            },
            None if is_any(range) => (0, 6),
            None => {
                let day = weekday(range)?;
                (day, if step.is_some() { 6.max(day) } else { day })
            }
        };
        if from > to {
            return None;
        }
        days.extend((from..=to).step_by(step.unwrap_or(1)).map(|day| day % 7));
    }
    Some(days.into_iter().map(|day| WEEKDAYS[day]).collect::<Vec<_>>().join(","))
}

/// 0 to 7, from a number or a name of at least three letters.
fn weekday(text: &str) -> Option<usize> {
    if let Ok(day) = text.parse() {
        return Some(day).filter(|day| *day <= 7);
    }
    let name = text.to_lowercase();
    let is_it = |whole: &&str| name.len() >= 3 && whole.starts_with(&name);
    WEEKDAYS_WHOLE.iter().position(is_it)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    /// The first three times from the beginning of a week on, Sunday, 2026-11-22.
    fn times(text: &str) -> Vec<String> {
        let schedule = Schedule::try_from(text.to_owned()).unwrap();
        let sunday: DateTime<Utc> = "2026-11-21T23:59:59Z".parse().unwrap();
        schedule.0.after(&sunday).take(3).map(|at| at.format("%a %d %H:%M:%S").to_string()).collect()
    }

    #[test]
    fn fields_are_those_of_a_crontab() {
        for (text, expected) in [
            ("0 22 * * *", ["Sun 22 22:00:00", "Mon 23 22:00:00", "Tue 24 22:00:00"]),
            ("0 0 22 * * *", ["Sun 22 22:00:00", "Mon 23 22:00:00", "Tue 24 22:00:00"]),
            ("30 6 * * 1", ["Mon 23 06:30:00", "Mon 30 06:30:00", "Mon 07 06:30:00"]),
            ("30 6 * * 0", ["Sun 22 06:30:00", "Sun 29 06:30:00", "Sun 06 06:30:00"]),
            ("30 6 * * 7", ["Sun 22 06:30:00", "Sun 29 06:30:00", "Sun 06 06:30:00"]),
            ("30 6 * * 5-7", ["Sun 22 06:30:00", "Fri 27 06:30:00", "Sat 28 06:30:00"]),
            ("30 6 * * 1-5/2", ["Mon 23 06:30:00", "Wed 25 06:30:00", "Fri 27 06:30:00"]),
            ("30 6 * * */3", ["Sun 22 06:30:00", "Wed 25 06:30:00", "Sat 28 06:30:00"]),
            ("30 6 * * Mon,Thu", ["Mon 23 06:30:00", "Thu 26 06:30:00", "Mon 30 06:30:00"]),
            ("30 6 * * Mon,5", ["Mon 23 06:30:00", "Fri 27 06:30:00", "Mon 30 06:30:00"]),
            ("30 6 * * thursday-6", ["Thu 26 06:30:00", "Fri 27 06:30:00", "Sat 28 06:30:00"]),
            ("30 6 * * Sat-Sun", ["Sun 22 06:30:00", "Sat 28 06:30:00", "Sun 29 06:30:00"]),
            ("0 30 6 * * 1", ["Mon 23 06:30:00", "Mon 30 06:30:00", "Mon 07 06:30:00"]),
            ("15 30 6 * * Tues,0", ["Sun 22 06:30:15", "Tue 24 06:30:15", "Sun 29 06:30:15"]),
            ("@weekly", ["Sun 22 00:00:00", "Sun 29 00:00:00", "Sun 06 00:00:00"]),
            ("*/30 6 1 * *", ["Tue 01 06:00:00", "Tue 01 06:30:00", "Fri 01 06:00:00"]),
        ] {
            assert_eq!(times(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_schedule() {
        for text in [
            "",
            "22",
            "0 22 * *",
            "60 22 * * *",
            "0 22 * * 8",
            "0 22 * * 5-2",
            "0 22 * * 1/0",
            "0 22 * * Mo",
            "0 22 * * Mon-,5",
            "0 22 1 * 1",
            "0 0 22 1 * Mon",
            "0 0 22 * * 8",
            "0 0 22 * * * 2027",
            "0 22 30 2 *",
            "0 22 31 4,6,9,11 *",
        ] {
            assert!(Schedule::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
    #[test]
    fn a_year_is_refused_by_name() {
        let told = Schedule::try_from("0 0 22 * * * 2027".to_owned()).unwrap_err();
        assert!(told.contains("seven fields") && told.contains("year"), "{told}");
    }
}
