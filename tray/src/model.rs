//! From what the daemon says to what the menu shows. Pure: no I/O, no clock.

use std::fmt::Display;

use backstay_shared::{
    health::Severity,
    overview::{Activity, Overview, Phase, PhoneOverview, Problem},
};
use chrono::{DateTime, TimeZone};

use crate::{
    command::{Command, Subject},
    view::{self, View},
    wording,
};

/// All that is to be seen of the companion, apart from notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MenuModel {
    /// The menu, from top to bottom.
    pub(crate) lines: Vec<Line>,
    /// The text beside the icon when the pointer rests on it.
    pub(crate) tooltip: String,
    /// The icon.
    pub(crate) icon: IconKind,
}

/// A line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// To read only.
    Text(String),
    /// To click.
    Entry(String, Command),
    /// A rule between groups.
    Separator,
}

/// The icons, from calm to urgent: where several apply, the greatest is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IconKind {
    /// All is well.
    Fine,
    /// No backup starts by itself, because a person said so.
    Paused,
    /// A backup is under way.
    Working {
        /// How much of it is done, if that is known: 0 to 11, so that the icon seldom changes.
        twelfths: Option<u8>,
    },
    /// A person is wanted, nothing is broken yet.
    NeedsYou,
    /// No backup until somebody acts.
    Failed,
    /// The daemon cannot be asked.
    Offline,
}

/// The menu for this view at this time.
pub(crate) fn menu<Z: TimeZone<Offset: Display>>(view: &View, now: &DateTime<Z>) -> MenuModel {
    let mut model = match view {
        View::Connecting => offline(&["Connecting to Backstay\u{2026}"]),
        View::NotRunning => offline(&["Backstay is not running. Start it with: backstay daemon"]),
        View::OtherVersion(version) => offline(&[
            &format!("The Backstay daemon is of another version ({version})."),
            "Restart it: backstay daemon",
        ]),
        View::Connected(overview) => connected(overview, now),
    };
    model.lines.push(Line::Separator);
    model.lines.push(Line::Entry("Quit Backstay".to_owned(), Command::Quit));
    model
}

fn offline(texts: &[&str]) -> MenuModel {
    MenuModel {
        lines: texts.iter().map(|text| Line::Text((*text).to_owned())).collect(),
        tooltip: texts.join("\n"),
        icon: IconKind::Offline,
    }
}

fn connected<Z: TimeZone<Offset: Display>>(overview: &Overview, now: &DateTime<Z>) -> MenuModel {
    let mut lines = Vec::new();
    let mut tooltip = Vec::new();
    let mut icon = IconKind::Fine;
    let only_one = overview.phones.len() == 1;
    if let Some(pause) = &overview.paused {
        let until = pause.until.map_or_else(|| "you resume it".to_owned(), |at| wording::moment(at, now));
        lines.push(Line::Text(format!("Paused until {until}")));
        tooltip.push("Backstay is paused".to_owned());
        icon = IconKind::Paused;
    }
    if overview.phones.is_empty() {
        lines.push(Line::Text("No iPhone yet. Connect one by cable.".to_owned()));
        tooltip.push("Backstay: no iPhone yet".to_owned());
    }
    for phone in &overview.phones {
        if !lines.is_empty() {
            lines.push(Line::Separator);
        }
        let status = format!("{}: {}", phone.name, wording::state(phone, now));
        lines.push(Line::Text(status.clone()));
        tooltip.push(status);
        for problem in view::problems(phone) {
            lines.extend(problem_lines(&Subject::Phone(phone.udid.clone()), problem));
            tooltip.push(problem.title.clone());
        }
        lines.push(command_line(phone, only_one));
        icon = icon.max(phone_icon(phone));
    }
    let of_computer = view::in_front(&overview.problems);
    if !of_computer.is_empty() {
        lines.push(Line::Separator);
    }
    for problem in of_computer {
        lines.extend(problem_lines(&Subject::Computer, problem));
        tooltip.push(problem.title.clone());
        icon = icon.max(problem_icon(problem));
    }
    MenuModel { lines, tooltip: tooltip.join("\n"), icon }
}

/// The title, which tells the whole story when clicked, and the first step below it.
fn problem_lines(subject: &Subject, problem: &Problem) -> Vec<Line> {
    let mut lines =
        vec![Line::Entry(format!("\u{26a0} {}", problem.title), Command::Explain(subject.clone(), problem.id))];
    let step = problem.steps.first().map_or("", String::as_str);
    lines.extend(wording::wrap(step, wording::COLUMNS_MAX).into_iter().map(|part| Line::Text(format!("    {part}"))));
    lines
}

fn command_line(phone: &PhoneOverview, only_one: bool) -> Line {
    let (udid, name) = (phone.udid.clone(), &phone.name);
    let (short, long, command) = if view::is_busy(phone) {
        ("Cancel backup", format!("Cancel backup of {name}"), Command::Cancel(udid))
    } else if view::is_stuck(phone) || view::last_failure(phone).is_some() {
        ("Try again", format!("Try {name} again"), Command::BackUp(udid))
    } else {
        ("Back up now", format!("Back up {name} now"), Command::BackUp(udid))
    };
    Line::Entry(if only_one { short.to_owned() } else { long }, command)
}

fn phone_icon(phone: &PhoneOverview) -> IconKind {
    let waits = view::waits_for_passcode(phone) || phone.problems.iter().any(view::calls_to_the_phone);
    // While a new try runs, what the last one ran into is history.
    if view::is_busy(phone) {
        return if waits { IconKind::NeedsYou } else { IconKind::Working { twelfths: twelfths(&phone.activity) } };
    }
    let worst = view::problems(phone).into_iter().map(problem_icon).max().unwrap_or(IconKind::Fine);
    worst.max(if phone.activity == Activity::Blocked && view::is_stuck(phone) {
        IconKind::NeedsYou
    } else {
        IconKind::Fine
    })
}

/// How far a running backup is, as the icon shows it.
fn twelfths(activity: &Activity) -> Option<u8> {
    let Activity::Running { progress, .. } = activity else { return None };
    match progress.phase {
        Phase::Preparing | Phase::WaitingForPasscode | Phase::Scanning => None,
        Phase::Transferring => progress.fraction.map(|fraction| (fraction * 12.0).clamp(0.0, 11.0) as u8),
        Phase::Verifying | Phase::Committing => Some(11),
    }
}

fn problem_icon(problem: &Problem) -> IconKind {
    match problem.severity {
        Severity::Error => IconKind::Failed,
        Severity::Warning => IconKind::NeedsYou,
        Severity::Info if view::calls_to_the_phone(problem) => IconKind::NeedsYou,
        Severity::Info => IconKind::Fine,
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
