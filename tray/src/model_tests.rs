//! Tables of views and the menus they make.

use backstay_shared::{
    health::{Condition, FailureId},
    ids::RunId,
    overview::{Activity, DueReason, Overview, Phase, PhoneOverview, Progress, Setup},
};

use super::*;
use crate::fixtures::{connected, ended, failed, now, phone, problem, running, time, udid};

/// A line as text: a text as it is, an entry in brackets, a submenu with an arrow, a rule as dashes.
fn drawn_line(line: &Line) -> String {
    match line {
        Line::Text(text) => text.clone(),
        Line::Entry(text, _) => format!("[{text}]"),
        Line::Submenu(text, _) => format!("{text} >"),
        Line::Separator => "---".to_owned(),
    }
}

fn drawn(view: &View) -> (Vec<String>, IconKind) {
    let model = menu(view, &now());
    (model.lines.iter().map(drawn_line).collect(), model.icon)
}

/// The lines below the one with this text.
fn below(view: &View, text: &str) -> Vec<Line> {
    let submenu = |line: Line| match line {
        Line::Submenu(title, lines) if title.contains(text) => Some(lines),
        _ => None,
    };
    menu(view, &now()).lines.into_iter().find_map(submenu).unwrap()
}

const HOUSE: [&str; 5] = ["Pause backups >", "[Open backups]", "[History]", "[Settings]", "[Report a problem]"];

/// Checks all lines but the last ones, which are always the same while there is a daemon.
#[track_caller]
fn check(view: &View, icon: IconKind, expected: &[&str]) {
    let (mut lines, drawn_icon) = drawn(view);
    assert_eq!(lines.split_off(lines.len() - 2), ["---", "[Quit]"]);
    if matches!(view, View::Connected(_)) {
        assert_eq!(lines.split_off(lines.len() - HOUSE.len()), HOUSE);
        assert_eq!(lines.pop().as_deref(), Some("---"));
    }
    assert_eq!(lines, expected);
    assert_eq!(drawn_icon, icon, "{expected:?}");
}

#[test]
fn menus_without_a_daemon() {
    check(&View::Connecting, IconKind::Offline, &["Connecting to Backstay\u{2026}"]);
    check(&View::NotRunning, IconKind::Offline, &["Backstay is not running: nothing is backed up", "[Start Backstay]"]);
    check(
        &View::OtherVersion("9.0".to_owned()),
        IconKind::Offline,
        &["The Backstay that runs is of another version (9.0)", "[Restart Backstay]"],
    );
    check(&connected(vec![]), IconKind::Fine, &["No iPhone yet. Connect one by cable."]);
}

fn transferring(fraction: Option<f64>, seconds_left: Option<u64>) -> Activity {
    let progress =
        Progress { phase: Phase::Transferring, bytes: 1_200_000_000, fraction, seconds_left, ..Progress::start() };
    Activity::Running { run: RunId(2), progress }
}

#[test]
fn one_phone_and_what_it_does() {
    let never = |activity| PhoneOverview { activity, last_good: None, last_run: None, ..phone("Anna") };
    let with = |activity| PhoneOverview { activity, ..phone("Anna") };
    let old = PhoneOverview { last_run: Some(ended(2, Some(FailureId::SessionLost))), ..phone("Anna") };
    let cancelled = |activity| PhoneOverview {
        activity,
        last_run: Some(ended(2, Some(FailureId::CancelledByUser))),
        ..phone("Anna")
    };
    use IconKind::{Fine, NeedsYou};
    let working = |twelfths| IconKind::Working { twelfths };
    for (phone, icon, status, command) in [
        (with(Activity::Idle), Fine, "last backup today 02:14, verified", "[Back up now]"),
        (with(Activity::Away), Fine, "last backup today 02:14, verified", "[Back up now]"),
        (never(Activity::Idle), Fine, "no backup yet", "[Back up now]"),
        (
            with(Activity::Queued { run: RunId(2), place: Some(1) }),
            working(None),
            "waiting for its turn",
            "[Cancel backup]",
        ),
        (with(running(Phase::Preparing)), working(None), "preparing its backup", "[Cancel backup]"),
        (with(running(Phase::WaitingForPasscode)), NeedsYou, "waiting for its passcode", "[Cancel backup]"),
        (with(running(Phase::Scanning)), working(None), "looking for changes", "[Cancel backup]"),
        (
            with(transferring(Some(0.429), Some(170))),
            working(Some(5)),
            "backing up 42 %, 3 min left",
            "[Cancel backup]",
        ),
        (with(transferring(Some(1.0), None)), working(Some(11)), "backing up 99 %", "[Cancel backup]"),
        (with(transferring(Some(f64::NAN), None)), working(Some(0)), "backing up 0 %", "[Cancel backup]"),
        (with(transferring(None, None)), working(None), "backing up, 1.2 GB so far", "[Cancel backup]"),
        (with(running(Phase::Verifying)), working(Some(11)), "verifying its backup", "[Cancel backup]"),
        (with(running(Phase::Committing)), working(Some(11)), "finishing its backup", "[Cancel backup]"),
        (cancelled(Activity::Idle), Fine, "last backup today 02:14, verified", "[Back up now]"),
        (cancelled(Activity::Blocked), Fine, "last backup today 02:14, verified", "[Back up now]"),
        (old, Fine, "backup failed today 08:30 (last backup today 02:14)", "[Try again]"),
    ] {
        check(&connected(vec![phone]), icon, &[&format!("Anna: {status}"), command]);
    }
}

