//! From what the daemon says to what the menu shows. Pure: no I/O, no clock.

use std::fmt::Display;

use backstay_shared::{
    desktop::{
        command::{Command, PauseTime, Subject},
        view::{self, View},
    },
    health::{Action, Severity},
    overview::{Activity, Overview, Pause, Phase, PhoneOverview, Problem, Setup},
};
use chrono::{DateTime, TimeZone};

use crate::wording;

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
    /// A menu of its own.
    Submenu(String, Vec<Line>),
    /// A rule between groups.
    Separator,
}

/// The icons, from calm to urgent: where several apply, the greatest is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IconKind {
    /// All is well.
    Fine,
    /// A person wants no backup to start by itself.
    Paused,
    /// A backup is under way.
    Working {
        /// How far it is, 0 to 11; none while nobody knows. Twelve pictures are enough for a backup of hours.
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
    let entry = |text: &str, command| Some(Line::Entry(text.to_owned(), command));
    let mut model = match view {
        View::Connecting => offline("Connecting to Backstay\u{2026}", None),
        View::NotRunning => {
            offline("Backstay is not running: nothing is backed up", entry("Start Backstay", Command::StartDaemon))
        }
        View::OtherVersion(version) => offline(
            &format!("The Backstay that runs is of another version ({version})"),
            entry("Restart Backstay", Command::RestartDaemon),
        ),
        View::Connected(overview) => connected(overview, now),
    };
    model.lines.push(Line::Separator);
    model.lines.push(Line::Entry("Quit".to_owned(), Command::Quit));
    model
}

fn offline(text: &str, remedy: Option<Line>) -> MenuModel {
    let lines = std::iter::once(Line::Text(text.to_owned())).chain(remedy).collect();
    MenuModel { lines, tooltip: text.to_owned(), icon: IconKind::Offline }
}

fn connected<Z: TimeZone<Offset: Display>>(overview: &Overview, now: &DateTime<Z>) -> MenuModel {
    let mut lines = Vec::new();
    let mut tooltip = Vec::new();
    let mut icon = IconKind::Fine;
    let only_phone = view::only_phone(overview);
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
        lines.extend(wording::next_due(phone, overview.paused.is_some(), now).map(Line::Text));
        for problem in view::problems(phone) {
            lines.push(problem_menu(&Subject::Phone(phone.udid.clone()), problem, Some(phone)));
            // While a new try runs, what the last one ran into is history.
            if !view::is_busy(phone) || view::calls_to_the_phone(problem) {
                tooltip.push(problem.title.clone());
            }
        }
        if overview.setup == Setup::Done && !phone.turned_off {
            lines.extend(command_lines(phone, only_phone.is_some()));
        }
        icon = icon.max(phone_icon(phone));
    }
    lines.extend(offer(overview));
    let of_computer = view::in_front(&overview.problems);
    if !of_computer.is_empty() {
        lines.push(Line::Separator);
    }
    for problem in of_computer {
        lines.push(problem_menu(&Subject::Computer, problem, only_phone));
        tooltip.push(problem.title.clone());
        icon = icon.max(problem_icon(problem));
    }
    lines.push(Line::Separator);
    lines.extend(house_lines(overview.paused.as_ref()));
    MenuModel { lines, tooltip: tooltip.join("\n"), icon }
}

/// Before a person has agreed to backups: what a click agrees to.
fn offer(overview: &Overview) -> Option<Line> {
    let whom = match &overview.phones[..] {
        _ if overview.setup == Setup::Done => return None,
        [] => return None,
        [phone] => phone.name.clone(),
        _ => "these iPhones".to_owned(),
    };
    Some(Line::Entry(format!("Back up {whom} here: {}", overview.root), Command::SetUp))
}

/// What is there whatever the phones do.
fn house_lines(paused: Option<&Pause>) -> Vec<Line> {
    let entry = |text: &str, command| Line::Entry(text.to_owned(), command);
    let pause = match paused {
        Some(_) => entry("Resume backups", Command::Resume),
        None => Line::Submenu(
            "Pause backups".to_owned(),
            vec![
                entry("For an hour", Command::Pause(PauseTime::Hour)),
                entry("For today", Command::Pause(PauseTime::Today)),
                entry("Until I resume", Command::Pause(PauseTime::UntilResumed)),
            ],
        ),
    };
    vec![
        pause,
        entry("Open backups", Command::OpenBackups),
        entry("History", Command::History),
        entry("Settings", Command::OpenSettings),
        entry("Report a problem", Command::Report),
    ]
}

