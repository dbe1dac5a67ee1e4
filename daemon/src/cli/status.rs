//! `backstay status`: what the daemon knows.

use std::io::{self, IsTerminal, Write};

use backstay_shared::health::readable_bytes;
use backstay_shared::{
    client::Client,
    health::Condition,
    overview::{Activity, DueReason, LastGood, Link, Overview, PhoneOverview, Problem, Setup},
    protocol::{Reply, Request},
};

use chrono::Utc;

use super::{CliError, Context, output, progress};

/// Arguments of `backstay status`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One object (with --watch one a change), for scripts
    #[arg(long)]
    pub json: bool,
    /// Stay, and show every change
    #[arg(long)]
    watch: bool,
}

/// Carries it out.
///
/// # Errors
/// When the daemon is not running.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let mut client = Client::connect(&context.paths.socket()).await?;
    if !arguments.watch {
        return match client.request(Request::Overview).await? {
            Reply::Overview { overview, .. } => show(&overview, arguments.json, false),
            reply => Err(CliError::Usage(format!("the daemon answered {reply:?}"))),
        };
    }
    client.send(Request::Subscribe).await?;
    loop {
        show(&client.overview().await?, arguments.json, io::stdout().is_terminal())?;
    }
}

fn show(overview: &Overview, as_json: bool, in_place: bool) -> Result<(), CliError> {
    if as_json {
        return output::json_line(&serde_json::to_value(overview).unwrap_or_default());
    }
    if in_place {
        // Clear the screen and go home.
        write!(io::stdout(), "\x1b[2J\x1b[H").map_err(|error| output::unwritten(&error))?;
    }
    output::line(&text(overview))
}

fn text(overview: &Overview) -> String {
    let mut lines = Vec::new();
    if let Some(pause) = &overview.paused {
        let until = pause.until.map_or_else(|| "you resume it: backstay resume".into(), output::moment);
        lines.push(format!("Paused until {until}"));
    }
    for problem in overview.problems.iter().filter(|problem| problem.is_in_front()) {
        push_problem(&mut lines, problem, "");
    }
    if overview.phones.is_empty() {
        lines.push("No iPhone was seen yet.".into());
    }
    for phone in &overview.phones {
        push_phone(&mut lines, phone);
        if let Some(earlier) = overview.earlier_of(phone) {
            lines.push(format!("  note       {}", earlier.sentence(phone)));
        }
    }
    lines.push(match overview.setup {
        Setup::Done => format!("Backups are kept in {}", overview.root),
        Setup::Needed => format!("Nothing is backed up before you agree; backups would go to {}", overview.root),
    });
    lines.join("\n")
}

fn push_phone(lines: &mut Vec<String>, phone: &PhoneOverview) {
    let ios = phone.ios.as_ref().map(|ios| format!(", iOS {ios}")).unwrap_or_default();
    lines.push(format!("{} ({}{ios})", phone.name, phone.udid));
    lines.push(format!("  now        {}", doing(phone)));
    if let Some(allowed) = phone.wifi_allowed {
        let told = if allowed { "on: it is backed up there, too" } else { "off; on its cable: backstay wifi on" };
        lines.push(format!("  Wi-Fi      {told}"));
    }
    let good = last_good(phone, |good| {
        let size = readable_bytes(good.bytes);
        format!("{}, verified, {} files, {size}", output::moment(good.at), good.files)
    });
    lines.push(format!("  last good  {good}"));
    if let Some(due) = phone.next_due {
        let since = if due <= Utc::now() { "since " } else { "" };
        let why =
            phone.next_due_reason.map(|reason| format!(" ({})", reason.sentence(output::moment))).unwrap_or_default();
        lines.push(format!("  next due   {since}{}{why}", output::moment(due)));
    }
    for problem in phone.problems.iter().filter(|problem| problem.is_in_front()) {
        push_problem(lines, problem, "  ");
    }
}

/// The last good backup, as `told`, or why there is none to tell of.
pub fn last_good(phone: &PhoneOverview, told: impl Fn(&LastGood) -> String) -> String {
    match (&phone.last_good, phone.next_due_reason) {
        (Some(good), _) => told(good),
        (None, Some(DueReason::DriveAway)) => "not to be seen while the backup drive is away".into(),
        (None, _) => "none yet".into(),
    }
}

/// What a phone is doing.
pub fn doing(phone: &PhoneOverview) -> String {
    match &phone.activity {
        _ if phone.turned_off => "turned off in the settings: it is not backed up".into(),
        Activity::Away => "not connected".into(),
        Activity::Idle if phone.link == Some(Link::Wifi) => "connected over Wi-Fi".into(),
        Activity::Idle => "connected".into(),
        Activity::Queued { place, .. } => progress::waits(*place),
        Activity::Running { progress, .. } => {
            let percent = progress.fraction.map(|part| format!(" {:.0} %", part * 100.0)).unwrap_or_default();
            format!("backing up{percent}: {}", progress::describe(progress))
        }
        Activity::RetryAt { at, attempt, attempts_max } => {
            format!("tries again {} (try {attempt} of {attempts_max})", output::moment(*at))
        }
        Activity::Waiting { until: Condition::DeviceUnlocked } => "goes on as soon as the iPhone is unlocked".into(),
        Activity::Waiting { until: Condition::UserPresent } => {
            "goes on when somebody plugs the iPhone in or unlocks it, to type its passcode".into()
        }
        Activity::Waiting { until: Condition::Charging } => "goes on as soon as the iPhone charges".into(),
        Activity::Waiting { .. } => "goes on by itself as soon as the cause below is gone".into(),
        Activity::GaveUp { attempts, next } => {
            format!("gave up after {attempts} tries; goes on {}, or when it is plugged in again", output::moment(*next))
        }
        Activity::Blocked => "waits for the cause below to go".into(),
    }
}

fn push_problem(lines: &mut Vec<String>, problem: &Problem, indent: &str) {
    lines.push(format!("{indent}! {} (since {})", problem.title, output::moment(problem.since)));
    lines.push(format!("{indent}  {}", problem.why));
    for (number, step) in problem.steps.iter().enumerate() {
        lines.push(format!("{indent}  {}. {step}", number + 1));
    }
}