#[test]
fn failures_have_their_title_and_another_try() {
    let full = |activity| failed("Anna", 2, FailureId::HostDiskFull, activity);
    let later = Activity::RetryAt { at: time("2025-03-10T09:30:00Z"), attempt: 2, attempts_max: 8 };
    let overdue = Activity::RetryAt { at: time("2025-03-10T08:59:00Z"), attempt: 2, attempts_max: 8 };
    let title = "\u{26a0} Not enough space on this computer >";
    for (phone, icon, status, command) in [
        (full(Activity::Blocked), IconKind::Failed, "needs your help (last backup today 02:14)", "[Try again]"),
        (full(later), IconKind::Failed, "next try today 09:30 (last backup today 02:14)", "[Try again]"),
        (full(overdue), IconKind::Failed, "next try soon (last backup today 02:14)", "[Try again]"),
        (
            full(running(Phase::Scanning)),
            IconKind::Working { twelfths: None },
            "looking for changes",
            "[Cancel backup]",
        ),
    ] {
        check(&connected(vec![phone]), icon, &[&format!("Anna: {status}"), title, command]);
    }
    let silent = PhoneOverview { problems: vec![], ..full(Activity::Blocked) };
    check(
        &connected(vec![silent]),
        IconKind::Failed,
        &["Anna: needs your help (last backup today 02:14)", title, "[Try again]"],
    );
}

#[test]
fn below_a_title_is_why_and_what_to_do() {
    let view = connected(vec![failed("Anna", 2, FailureId::HostDiskFull, Activity::Blocked)]);
    let lines = below(&view, "Not enough space");
    let entries: Vec<(&str, &Command)> = lines
        .iter()
        .filter_map(|line| if let Line::Entry(text, command) = line { Some((text.as_str(), command)) } else { None })
        .collect();
    let anna = || Subject::Phone(udid("Anna"));
    let story = Command::WhatToDo(anna(), FailureId::HostDiskFull);
    let entry = FailureId::HostDiskFull.entry();
    let told: Vec<&str> = entries.iter().filter(|(_, command)| **command == story).map(|(text, _)| *text).collect();
    let told = told.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.starts_with(&entry.why), "{told}");
    for (number, step) in entry.steps.iter().enumerate() {
        assert!(told.contains(&format!("{}. {step}", number + 1)), "{step} in {told}");
    }
    let clicks: Vec<(&str, &Command)> = entries.into_iter().filter(|(_, command)| **command != story).collect();
    assert!(clicks.contains(&("Remove the oldest snapshots", &Command::FreeSpace(udid("Anna")))), "{clicks:?}");
    assert!(
        clicks.contains(&("Don't remind me today", &Command::Snooze(anna(), FailureId::HostDiskFull))),
        "{clicks:?}"
    );
    assert!(clicks.iter().all(|(_, command)| !matches!(command, Command::BackUp(_))), "that is one menu above");
}