/// The title; below it why, the steps, and what a click can do. `phone` is the one that is meant.
fn problem_menu(subject: &Subject, problem: &Problem, phone: Option<&PhoneOverview>) -> Line {
    let story = Command::WhatToDo(subject.clone(), problem.id);
    // To click rather than to read only: desktops draw what can't be clicked in grey.
    let told = |text: String| Line::Entry(text, story.clone());
    let mut lines: Vec<Line> = wording::wrap(&problem.why, wording::COLUMNS_MAX).into_iter().map(told).collect();
    lines.push(Line::Separator);
    for (number, step) in problem.steps.iter().enumerate() {
        for (row, part) in wording::wrap(step, wording::COLUMNS_MAX).into_iter().enumerate() {
            let margin = if row == 0 { format!("{}.  ", number + 1) } else { "     ".to_owned() };
            lines.push(told(format!("{margin}{part}")));
        }
    }
    lines.push(Line::Separator);
    // Another try is in the menu above, and any problem can be put off.
    let others = problem.actions.iter().filter(|action| !matches!(action, Action::Retry | Action::Snooze));
    lines.extend(
        others.filter_map(|action| {
            Some(Line::Entry(action.label(), Command::of_action(action, subject, problem, phone)?))
        }),
    );
    if view::can_be_put_off(subject, problem, phone) {
        lines.push(Line::Entry("Don't remind me today".to_owned(), Command::Snooze(subject.clone(), problem.id)));
    }
    lines.push(Line::Entry("Show all of this in the browser".to_owned(), story.clone()));
    Line::Submenu(format!("\u{26a0} {}", problem.title), lines)
}

fn command_lines(phone: &PhoneOverview, only_one: bool) -> Vec<Line> {
    let (udid, name) = (&phone.udid, &phone.name);
    let line =
        |short: &str, long: String, command| Line::Entry(if only_one { short.to_owned() } else { long }, command);
    let now = || line("Back up now", format!("Back up {name} now"), Command::BackUp(udid.clone()));
    let cancel = || line("Cancel backup", format!("Cancel backup of {name}"), Command::Cancel(udid.clone()));
    match &phone.activity {
        // What a person asks for goes to the front of the queue.
        Activity::Queued { place, .. } if *place != Some(1) => vec![now(), cancel()],
        _ if view::is_busy(phone) => vec![cancel()],
        _ if view::is_stuck(phone) || view::last_failure(phone).is_some() => {
            vec![line("Try again", format!("Try {name} again"), Command::BackUp(udid.clone()))]
        }
        _ => vec![now()],
    }
}

fn phone_icon(phone: &PhoneOverview) -> IconKind {
    let waits = view::waits_for_passcode(phone) || phone.problems.iter().any(view::calls_to_the_phone);
    // While a new try runs, what the last one ran into is history.
    if view::is_busy(phone) {
        return if waits { IconKind::NeedsYou } else { IconKind::Working { twelfths: twelfths(phone) } };
    }
    let worst = view::problems(phone).into_iter().map(problem_icon).max().unwrap_or(IconKind::Fine);
    worst.max(if phone.activity == Activity::Blocked && view::is_stuck(phone) {
        IconKind::NeedsYou
    } else {
        IconKind::Fine
    })
}

fn twelfths(phone: &PhoneOverview) -> Option<u8> {
    match &phone.activity {
        Activity::Running { progress, .. } if progress.phase == Phase::Transferring => {
            // A phone's estimate may be anything; what is no number becomes 0.
            progress.fraction.map(|fraction| (fraction * 12.0).clamp(0.0, 11.0) as u8)
        }
        // All that is left is done here.
        Activity::Running { progress, .. } if matches!(progress.phase, Phase::Verifying | Phase::Committing) => {
            Some(11)
        }
        _ => None,
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
