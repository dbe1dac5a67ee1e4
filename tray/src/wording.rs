//! Times and progress in words. Pure: the time and the time zone come in as `now`.

use std::fmt::Display;

use backstay_shared::{
    desktop::view,
    health::{Condition, FailureId, readable_bytes},
    overview::{Activity, DueReason, LastGood, Phase, PhoneOverview, Progress},
};
use chrono::{DateTime, Datelike, TimeZone, Utc};

/// Longer lines make the menu wider than people like to read.
pub(crate) const COLUMNS_MAX: usize = 60;

/// A moment as people say it: `today 02:14`, `yesterday 21:03`, `3 Mar 21:03`, `3 Mar 2024 21:03`.
pub(crate) fn moment<Z: TimeZone<Offset: Display>>(at: DateTime<Utc>, now: &DateTime<Z>) -> String {
    let at = at.with_timezone(&now.timezone());
    let days = now.date_naive().signed_duration_since(at.date_naive()).num_days();
    let format = match days {
        0 => "today %H:%M",
        1 => "yesterday %H:%M",
        -1 => "tomorrow %H:%M",
        _ if at.year() == now.year() => "%-d %b %H:%M",
        _ => "%-d %b %Y %H:%M",
    };
    at.format(format).to_string()
}

/// What the phone is doing, after its name and a colon.
pub(crate) fn state<Z: TimeZone<Offset: Display>>(phone: &PhoneOverview, now: &DateTime<Z>) -> String {
    if view::waits_for_passcode(phone) {
        return "waiting for its passcode".to_owned();
    }
    if phone.turned_off {
        return "turned off in the settings".to_owned();
    }
    match &phone.activity {
        Activity::Running { progress, .. } => running(progress),
        Activity::Queued { place: Some(place), .. } if *place > 1 => {
            format!("waiting for its turn, {place} in the queue")
        }
        Activity::Queued { .. } => "waiting for its turn".to_owned(),
        Activity::Waiting { until: Condition::DeviceUnlocked } => failed("waits until it is unlocked", phone, now),
        Activity::Waiting { until: Condition::Charging } => failed("waits until it charges", phone, now),
        _ if !view::is_stuck(phone) => at_rest(phone, now),
        Activity::RetryAt { at, .. } if at.timestamp() <= now.timestamp() => failed("next try soon", phone, now),
        Activity::RetryAt { at, .. } => failed(&format!("next try {}", moment(*at, now)), phone, now),
        Activity::Waiting { until: Condition::UserPresent } => failed("waits until you unlock it", phone, now),
        Activity::Waiting { .. } => failed("goes on by itself", phone, now),
        Activity::GaveUp { .. } => failed("gave up for now", phone, now),
        Activity::Blocked => failed("needs your help", phone, now),
        Activity::Away | Activity::Idle => at_rest(phone, now),
    }
}

/// When the next backup comes, if nothing else says more.
pub(crate) fn next_due<Z: TimeZone<Offset: Display>>(
    phone: &PhoneOverview,
    is_paused: bool,
    now: &DateTime<Z>,
) -> Option<String> {
    let due = phone.next_due?;
    if is_paused || view::is_busy(phone) || view::is_stuck(phone) || view::waits_for_passcode(phone) {
        return None;
    }
    let text = match (&phone.activity, due.timestamp() > now.timestamp()) {
        (Activity::Away, true) => format!("Not connected; next backup {}", moment(due, now)),
        (_, true) => format!("Next backup {}", moment(due, now)),
        (Activity::Away, false) => "Next backup as soon as it is connected".to_owned(),
        (Activity::Waiting { .. }, false) => return None,
        (_, false) => "Next backup is due".to_owned(),
    };
    let why = phone.next_due_reason.and_then(|reason| reason.in_short(|at| moment(at, now)));
    Some(why.map_or_else(|| text.clone(), |why| format!("{text} ({why})")))
}

