//! `backstay report`: what support needs to know, in one text, without names, numbers and folders of anybody.
//!
//! What would tell most is never put in (passwords, contents, the pair records); of the rest, paths are made strangers
//! where they are known to be paths, and then a filter goes over the whole.

pub mod known;
pub mod redact;
pub mod session;

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use backstay_shared::{
    client::Client,
    overview::Overview,
    protocol::{Reply, Request},
};
use chrono::Utc;
use serde_json::Value;

use super::{CliError, Given, doctor, output};
use crate::{
    phone::link::Muxer,
    vault::{ledger::Ledger, phones, receipt},
};
use redact::Redaction;

/// The end of the log that is packed.
const LOG_BYTES_MAX: u64 = 256 * 1024;

/// Runs of each phone that are told.
const RUNS_MAX: u32 = 10;

/// A phone that hangs is left out.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(5);

/// Arguments of `backstay report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to put it, - for standard output; a new file in this folder when left out
    file: Option<PathBuf>,
    /// Save how the last backup, restore or change of the password went between iPhone and computer, without contents
    /// and names, and nothing else
    #[arg(long)]
    session: bool,
    /// With an iPhone of this name or UDID, or a unique part of either; the last one when left out
    #[arg(long, value_name = "PHONE", requires = "session")]
    phone: Option<String>,
}

/// Carries it out.
///
/// # Errors
/// When the file can't be made, or is there already.
pub async fn run(given: &Given, arguments: &Arguments) -> Result<(), CliError> {
    let now = || Utc::now().format("%Y-%m-%dT%H%M%SZ").to_string();
    let (report, name, taken_out) = match arguments.session {
        true => {
            let (record, of) = session(given, arguments.phone.as_deref()).await?;
            (record, format!("backstay-session-{of}.txt"), "Contents, names, phone and serial numbers are not in it")
        }
        false => {
            let name = format!("backstay-report-{}.txt", now());
            (gather(given).await?, name, "Names, numbers and folders were taken out")
        }
    };
    if arguments.file.as_deref() == Some(Path::new("-")) {
        return output::line(&report);
    }
    let file = arguments.file.clone().unwrap_or_else(|| name.into());
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file)
        .and_then(|mut file| file.write_all(report.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            CliError::Usage(format!("{} is there already; name another file", file.display()))
        }
        _ => CliError::Usage(format!("{}: {error}", file.display())),
    })?;
    output::line(&format!("Saved {}. {taken_out}; look through it before you pass it on.", file.display()))
}

/// The record, and of which conversation it is. The record has no names; the filter looks once more.
async fn session(given: &Given, phone: Option<&str>) -> Result<(String, String), CliError> {
    let (record, of) = session::newest(given, phone)?;
    let (known, _) = known(given).await;
    let redaction = Redaction::new(known).map_err(|error| CliError::Usage(format!("the filter: {error}")))?;
    Ok((redaction.record(&record), of))
}

/// What this computer knows of names and numbers, and what the daemon shows.
async fn known(given: &Given) -> (Vec<(String, String)>, Option<Overview>) {
    let overview = tokio::time::timeout(ANSWER_SECONDS_MAX, overview(given)).await.ok().flatten();
    let muxer = Muxer::from_environment(&given.paths.log_dir).ok();
    let attached = match &muxer {
        Some(muxer) => tokio::time::timeout(ANSWER_SECONDS_MAX, muxer.devices()).await.ok().and_then(Result::ok),
        None => None,
    }
    .unwrap_or_default();
    (known::values(given, overview.as_ref(), &attached, muxer.as_ref()).await, overview)
}

async fn gather(given: &Given) -> Result<String, CliError> {
    let findings = doctor::look(given).await;
    let (mut known, overview) = known(given).await;
    // A phone may have gone since the doctor saw it.
    known.extend(findings.iter().filter_map(|finding| Some((finding.phone.clone()?, "<phone>".to_owned()))));
    let redaction = Redaction::new(known).map_err(|error| CliError::Usage(format!("the filter: {error}")))?;
    let mut report = String::new();
    let mut section = |title: &str, text: &str| {
        report.push_str(&format!("== {title}\n{}\n\n", text.trim_end()));
    };
    section("Backstay", &system());
    section("Settings", &redaction.text(&settings(&given.paths.config_file)));
    let found: Vec<String> = findings.iter().map(doctor::text).collect();
    section("Doctor", &redaction.text(&found.join("\n")));
    section("Overview", &object(&redaction, overview.and_then(|overview| serde_json::to_value(overview).ok())));
    for (title, value) in kept(given) {
        section(&redaction.text(&title), &object(&redaction, Some(value)));
    }
    section("Log", &redaction.text(&log(&given.paths.log_dir)));
    Ok(report)
}