#[test]
fn when_the_next_backup_comes() {
    let due = |at: &str, activity| PhoneOverview { next_due: Some(time(at)), activity, ..phone("Anna") };
    let (later, past) = ("2025-03-10T22:00:00Z", "2025-03-10T08:00:00Z");
    let unlocked = Activity::Waiting { until: Condition::DeviceUnlocked };
    let because = |reason, phone: PhoneOverview| PhoneOverview { next_due_reason: Some(reason), ..phone };
    let since = DueReason::CatchUp { since: time(past) };
    let none = |phone: PhoneOverview| PhoneOverview { last_good: None, last_run: None, ..phone };
    let away = because(DueReason::DriveAway, none(due(past, Activity::Idle)));
    assert_eq!(drawn(&connected(vec![away.clone()])).0[0], "Anna: its backups are on a drive that is away");
    for (phone, next) in [
        (
            because(DueReason::AllowedHours { due: time(past) }, due(later, Activity::Idle)),
            Some("Next backup today 22:00 (in the allowed hours)"),
        ),
        (
            because(DueReason::Interval { hours: 20 }, due(later, Activity::Away)),
            Some("Not connected; next backup today 22:00 (20 h after the last)"),
        ),
        (because(since, due(past, Activity::Away)), Some("Next backup as soon as it is connected (since today 08:00)")),
        (because(DueReason::Unknown, due(later, Activity::Idle)), Some("Next backup today 22:00")),
        (away, Some("Next backup is due (the backup drive is away)")),
        (due(later, Activity::Idle), Some("Next backup today 22:00")),
        (due(later, Activity::Away), Some("Not connected; next backup today 22:00")),
        (due(past, Activity::Away), Some("Next backup as soon as it is connected")),
        (due(past, Activity::Idle), Some("Next backup is due")),
        (due(past, unlocked), None),
        (due(past, running(Phase::Scanning)), None),
        (phone("Anna"), None),
    ] {
        let (lines, _) = drawn(&connected(vec![phone]));
        let told: Vec<&String> = lines.iter().filter(|line| line.to_lowercase().contains("next backup")).collect();
        assert_eq!(told, next.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_pause_is_shown_and_can_be_ended() {
    let paused = |until| {
        let overview = Overview { phones: vec![phone("Anna")], paused: Some(Pause { until }), ..Overview::default() };
        View::Connected(overview)
    };
    let (lines, icon) = drawn(&paused(Some(time("2025-03-10T10:00:00Z"))));
    assert_eq!((lines[0].as_str(), icon), ("Paused until today 10:00", IconKind::Paused));
    assert!(lines.contains(&"[Resume backups]".to_owned()) && !lines.contains(&"Pause backups >".to_owned()));
    assert_eq!(drawn(&paused(None)).0[0], "Paused until you resume it");
    let times = below(&connected(vec![phone("Anna")]), "Pause").into_iter().map(|line| drawn_line(&line));
    assert_eq!(times.collect::<Vec<_>>(), ["[For an hour]", "[For today]", "[Until I resume]"]);
}

#[test]
fn problems_that_call_to_the_phone() {
    let with = |id| PhoneOverview { problems: vec![problem(id)], ..phone("Anna") };
    let trust = connected(vec![with(FailureId::TrustPending)]);
    check(
        &trust,
        IconKind::NeedsYou,
        &["Anna: waiting for you to tap Trust", "\u{26a0} Tap Trust on your iPhone >", "[Back up now]"],
    );
    let lines = below(&trust, "Tap Trust").iter().map(drawn_line).collect::<Vec<_>>();
    assert!(!lines.contains(&"[Don't remind me today]".to_owned()), "{lines:?}");
    let (lines, icon) = drawn(&connected(vec![with(FailureId::IcloudBackupOff)]));
    assert_eq!(icon, IconKind::Fine, "worth knowing, nothing is broken");
    assert!(lines.contains(&"\u{26a0} iCloud Backup is off >".to_owned()), "{lines:?}");
}

#[test]
fn what_another_problem_explains_is_not_in_the_menu() {
    let mut anna = failed("Anna", 2, FailureId::DeviceLocked, Activity::Away);
    anna.problems[0].behind = Some(FailureId::BackupDriveMissing);
    let problems = vec![problem(FailureId::BackupDriveMissing)];
    let overview = Overview { phones: vec![anna], problems, ..Overview::default() };
    let (lines, icon) = drawn(&View::Connected(overview));
    let of = |id: FailureId| lines.iter().filter(|line| line.contains(&id.entry().title)).count();
    assert_eq!((of(FailureId::BackupDriveMissing), of(FailureId::DeviceLocked)), (1, 0), "{lines:?}");
    assert_eq!(icon, IconKind::Failed);
}

/// Who looks into the menu wants to know.
#[test]
fn what_a_person_does_not_want_to_hear_of_is_in_the_menu() {
    let mut anna = failed("Anna", 2, FailureId::HostDiskFull, Activity::Blocked);
    anna.problems[0].snoozed_until = Some(time("2025-03-10T11:00:00Z"));
    let (lines, _) = drawn(&connected(vec![anna]));
    assert!(lines.contains(&"\u{26a0} Not enough space on this computer >".to_owned()), "{lines:?}");
}

#[test]
fn several_phones_are_named_and_the_computer_comes_last() {
    let overview = Overview {
        phones: vec![
            phone("Anna"),
            PhoneOverview { activity: transferring(None, None), ..phone("Tom & Jo") },
            failed("Zoe", 4, FailureId::SessionLost, Activity::Blocked),
        ],
        problems: vec![problem(FailureId::UsbmuxdNotRunning)],
        ..Overview::default()
    };
    let model = menu(&View::Connected(overview.clone()), &now());
    let entries: Vec<(&str, &Command)> = model
        .lines
        .iter()
        .filter_map(|line| if let Line::Entry(text, command) = line { Some((text.as_str(), command)) } else { None })
        .collect();
    assert_eq!(
        entries[..3],
        [
            ("Back up Anna now", &Command::BackUp(udid("Anna"))),
            ("Cancel backup of Tom & Jo", &Command::Cancel(udid("Tom & Jo"))),
            ("Try Zoe again", &Command::BackUp(udid("Zoe"))),
        ]
    );
    assert_eq!(model.icon, IconKind::Failed);
    let rules = model.lines.iter().filter(|line| **line == Line::Separator).count();
    assert_eq!(rules, 5, "between phones, before the computer, before the rest and before Quit: {:?}", model.lines);
    let usb = below(&View::Connected(overview), &FailureId::UsbmuxdNotRunning.entry().title);
    let tries = usb.iter().filter(|line| matches!(line, Line::Entry(_, Command::BackUp(_)))).count();
    assert_eq!(tries, 0, "nobody knows which phone is meant");
}

#[test]
fn before_anybody_agreed_the_menu_offers_backups() {
    let never = |name| PhoneOverview { last_good: None, last_run: None, ..phone(name) };
    let with = |phones| {
        let (setup, root) = (Setup::Needed, "/home/anna/iPhone Backups".to_owned());
        View::Connected(Overview { phones, setup, root, ..Overview::default() })
    };
    check(&with(vec![]), IconKind::Fine, &["No iPhone yet. Connect one by cable."]);
    let one = ["Anna: no backup yet", "[Back up Anna here: /home/anna/iPhone Backups]"];
    check(&with(vec![never("Anna")]), IconKind::Fine, &one);
    let two =
        ["Anna: no backup yet", "---", "Tom: no backup yet", "[Back up these iPhones here: /home/anna/iPhone Backups]"];
    check(&with(vec![never("Anna"), never("Tom")]), IconKind::Fine, &two);
}

#[test]
fn a_phone_that_is_turned_off_is_left_alone() {
    let off = PhoneOverview { turned_off: true, ..phone("Anna") };
    check(&connected(vec![off]), IconKind::Fine, &["Anna: turned off in the settings"]);
    let third = PhoneOverview { activity: Activity::Queued { run: RunId(2), place: Some(3) }, ..phone("Anna") };
    let lines = ["Anna: waiting for its turn, 3 in the queue", "[Back up now]", "[Cancel backup]"];
    let both = connected(vec![third.clone(), phone("Tom")]);
    assert!(menu(&both, &now()).lines.contains(&Line::Entry("Back up Anna now".into(), Command::BackUp(udid("Anna")))));
    check(&connected(vec![third]), IconKind::Working { twelfths: None }, &lines);
}

#[test]
fn every_failure_of_the_catalogue_fits_the_menu() {
    // Who cancelled a backup knows.
    for id in FailureId::ALL.iter().filter(|id| **id != FailureId::CancelledByUser) {
        let view = connected(vec![failed("Anna", 2, *id, Activity::Blocked)]);
        let lines: Vec<String> = below(&view, &id.entry().title).iter().map(drawn_line).collect();
        let told = lines.join(" ").replace(['[', ']'], "").split_whitespace().collect::<Vec<_>>().join(" ");
        for step in &id.entry().steps {
            assert!(
                told.contains(&step.split_whitespace().collect::<Vec<_>>().join(" ").replace(['[', ']'], "")),
                "{id}: {told}"
            );
        }
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{id}: {lines:?}");
    }
}

#[test]
fn the_tooltip_says_the_same() {
    let view = connected(vec![phone("Anna"), failed("Zoe", 4, FailureId::HostDiskFull, Activity::Blocked)]);
    assert_eq!(
        menu(&view, &now()).tooltip,
        "Anna: last backup today 02:14, verified\n\
         Zoe: needs your help (last backup today 02:14)\n\
         Not enough space on this computer"
    );
}