fn running(progress: &Progress) -> String {
    match progress.phase {
        Phase::Preparing => "preparing its backup".to_owned(),
        Phase::WaitingForPasscode => "waiting for its passcode".to_owned(),
        Phase::Scanning => "looking for changes".to_owned(),
        Phase::SendingList => match progress.bytes_total {
            Some(total) => {
                let (bytes, total) = (readable_bytes(progress.bytes), readable_bytes(total));
                format!("sending it the list of files, {bytes} of {total}")
            }
            None => "sending it the list of files".to_owned(),
        },
        Phase::Transferring => transferring(progress),
        Phase::Verifying => "verifying its backup".to_owned(),
        Phase::Committing => "finishing its backup".to_owned(),
    }
}

fn transferring(progress: &Progress) -> String {
    let mut text = match progress.fraction {
        // 100 % is said by the verified backup only.
        Some(fraction) => format!("backing up {} %", (fraction * 100.0).clamp(0.0, 99.0) as u8),
        None => format!("backing up, {} so far", readable_bytes(progress.bytes)),
    };
    if let Some(seconds) = progress.seconds_left {
        text.push_str(&format!(", {} left", span(seconds)));
    }
    text
}

/// A number of seconds, as exact as an estimate deserves.
fn span(seconds: u64) -> String {
    match seconds.div_ceil(60) {
        0 | 1 => "a minute".to_owned(),
        minutes @ 2..60 => format!("{minutes} min"),
        minutes if minutes % 60 == 0 => format!("{} h", minutes / 60),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

fn failed<Z: TimeZone<Offset: Display>>(next: &str, phone: &PhoneOverview, now: &DateTime<Z>) -> String {
    format!("{next} ({})", good_one(phone.last_good.as_ref(), now))
}

fn good_one<Z: TimeZone<Offset: Display>>(last_good: Option<&LastGood>, now: &DateTime<Z>) -> String {
    last_good.map_or_else(|| "no backup yet".to_owned(), |good| format!("last backup {}", moment(good.at, now)))
}

fn at_rest<Z: TimeZone<Offset: Display>>(phone: &PhoneOverview, now: &DateTime<Z>) -> String {
    if phone.problems.iter().any(|problem| problem.id == FailureId::TrustPending) {
        return "waiting for you to tap Trust".to_owned();
    }
    if let (Some(_), Some(run)) = (view::last_failure(phone), &phone.last_run) {
        return failed(&format!("backup failed {}", moment(run.at, now)), phone, now);
    }
    match (&phone.last_good, phone.next_due_reason) {
        (Some(good), _) => format!("last backup {}, verified", moment(good.at, now)),
        (None, Some(DueReason::DriveAway)) => "its backups are on a drive that is away".to_owned(),
        (None, _) => "no backup yet".to_owned(),
    }
}

/// Breaks a text into lines of at most `columns` characters, between words; a longer word stays whole.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    #[test]
    fn moments() {
        let zone = FixedOffset::east_opt(2 * 3600).unwrap();
        let now = zone.with_ymd_and_hms(2025, 3, 10, 0, 30, 0).unwrap();
        for (utc, said) in [
            ("2025-03-09T22:14:00Z", "today 00:14"),
            ("2025-03-09T21:59:00Z", "yesterday 23:59"),
            ("2025-03-10T22:00:00Z", "tomorrow 00:00"),
            ("2025-03-03T19:03:00Z", "3 Mar 21:03"),
            ("2024-12-31T19:03:00Z", "31 Dec 2024 21:03"),
        ] {
            assert_eq!(moment(utc.parse().unwrap(), &now), said, "{utc}");
        }
    }

    #[test]
    fn spans() {
        for (seconds, said) in
            [(0, "a minute"), (60, "a minute"), (61, "2 min"), (3600, "1 h"), (4800, "1 h 20 min"), (86_400, "24 h")]
        {
            assert_eq!(span(seconds), said, "{seconds}");
        }
    }

    #[test]
    fn lines_break_between_words() {
        for (text, columns, lines) in [
            ("", 10, &[][..]),
            ("short", 10, &["short"]),
            ("one two three", 7, &["one two", "three"]),
            ("a verylongword b", 5, &["a", "verylongword", "b"]),
            ("Größe über", 5, &["Größe", "über"]),
        ] {
            assert_eq!(wrap(text, columns), lines, "{text:?}");
        }
    }
}
