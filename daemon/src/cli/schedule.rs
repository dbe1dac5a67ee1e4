//! `backstay schedule`: when the next backups are due, and why then.

use backstay_shared::{
    client::Client,
    overview::{Due, DueReason, PhoneOverview, Timetable},
    protocol::{Reply, Request},
};
use chrono::{DateTime, Local, Utc};
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
            "phone": phone.name, "udid": phone.udid, "times": timetable.times,
            "on_connect_hours": timetable.on_connect_hours, "only_when_charging": timetable.only_when_charging,
        })),
        Reply::Timetable { phone, timetable } => output::line(&text(&phone, &timetable, Utc::now())),
        Reply::Refused(refusal) => Err(refusal.into()),
        reply => Err(CliError::Usage(format!("the daemon answered {reply:?}"))),
    }
}

fn text(phone: &PhoneOverview, timetable: &Timetable, now: DateTime<Utc>) -> String {
    let mut lines = vec![format!("{}: {}", phone.name, status::doing(phone))];
    let good = phone.last_good.as_ref().map_or_else(|| "none yet".into(), |good| output::moment(good.at));
    lines.push(format!("  last good  {good}"));
    lines.extend(timetable.times.iter().enumerate().map(|(number, due)| line(number + 1, due, now)));
    if timetable.times.is_empty() {
        lines.push("  Nothing starts by itself; backstay status says why.".into());
    }
    if let Some(hours) = timetable.on_connect_hours {
        lines.push(format!("  Besides, when it is plugged in and the last good one is {hours} h old."));
    }
    if timetable.only_when_charging {
        lines.push("  Each waits until the iPhone has power.".into());
    }
    lines.join("\n")
}

fn line(number: usize, due: &Due, now: DateTime<Utc>) -> String {
    let at = match due.at <= now {
        true => format!("as soon as it can be, since {}", output::moment(due.at)),
        false => due.at.with_timezone(&Local).format("%a %Y-%m-%d %H:%M").to_string(),
    };
    format!("  {number:>2}. {at}  {}", why(&due.reason))
}

/// Why it is due then, for people.
pub fn why(reason: &DueReason) -> String {
    match reason {
        DueReason::FirstBackup => "there is no backup yet".into(),
        DueReason::Interval { hours } => format!("{hours} h after the last good one"),
        DueReason::Schedule => "a time of the schedule".into(),
        DueReason::NoFurtherTime => "a year after the last good one: the schedule has no further time".into(),
        DueReason::CatchUp { .. } => "it could not be made then and is caught up".into(),
        DueReason::AllowedHours { due } => {
            format!("due {}, moved into the allowed hours", output::moment(*due))
        }
        DueReason::PauseEnds { due } => format!("due {}, after the pause", output::moment(*due)),
        DueReason::ClockSettles { due } => format!("due {}, but the clock was just set", output::moment(*due)),
        DueReason::ClockWasSetBack => "the last good one is dated ahead: the clock was set back since".into(),
        DueReason::Unknown => "for a reason that only a newer Backstay knows".into(),
    }
}
