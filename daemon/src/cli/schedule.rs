//! `backstay schedule`: when the next backups are due, and why then.

use backstay_shared::{
    client::Client,
    health::Condition,
    overview::{Due, First, PhoneOverview, Timetable},
    protocol::{Reply, Request},
    zone::Zone,
};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{CliError, Context, output, status};

/// Arguments of `backstay schedule`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
    /// One object, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Carries it out.
///
/// # Errors
/// When the daemon is not running or knows no such phone.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let mut client = Client::connect(&context.paths.socket()).await?;
    match client.request(Request::Timetable { phone: arguments.phone.clone() }).await? {
        Reply::Timetable { phone, timetable } if arguments.json => output::json_line(&json!({
            "phone": phone.name, "udid": phone.udid, "first": timetable.first, "times": timetable.times,
            "time_zone": timetable.time_zone,
            "on_connect_hours": timetable.on_connect_hours, "only_when_charging": timetable.only_when_charging,
        })),
        Reply::Timetable { phone, timetable } => output::line(&text(&phone, &timetable, Utc::now())),
        Reply::Refused(refusal) => Err(refusal.into()),
        reply => Err(CliError::Usage(format!("the daemon answered {reply:?}"))),
    }
}

fn text(phone: &PhoneOverview, timetable: &Timetable, now: DateTime<Utc>) -> String {
    // A name that only the daemon knows is shown in the computer's own.
    let named = timetable.time_zone.clone().and_then(|name| Zone::try_from(name).ok());
    let zone = named.unwrap_or_default();
    let mut lines = vec![format!("{}: {}", phone.name, status::doing(phone))];
    let good = status::last_good(phone, |good| output::moment_in(good.at, &zone));
    lines.push(format!("  last good  {good}"));
    lines.extend(zone.name().map(|name| format!("  time zone  {name}")));
    lines.extend(timetable.first.as_ref().map(|first| format!("   1. {}", instead(first))));
    let before = usize::from(timetable.first.is_some());
    lines.extend(timetable.times.iter().zip(before + 1..).map(|(due, number)| line(number, due, now, &zone)));
    match timetable.first {
        _ if !timetable.times.is_empty() => {}
        Some(First::Person) => {}
        None => lines.push("  Nothing starts by itself; backstay status says why.".into()),
        Some(_) => lines.push("  After that nothing starts by itself; backstay status says why.".into()),
    }
    if let Some(hours) = timetable.on_connect_hours {
        lines.push(format!("  Besides, when it is plugged in and the last good one is {hours} h old."));
    }
    if timetable.only_when_charging {
        lines.push("  Each waits until the iPhone has power.".into());
    }
    lines.join("\n")
}

/// What stands in place of the first time.
fn instead(first: &First) -> &'static str {
    match first {
        First::Until { condition: Condition::DeviceUnlocked } => "as soon as the iPhone is unlocked",
        First::Until { condition: Condition::UserPresent } => {
            "when somebody plugs the iPhone in or unlocks it, to type its passcode"
        }
        First::Until { condition: Condition::Charging } => "as soon as the iPhone charges",
        First::Until { condition: Condition::DeviceReconnected | Condition::DeviceSeenOnWifi } => {
            "as soon as the iPhone is connected"
        }
        First::Until { .. } => "as soon as what it waits for is so; backstay status says what",
        First::Person => "none by itself before you ask for one, backstay backup; backstay status says what is wrong",
        First::Turn => "as soon as its turn comes",
        First::UnderWay => "now: it is being made",
        First::Unknown => "when something is so that only a newer Backstay knows",
    }
}

fn line(number: usize, due: &Due, now: DateTime<Utc>, zone: &Zone) -> String {
    let at = match due.at <= now {
        true => format!("as soon as it can be, since {}", output::moment_in(due.at, zone)),
        false => due.at.with_timezone(zone).format("%a %Y-%m-%d %H:%M").to_string(),
    };
    format!("  {number:>2}. {at}  {}", due.reason.sentence(|at| output::moment_in(at, zone)))
}

#[cfg(test)]
mod tests {
    use backstay_shared::overview::DueReason;

    use super::*;

    fn told(activity: &str, timetable: &Timetable) -> String {
        let phone = format!(
            r#"{{"udid":"00008120-001A2D3E0C40201E","name":"Anna","activity":{activity},
            "next_due_reason":{{"why":"drive-away"}}}}"#
        );
        text(&serde_json::from_str(&phone).unwrap(), timetable, "2026-11-25T12:00:00Z".parse().unwrap())
    }

    fn timetable(first: Option<First>, times: Vec<Due>) -> Timetable {
        let time_zone = Some("Asia/Tokyo".to_owned());
        Timetable { first, times, time_zone, on_connect_hours: None, only_when_charging: false }
    }

    #[test]
    fn what_waits_for_no_time_is_told_in_its_place() {
        let due = Due { at: "2026-11-26T12:00:00Z".parse().unwrap(), reason: DueReason::Interval { hours: 20 } };
        let locked = First::Until { condition: Condition::DeviceUnlocked };
        let waits = told(r#"{"state":"idle"}"#, &timetable(Some(locked), vec![due]));
        assert!(waits.contains("   1. as soon as the iPhone is unlocked\n   2. Thu 2026-11-26 21:00  20 h"), "{waits}");
        assert!(waits.contains("time zone  Asia/Tokyo"), "{waits}");
        let due = Due { at: "2026-11-26T12:00:00Z".parse().unwrap(), reason: DueReason::Interval { hours: 20 } };
        let runs = told(r#"{"state":"idle"}"#, &timetable(Some(First::UnderWay), vec![due]));
        assert!(runs.contains("   1. now: it is being made\n   2. Thu 2026-11-26 21:00"), "{runs}");
        let person = told(r#"{"state":"blocked"}"#, &timetable(Some(First::Person), Vec::new()));
        assert!(person.contains("   1. none by itself before you ask for one") && !person.contains("2."), "{person}");
        assert!(person.contains("not to be seen while the backup drive is away"), "{person}");
        let paused = told(r#"{"state":"idle"}"#, &timetable(None, Vec::new()));
        assert!(paused.contains("Nothing starts by itself"), "{paused}");
    }
}
