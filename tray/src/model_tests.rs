//! Tables of views and the menus they make.

use backstay_shared::{
    health::FailureId,
    ids::RunId,
    overview::{Activity, Overview, Pause, Phase, PhoneOverview, Progress},
};

use super::*;
use crate::fixtures::{connected, ended, failed, now, phone, problem, running, time, udid};

/// The menu as text: a line of text as it is, an entry in brackets, a rule as dashes.
fn drawn(view: &View) -> (Vec<String>, IconKind) {
    let model = menu(view, &now());
    let lines = model.lines.iter().map(|line| match line {
        Line::Text(text) => text.clone(),
        Line::Entry(text, _) => format!("[{text}]"),
        Line::Separator => "---".to_owned(),
    });
    (lines.collect(), model.icon)
}

/// Checks all lines but the last two, which are always the same.
#[track_caller]
fn check(view: &View, icon: IconKind, expected: &[&str]) {
    let (mut lines, drawn_icon) = drawn(view);
    assert_eq!(lines.split_off(lines.len() - 2), ["---", "[Quit Backstay]"]);
    assert_eq!(lines, expected);
    assert_eq!(drawn_icon, icon, "{expected:?}");
}

#[test]
fn menus_without_a_daemon() {
    check(&View::Connecting, IconKind::Offline, &["Connecting to Backstay\u{2026}"]);
    check(&View::NotRunning, IconKind::Offline, &["Backstay is not running. Start it with: backstay daemon"]);
    check(
        &View::OtherVersion("9.0".to_owned()),
        IconKind::Offline,
        &["The Backstay daemon is of another version (9.0).", "Restart it: backstay daemon"],
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
        (with(Activity::Queued { run: RunId(2) }), working(None), "waiting for its turn", "[Cancel backup]"),
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
fn a_pause_is_seen_unless_something_is_more_urgent() {
    let paused = |phones| {
        let paused = Some(Pause { until: None });
        drawn(&View::Connected(Overview { phones, paused, ..Overview::default() })).1
    };
    assert_eq!(paused(vec![phone("Anna")]), IconKind::Paused);
    let running = PhoneOverview { activity: transferring(Some(0.5), None), ..phone("Anna") };
    assert_eq!(paused(vec![running]), IconKind::Working { twelfths: Some(6) });
    assert_eq!(paused(vec![failed("Anna", 2, FailureId::HostDiskFull, Activity::Blocked)]), IconKind::Failed);
}

#[test]
fn failures_name_their_first_step() {
    let full = |activity| failed("Anna", 2, FailureId::HostDiskFull, activity);
    let later = Activity::RetryAt { at: time("2025-03-10T09:30:00Z"), attempt: 2, attempts_max: 8 };
    let overdue = Activity::RetryAt { at: time("2025-03-10T08:59:00Z"), attempt: 2, attempts_max: 8 };
    let step = &format!("    {}", FailureId::HostDiskFull.entry().steps[0]);
    let title = "[\u{26a0} Not enough space on this computer]";
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
        check(&connected(vec![phone]), icon, &[&format!("Anna: {status}"), title, step, command]);
    }
    let silent = PhoneOverview { problems: vec![], ..full(Activity::Blocked) };
    check(
        &connected(vec![silent]),
        IconKind::Failed,
        &["Anna: needs your help (last backup today 02:14)", title, step, "[Try again]"],
    );
}

#[test]
fn problems_that_call_to_the_phone() {
    let with = |id| PhoneOverview { problems: vec![problem(id)], ..phone("Anna") };
    check(
        &connected(vec![with(FailureId::TrustPending)]),
        IconKind::NeedsYou,
        &[
            "Anna: waiting for you to tap Trust",
            "[\u{26a0} Tap Trust on your iPhone]",
            "    Unlock the iPhone.",
            "[Back up now]",
        ],
    );
    let (lines, icon) = drawn(&connected(vec![with(FailureId::IcloudBackupOff)]));
    assert_eq!(icon, IconKind::Fine, "worth knowing, nothing is broken");
    assert!(lines.contains(&"[\u{26a0} iCloud Backup is off]".to_owned()), "{lines:?}");
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
    assert!(lines.contains(&"[\u{26a0} Not enough space on this computer]".to_owned()), "{lines:?}");
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
    let usb = FailureId::UsbmuxdNotRunning;
    let lost = FailureId::SessionLost;
    assert_eq!(
        entries,
        [
            ("Back up Anna now", &Command::BackUp(udid("Anna"))),
            ("Cancel backup of Tom & Jo", &Command::Cancel(udid("Tom & Jo"))),
            (format!("\u{26a0} {}", lost.entry().title).as_str(), &Command::Explain(Subject::Phone(udid("Zoe")), lost)),
            ("Try Zoe again", &Command::BackUp(udid("Zoe"))),
            (format!("\u{26a0} {}", usb.entry().title).as_str(), &Command::Explain(Subject::Computer, usb)),
            ("Quit Backstay", &Command::Quit),
        ]
    );
    assert_eq!(model.icon, IconKind::Failed);
    let rules = model.lines.iter().filter(|line| **line == Line::Separator).count();
    assert_eq!(rules, 4, "between phones, before the computer and before Quit: {:?}", model.lines);
}

#[test]
fn every_failure_of_the_catalogue_fits_the_menu() {
    for id in FailureId::ALL {
        let view = connected(vec![failed("Anna", 2, *id, Activity::Blocked)]);
        let (lines, _) = drawn(&view);
        assert!(lines.iter().any(|line| line.contains(&id.entry().title)), "{id}: {lines:?}");
        let told: String = lines.iter().filter_map(|line| line.strip_prefix("    ")).collect::<Vec<_>>().join(" ");
        assert_eq!(told, id.entry().steps[0], "the whole first step");
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
