//! How results and failures are printed.

use std::{
    fmt::Display,
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use backstay_shared::{client::ClientError, health::Failure, overview::Problem};
use chrono::{DateTime, Local, TimeZone, Utc};
use serde_json::json;

use super::CliError;

/// Writes a line to standard output.
///
/// # Errors
/// When it is closed, or can't be written for another reason.
pub fn line(text: &str) -> Result<(), CliError> {
    writeln!(io::stdout().lock(), "{text}").map_err(|error| unwritten(&error))
}

/// Whoever reads may close the output and has then seen enough; a disk that takes no more of it is a failure.
pub fn unwritten(error: &io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::Failed(format!("the output can't be written: {error}")),
    }
}

/// What is said of files whose size in the list is another.
///
/// # Errors
/// As [`line`].
pub fn notes(files: u64) -> Result<(), CliError> {
    match files {
        0 => Ok(()),
        files => line(&format!("{} changed while the phone copied them; normal for databases", count(files, "file"))),
    }
}

/// What is said of files that nothing proves.
///
/// # Errors
/// As [`line`].
pub fn unproved(files: u64) -> Result<(), CliError> {
    match files {
        0 => Ok(()),
        files => line(&format!(
            "{} without proof: the iPhone could not read them, another program received them, or the record of checksums \
             was lost; verify --deep proves those that the iPhone's list has a checksum of",
            count(files, "file")
        )),
    }
}

/// A number of things, one of them in the singular.
pub fn count(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Writes an object as one line to standard output.
///
/// # Errors
/// As [`line`].
pub fn json_line(value: &serde_json::Value) -> Result<(), CliError> {
    line(&value.to_string())
}

/// A failure as an object, for scripts.
pub fn failure_object(problem: &Problem) -> serde_json::Value {
    let commands: Vec<String> = problem.actions.iter().filter_map(|action| action.command(None)).collect();
    json!({
        "event": "failed",
        "failure": { "id": problem.id, "title": problem.title, "why": problem.why, "severity": problem.severity },
        "evidence": problem.evidence,
        "steps": problem.steps,
        "actions": problem.actions,
        "commands": commands,
    })
}

/// A failure for a person.
pub fn failure_text(problem: &Problem) -> String {
    let mut text = format!("{}\n{}\n", problem.title, problem.why);
    for (number, step) in problem.steps.iter().enumerate() {
        text.push_str(&format!("  {}. {step}\n", number + 1));
    }
    text
}

/// A backup that is whole, and something the person has to know of it all the same.
///
/// # Errors
/// When standard error is closed, or can't be written for another reason.
pub fn warn(problem: &Problem) -> Result<(), CliError> {
    write!(io::stderr(), "{}", failure_text(problem)).map_err(|error| unwritten(&error))
}

/// Tells why a command failed and returns its exit code.
pub fn report(error: &CliError, as_json: bool) -> ExitCode {
    // Nothing can be told to a closed terminal; the exit code remains.
    match error {
        CliError::Failure(failure) => {
            let problem = Problem::new(failure, Utc::now());
            if !as_json || json_line(&failure_object(&problem)).is_err() {
                drop(write!(io::stderr(), "{}", failure_text(&problem)));
            }
            ExitCode::from(1)
        }
        CliError::Usage(text) => refused(text, 2, as_json),
        CliError::Failed(text) => refused(text, 1, as_json),
        CliError::Daemon(error @ (ClientError::NotRunning(_) | ClientError::Lost(_))) => {
            refused(&format!("{error}. Start it with: backstay login start"), 3, as_json)
        }
        CliError::Daemon(error) => refused(&error.to_string(), 3, as_json),
        CliError::Interrupted(text) => refused(text, 130, as_json),
        CliError::Told => ExitCode::from(1),
        CliError::OutputClosed => ExitCode::SUCCESS,
    }
}

/// No failure of a backup: it was not begun.
fn refused(message: &str, code: u8, as_json: bool) -> ExitCode {
    if !as_json || json_line(&json!({ "event": "refused", "message": message })).is_err() {
        drop(writeln!(io::stderr(), "backstay: {message}"));
    }
    ExitCode::from(code)
}

/// Asks whether to go on.
///
/// # Errors
/// When the answer is not yes; `unasked` when nobody can be asked.
pub fn confirm(unasked: &str) -> Result<(), CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(unasked.to_owned()));
    }
    write!(io::stdout(), "Type yes to go on: ").map_err(|error| unwritten(&error))?;
    io::stdout().flush().map_err(|error| unwritten(&error))?;
    let mut answer = String::new();
    // An end of input is no yes.
    let read = io::stdin().lock().read_line(&mut answer);
    match read.is_ok() && answer.trim().eq_ignore_ascii_case("yes") {
        true => Ok(()),
        false => Err(CliError::Usage("nothing was changed".into())),
    }
}

/// A failure of the catalogue, as it ended a run.
pub fn problem_of(failure: &Failure) -> Problem {
    Problem::new(failure, Utc::now())
}

/// A moment for people: `today 02:14`, `yesterday 02:14`, `2026-11-02 02:14`.
pub fn moment(at: DateTime<Utc>) -> String {
    moment_in(at, &Local)
}

/// The same as clocks in this zone show it.
pub fn moment_in<Zone: TimeZone<Offset: Display>>(at: DateTime<Utc>, zone: &Zone) -> String {
    let (at, now) = (at.with_timezone(zone), Utc::now().with_timezone(zone));
    let days = now.date_naive().signed_duration_since(at.date_naive()).num_days();
    match days {
        0 => at.format("today %H:%M").to_string(),
        1 => at.format("yesterday %H:%M").to_string(),
        -1 => at.format("tomorrow %H:%M").to_string(),
        _ => at.format("%Y-%m-%d %H:%M").to_string(),
    }
}
