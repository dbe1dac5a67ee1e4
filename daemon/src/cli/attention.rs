//! `backstay cancel`, `pause`, `resume`, `snooze` and `restart`: what a click in the tray does, for the command line.

use std::time::Duration;

use backstay_shared::{
    client::Client,
    health::FailureId,
    hours,
    protocol::{Reply, Request},
};
use chrono::{Local, Utc};

use super::{CliError, Context, output};

/// Arguments of `backstay cancel`.
#[derive(Debug, clap::Args)]
pub struct CancelArguments {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
}

/// Arguments of `backstay pause`.
#[derive(Debug, clap::Args)]
pub struct PauseArguments {
    /// For so long, as 30m, 2h or 1d; without it until `backstay resume`
    #[arg(long = "for", value_name = "TIME", value_parser = span, conflicts_with = "today")]
    time: Option<Duration>,
    /// Until midnight
    #[arg(long)]
    today: bool,
}

/// Arguments of `backstay snooze`.
#[derive(Debug, clap::Args)]
pub struct SnoozeArguments {
    /// The problem's id, as `backstay status --json` and `backstay explain` name it
    #[arg(value_parser = problem)]
    problem: FailureId,
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
    /// For so long, as 30m, 2h or 1d
    #[arg(long = "for", value_name = "TIME", value_parser = span, default_value = "1d")]
    time: Duration,
}

/// Arguments of `backstay restart`.
#[derive(Debug, clap::Args)]
pub struct RestartArguments {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
}

/// Ends the backup of a phone that runs or waits for its turn.
///
/// # Errors
/// When there is none.
pub async fn cancel(context: &Context, arguments: &CancelArguments) -> Result<(), CliError> {
    ask(context, Request::Cancel { phone: arguments.phone.clone() }).await?;
    output::line("The backup is cancelled; what was there before is as it was.")
}

/// Lets nothing start by itself for a while.
///
/// # Errors
/// When the daemon is not running.
pub async fn pause(context: &Context, arguments: &PauseArguments) -> Result<(), CliError> {
    let until = match arguments.time {
        Some(time) => Some(Utc::now() + time),
        None if arguments.today => Some(hours::midnight(Local::now())),
        None => None,
    };
    ask(context, Request::Pause { until }).await?;
    let until = until.map_or_else(|| "you run: backstay resume".into(), output::moment);
    output::line(&format!("No backup starts by itself until {until}."))
}

/// Lets backups start again.
///
/// # Errors
/// When the daemon is not running.
pub async fn resume(context: &Context) -> Result<(), CliError> {
    ask(context, Request::Resume).await?;
    output::line("Backups start by themselves again.")
}

/// Hides a problem for a while.
///
/// # Errors
/// When there is no such problem.
pub async fn snooze(context: &Context, arguments: &SnoozeArguments) -> Result<(), CliError> {
    let until = Utc::now() + arguments.time;
    let (phone, problem) = (arguments.phone.clone(), arguments.problem);
    ask(context, Request::Snooze { phone, problem, until }).await?;
    output::line(&format!(
        "No notification of \u{201c}{}\u{201d} before {}.",
        problem.entry().title,
        output::moment(until)
    ))
}

/// Restarts a phone.
///
/// # Errors
/// When it is away or refuses.
pub async fn restart(context: &Context, arguments: &RestartArguments) -> Result<(), CliError> {
    ask(context, Request::RestartPhone { phone: arguments.phone.clone() }).await?;
    output::line("The iPhone restarts. Unlock it once afterwards; the backup then goes on by itself.")
}

async fn ask(context: &Context, request: Request) -> Result<(), CliError> {
    let mut client = Client::connect(&context.paths.socket()).await?;
    match client.request(request).await? {
        Reply::Done => Ok(()),
        Reply::Refused(refusal) => Err(refusal.into()),
        reply => Err(CliError::Usage(format!("the daemon answered {reply:?}"))),
    }
}

/// Tells a daemon that is running that what a failed backup waits for may be so now; none that runs is no error.
pub(super) async fn look_again(context: &Context, phone: &str) {
    let phone = Some(phone.to_owned());
    if let Err(error) = ask(context, Request::LookAgain { phone }).await {
        tracing::debug!(%error, "no daemon was told");
    }
}

fn problem(text: &str) -> Result<FailureId, String> {
    let found = FailureId::ALL.iter().find(|id| id.slug() == text);
    found.copied().ok_or_else(|| "no such problem; backstay explain lists them".into())
}

/// A year at most: what is meant to be longer has no end.
const SPAN_SECONDS_MAX: u64 = 366 * 24 * 3600;

fn span(text: &str) -> Result<Duration, String> {
    let seconds = |(number, factor): (&str, u64)| number.trim().parse::<u64>().ok()?.checked_mul(factor);
    let parts = [("m", 60), ("h", 3600), ("d", 24 * 3600)];
    let found = parts.into_iter().find_map(|(unit, factor)| Some((text.trim().strip_suffix(unit)?, factor)));
    match found.and_then(seconds) {
        Some(seconds @ 1..=SPAN_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a time such as 30m, 2h or 1d".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, seconds) in [("30m", Some(1800)), ("2h", Some(7200)), ("1d", Some(86_400)), (" 5 m", Some(300))] {
            assert_eq!(span(text).ok().map(|span| span.as_secs()), seconds, "{text}");
        }
        for text in ["", "h", "0h", "-1h", "2", "2w", "999999999999999999999h", "9999d"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