fn object(redaction: &Redaction, value: Option<Value>) -> String {
    let Some(mut value) = value else { return "the daemon does not run".into() };
    redaction.value(&mut value);
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

fn system() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let os_release = read("/etc/os-release");
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
    let desktop = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
    format!(
        "version {}\nmade {}\nsystem {} {} {}\nkernel {}\ndesktop {desktop}",
        env!("CARGO_PKG_VERSION"),
        Utc::now().format("%Y-%m-%dT%H:%M:%SZ"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        name.trim_matches('"'),
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

async fn overview(given: &Given) -> Option<Overview> {
    let mut client = Client::connect(&given.paths.socket()).await.ok()?;
    match client.request(Request::Overview).await.ok()? {
        Reply::Overview { overview, .. } => Some(*overview),
        _ => None,
    }
}

/// Only what is known to be harmless: commands and addresses may hold passwords, comments are the person's own.
fn settings(file: &Path) -> String {
    const TOLD: [&str; 17] = [
        "root",
        "every_hours",
        "schedule",
        "hours",
        "overdue_days",
        "battery_percent_min",
        "slow_minutes",
        "require_encryption",
        "make_room",
        "keep_last",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "check_days",
        "apple_status",
        "ios_versions",
        "icloud",
    ];
    let Ok(text) = fs::read_to_string(file) else { return "none, or not to be read".into() };
    let Ok(sections) = text.parse::<toml::Table>() else { return "there, with a mistake in it".into() };
    let mut told = Vec::new();
    for (section, keys) in &sections {
        told.push(format!("[{section}]"));
        for (key, value) in keys.as_table().into_iter().flatten() {
            let shown = if TOLD.contains(&key.as_str()) { value.to_string() } else { "<hidden>".into() };
            told.push(format!("{key} = {shown}"));
        }
    }
    told.join("\n")
}

/// Of each phone the newest receipt and how its last runs ended.
fn kept(given: &Given) -> Vec<(String, Value)> {
    let phones = phones::backed_up(&given.root).unwrap_or_default();
    phones
        .iter()
        .map(|phone| {
            let layout = &phone.layout;
            let receipt = receipt::latest(layout).map_err(|error| error.to_string());
            let runs = match layout.ledger().exists() {
                true => Ledger::open(layout)
                    .and_then(|ledger| ledger.last_runs(RUNS_MAX))
                    .map_err(|error| error.to_string()),
                false => Ok(Vec::new()),
            };
            let value = serde_json::json!({ "newest_receipt": receipt, "last_runs": runs });
            (format!("Backups of {}", layout.udid()), value)
        })
        .collect()
}

/// The end of the newest log file.
fn log(folder: &Path) -> String {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let logs = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    let Some(newest) = logs.max() else { return "none".into() };
    let read = || {
        let mut file = fs::File::open(&newest)?;
        let length = file.metadata()?.len();
        let begin = length.saturating_sub(LOG_BYTES_MAX);
        file.seek(SeekFrom::Start(begin))?;
        let mut end = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut end)?;
        Ok::<_, std::io::Error>((begin, String::from_utf8_lossy(&end).into_owned()))
    };
    match read() {
        // Half a line could be half a name.
        Ok((begin, text)) if begin > 0 => text.split_once('\n').map_or(text.as_str(), |(_, rest)| rest).to_owned(),
        Ok((_, text)) => text,
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_their_rules_and_lose_their_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let text = "# for Anna\n[backup]\nkeep_last = 3 # Anna's\n\n[hooks]\nntfy = \"https://hc/1\"\non_failure = [\n\"curl\",\n\"Bearer x\"]\n";
        fs::write(&file, text).unwrap();
        assert_eq!(settings(&file), "[backup]\nkeep_last = 3\n[hooks]\nntfy = <hidden>\non_failure = <hidden>");
    }

    #[test]
    fn the_end_of_the_newest_log_is_told_in_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("backstay.2026-11-01.log"), "old\n").unwrap();
        let line = "0123456789\n";
        let long = line.repeat(LOG_BYTES_MAX as usize / line.len() * 2);
        fs::write(folder.path().join("backstay.2026-11-02.log"), &long).unwrap();
        let told = log(folder.path());
        assert!(told.len() as u64 <= LOG_BYTES_MAX && told.len() > 200_000, "{}", told.len());
        assert!(told.lines().all(|line| line == "0123456789"));
    }
}
