//! Stories of views and news, and the notifications they make.

use crate::{
    health::Failure,
    overview::{Activity, NotificationWishes, Phase},
};

use super::*;
use crate::desktop::fixtures::{connected, ended, failed, now, phone, problem, running, udid};

const FULL: FailureId = FailureId::HostDiskFull;

enum Step {
    Sees(View),
    Hears(News),
}
use Step::{Hears, Sees};

/// Tells a story: after each step, what is shown (`+id`) and withdrawn (`-id`).
#[track_caller]
fn check(story: Vec<(Step, &[&str])>) {
    let mut told = Told::default();
    let mut view = View::Connecting;
    for (number, (step, expected)) in story.into_iter().enumerate() {
        let changes = match step {
            Sees(seen) => {
                view = seen;
                told.view(&view)
            }
            Hears(news) => told.news(news, &view, now()),
        };
        let changes: Vec<String> = changes
            .iter()
            .map(|change| match change {
                Change::Show(notice) => format!("+{}", notice.key),
                Change::Withdraw(key) => format!("-{key}"),
            })
            .collect();
        assert_eq!(changes, expected, "step {number}");
    }
}

fn blocked(run: u64) -> View {
    connected(vec![failed("Anna", run, FULL, Activity::Blocked)])
}

fn well() -> View {
    connected(vec![phone("Anna")])
}

fn busy(problems: Vec<Problem>) -> View {
    let phone = PhoneOverview {
        activity: running(Phase::Scanning),
        last_run: Some(ended(2, Some(FULL))),
        problems,
        ..phone("Anna")
    };
    connected(vec![phone])
}

fn with(id: FailureId) -> View {
    connected(vec![PhoneOverview { problems: vec![problem(id)], ..phone("Anna") }])
}

#[test]
fn the_first_phone_is_an_offer_with_a_button() {
    let overview = Overview { problems: vec![problem(FailureId::SetupNeeded)], ..Overview::default() };
    let shown = Told::default().view(&View::Connected(overview));
    let [Change::Show(notice)] = &shown[..] else { unreachable!() };
    let buttons: Vec<(&str, &Command)> = notice.buttons.iter().map(|(button, does)| (button.label(), does)).collect();
    assert_eq!(buttons[0], ("Back up here", &Command::SetUp));
    assert_eq!(buttons.len(), 3, "desktops show no more");
}

#[test]
fn quiet_while_all_is_well() {
    check(vec![
        (Sees(View::Connecting), &[]),
        (Sees(well()), &[]),
        (Sees(busy(vec![])), &[]),
        (Sees(View::NotRunning), &[]),
        (Sees(with(FailureId::IcloudBackupOff)), &[]),
    ]);
}

#[test]
fn a_problem_is_told_once_and_withdrawn_when_cured() {
    check(vec![
        (Sees(blocked(2)), &["+host-disk-full"]),
        (Sees(blocked(2)), &[]),
        (Sees(blocked(3)), &[]), // an automatic try that failed the same way
        (Sees(View::NotRunning), &[]),
        (Sees(blocked(3)), &[]),
        (Sees(well()), &["-host-disk-full"]),
        (Sees(blocked(4)), &["+host-disk-full"]),
    ]);
}

#[test]
fn while_a_try_runs_nobody_knows_whether_it_is_cured() {
    check(vec![
        (Sees(blocked(2)), &["+host-disk-full"]),
        (Sees(busy(vec![])), &[]),
        (Sees(blocked(3)), &[]),
        (Sees(busy(vec![])), &[]),
        (Sees(well()), &["-host-disk-full"]),
    ]);
}

#[test]
fn a_failure_after_a_person_asked_is_news() {
    check(vec![
        (Sees(blocked(2)), &["+host-disk-full"]),
        (Hears(News::Asked(udid("Anna"))), &["-host-disk-full"]),
        (Sees(blocked(2)), &[]), // the daemon has not started yet
        (Sees(busy(vec![problem(FULL)])), &[]),
        (Sees(blocked(3)), &["+host-disk-full"]),
        (Sees(blocked(4)), &[]),
    ]);
}

#[test]
fn calls_to_the_phone_are_told_and_go_at_once() {
    check(vec![
        (Sees(busy(vec![problem(FailureId::PasscodeNeeded)])), &["+passcode-needed"]),
        (Sees(busy(vec![])), &["-passcode-needed"]),
        (Sees(with(FailureId::TrustPending)), &["+trust-pending"]),
        (Sees(well()), &["-trust-pending"]),
    ]);
}

/// The phone's problem, explained by one of the computer.
fn explained() -> View {
    let phone = failed("Anna", 2, FailureId::DeviceLocked, Activity::Blocked);
    let mut overview =
        Overview { phones: vec![phone], problems: vec![problem(FailureId::BackupDriveMissing)], ..Overview::default() };
    overview.phones[0].problems[0].behind = Some(FailureId::BackupDriveMissing);
    View::Connected(overview)
}

#[test]
fn what_another_problem_explains_is_not_told() {
    let in_front = || connected(vec![failed("Anna", 2, FailureId::DeviceLocked, Activity::Blocked)]);
    check(vec![
        (Sees(explained()), &["+backup-drive-missing"]),
        (Sees(explained()), &[]),
        (Sees(in_front()), &["-backup-drive-missing", "+device-locked"]),
        (Sees(explained()), &["-device-locked", "+backup-drive-missing"]),
        (Sees(well()), &["-backup-drive-missing"]),
    ]);
    let mut same = failed("Anna", 2, FailureId::BackupDriveMissing, Activity::Blocked);
    same.problems[0].behind = Some(FailureId::BackupDriveMissing);
    let problems = vec![problem(FailureId::BackupDriveMissing)];
    let overview = Overview { phones: vec![same], problems, ..Overview::default() };
    check(vec![(Sees(View::Connected(overview)), &["+backup-drive-missing"])]);
}

fn snoozed(severity: Severity) -> View {
    let mut phone = failed("Anna", 2, FULL, Activity::Blocked);
    phone.problems[0].snoozed_until = Some(now() + chrono::TimeDelta::hours(2));
    phone.problems[0].severity = severity;
    connected(vec![phone])
}

#[test]
fn what_failed_before_a_person_asked_is_no_answer() {
    check(vec![
        (Sees(blocked(1)), &["+host-disk-full"]),
        (Sees(blocked(2)), &[]),
        (Hears(News::Asked(udid("Anna"))), &["-host-disk-full"]),
        (Sees(blocked(2)), &[]), // the request is on its way
        (Sees(busy(vec![problem(FULL)])), &[]),
        (Sees(blocked(3)), &["+host-disk-full"]),
    ]);
}

#[test]
fn what_a_person_does_not_want_to_hear_of_is_not_told() {
    let asleep = || snoozed(Severity::Error);
    check(vec![
        (Sees(asleep()), &[]),
        (Sees(asleep()), &[]),
        (Sees(blocked(2)), &["+host-disk-full"]), // the time is over
        (Sees(asleep()), &["-host-disk-full"]),   // a click on the notification
        (Sees(busy(vec![])), &[]),
        (Sees(asleep()), &[]),
        (Sees(blocked(3)), &["+host-disk-full"]),
    ]);
    check(vec![
        (Sees(snoozed(Severity::Warning)), &[]),
        (Sees(asleep()), &[]), // worse, and still not wanted
        (Hears(News::WhatToDo(Subject::Phone(udid("Anna")), FULL)), &["+host-disk-full"]),
        (Sees(asleep()), &[]),
        (Sees(well()), &["-host-disk-full"]),
    ]);
}

#[test]
fn phones_are_told_apart() {
    let both = connected(vec![failed("Anna", 2, FULL, Activity::Blocked), failed("Tom", 3, FULL, Activity::Blocked)]);
    let tom = connected(vec![phone("Anna"), failed("Tom", 3, FULL, Activity::Blocked)]);
    check(vec![
        (Sees(both), &["+host-disk-full", "+host-disk-full"]),
        (Sees(tom), &["-host-disk-full"]),
        (Sees(connected(vec![])), &["-host-disk-full"]),
    ]);
}

#[test]
fn what_gets_worse_is_told_again() {
    let mut mild = failed("Anna", 2, FULL, Activity::Blocked);
    mild.problems[0].severity = Severity::Warning;
    check(vec![
        (Sees(connected(vec![mild.clone()])), &["+host-disk-full"]),
        (Sees(blocked(2)), &["+host-disk-full"]),
        (Sees(connected(vec![mild])), &[]),
    ]);
}

#[test]
fn a_click_that_is_refused_is_answered() {
    let refused = || Hears(News::Refused(Subject::Phone(udid("Anna")), Refusal::Failure(Failure::from(FULL))));
    check(vec![
        (Sees(well()), &[]),
        (refused(), &["+refusal"]),
        (Sees(well()), &[]),
        (Hears(News::Asked(udid("Anna"))), &["-refusal"]),
        (refused(), &["+refusal"]),
        (Sees(busy(vec![])), &["-refusal"]),
    ]);
}

#[test]
fn a_click_on_a_title_tells_the_whole_story() {
    let anna = || Subject::Phone(udid("Anna"));
    check(vec![
        (Sees(with(FailureId::IcloudBackupOff)), &[]),
        (Hears(News::WhatToDo(anna(), FailureId::IcloudBackupOff)), &["+icloud-backup-off"]),
        (Sees(with(FailureId::IcloudBackupOff)), &[]),
        (Sees(well()), &["-icloud-backup-off"]),
        (Hears(News::WhatToDo(anna(), FailureId::IcloudBackupOff)), &[]), // cured meanwhile
    ]);
}

#[test]
fn the_text_names_the_phone_the_cause_and_the_first_step() {
    let [Change::Show(notice)] = &Told::default().view(&blocked(2))[..] else { unreachable!() };
    let entry = FULL.entry();
    assert_eq!(notice.summary, entry.title);
    assert_eq!(notice.body, format!("Anna: {}\n{}", entry.why, entry.steps[0]));
    let anna = || Subject::Phone(udid("Anna"));
    assert_eq!(
        notice.buttons,
        [
            (Button::Retry, Command::BackUp(udid("Anna"))),
            (Button::WhatToDo, Command::WhatToDo(anna(), FULL)),
            (Button::Snooze, Command::Snooze(anna(), FULL)),
        ]
    );
    assert_eq!(notice.severity, Severity::Error);

    let [Change::Show(notice)] = &Told::default().view(&with(FailureId::TrustPending))[..] else { unreachable!() };
    let buttons: Vec<Button> = notice.buttons.iter().map(|(button, _)| *button).collect();
    assert_eq!(buttons, [Button::WhatToDo], "nothing to try or to put off before the phone was told");
}

#[test]
fn the_computers_problems_have_a_button_when_it_is_clear_for_which_phone() {
    for (phones, retry) in [(vec!["Anna"], Some(udid("Anna"))), (vec!["Anna", "Tom"], None), (vec![], None)] {
        let overview = Overview {
            phones: phones.into_iter().map(phone).collect(),
            problems: vec![problem(FailureId::BackupDriveMissing)],
            ..Overview::default()
        };
        let [Change::Show(notice)] = &Told::default().view(&View::Connected(overview))[..] else { unreachable!() };
        let button = notice.buttons.iter().find(|(button, _)| *button == Button::Retry);
        assert_eq!(button.map(|(_, command)| command.clone()), retry.map(Command::BackUp));
        assert!(notice.body.starts_with(&FailureId::BackupDriveMissing.entry().why));
    }
}

fn done(run: u64) -> View {
    connected(vec![PhoneOverview { last_run: Some(ended(run, None)), ..phone("Anna") }])
}

fn with_wishes(view: View, quiet: bool, success: bool) -> View {
    let View::Connected(overview) = view else { unreachable!() };
    View::Connected(Overview { notifications: NotificationWishes { quiet, success }, ..overview })
}

#[test]
fn nothing_pops_up_at_a_quiet_time_but_what_a_person_waits_for() {
    let quiet = |view| with_wishes(view, true, false);
    check(vec![
        (Sees(quiet(well())), &[]),
        (Sees(quiet(blocked(2))), &[]),
        (Sees(blocked(2)), &["+host-disk-full"]),
        (Sees(quiet(done(2))), &["-host-disk-full"]), // going is no noise
        (Hears(News::Asked(udid("Anna"))), &[]),
        (Sees(quiet(busy(vec![problem(FailureId::PasscodeNeeded)]))), &["+passcode-needed"]),
        (Sees(quiet(blocked(3))), &["-passcode-needed", "+host-disk-full"]),
        (Sees(quiet(well())), &["-host-disk-full"]),
        (Sees(quiet(blocked(4))), &[]), // that was answered
    ]);
}

#[test]
fn success_is_told_to_who_wants_it_until_the_next_backup() {
    let wanted = |view| with_wishes(view, false, true);
    check(vec![
        (Sees(wanted(done(1))), &[]), // before this companion was there
        (Sees(wanted(busy(vec![]))), &[]),
        (Sees(wanted(done(3))), &["+success"]),
        (Sees(wanted(done(3))), &[]),
        (Sees(wanted(busy(vec![]))), &["-success"]),
        (Sees(done(4)), &[]),
        (Sees(with_wishes(done(5), true, true)), &[]),
    ]);
}

#[test]
fn the_whole_story_has_every_step() {
    let mut told = Told::default();
    let view = blocked(2);
    told.view(&view);
    let news = News::WhatToDo(Subject::Phone(udid("Anna")), FULL);
    let [Change::Show(notice)] = &told.news(news, &view, now())[..] else { unreachable!() };
    for step in &FULL.entry().steps {
        assert!(notice.body.contains(step.as_str()), "{}", notice.body);
    }
}

/// The daemon begins anew with each change of the settings, and finds out again what is wrong.
#[test]
fn what_a_daemon_that_has_just_begun_does_not_know_yet_is_not_cured() {
    let settling = |view: View| {
        let View::Connected(overview) = view else { unreachable!() };
        View::Connected(Overview { settling: true, ..overview })
    };
    check(vec![
        (Sees(blocked(2)), &["+host-disk-full"]),
        (Sees(View::Connecting), &[]),
        (Sees(settling(connected(vec![]))), &[]),
        (Sees(settling(well())), &[]),
        (Sees(settling(blocked(2))), &[]),
        (Sees(settling(well())), &["-host-disk-full"]), // seen by this daemon, and gone
        (Sees(settling(blocked(3))), &["+host-disk-full"]),
        (Sees(blocked(3)), &[]),
        (Sees(settling(well())), &[]), // another one
        (Sees(well()), &["-host-disk-full"]),
    ]);
}

#[test]
fn a_try_that_fails_for_the_computers_reason_is_answered() {
    let missing = |run| {
        let phone = PhoneOverview { last_run: Some(ended(run, Some(FailureId::BackupDriveMissing))), ..phone("Anna") };
        let problems = vec![problem(FailureId::BackupDriveMissing)];
        View::Connected(Overview { phones: vec![phone], problems, ..Overview::default() })
    };
    check(vec![
        (Sees(missing(1)), &["+backup-drive-missing"]),
        (Hears(News::Asked(udid("Anna"))), &["-backup-drive-missing"]),
        (Sees(missing(1)), &[]),
        (Sees(missing(2)), &["+backup-drive-missing"]),
        (Sees(missing(3)), &[]),
    ]);
}

#[test]
fn who_was_refused_waits_for_nothing() {
    let quiet = |view| with_wishes(view, true, false);
    let refused = News::Refused(Subject::Phone(udid("Anna")), Refusal::Failure(Failure::from(FULL)));
    check(vec![
        (Sees(quiet(done(1))), &[]),
        (Hears(News::Asked(udid("Anna"))), &[]),
        (Hears(refused), &["+refusal"]),
        (Sees(quiet(blocked(2))), &[]),
    ]);
}

#[test]
fn a_success_at_a_quiet_time_is_told_in_the_morning() {
    check(vec![
        (Sees(with_wishes(done(1), true, true)), &[]),
        (Sees(with_wishes(done(2), true, true)), &[]),
        (Sees(with_wishes(done(3), true, true)), &[]),
        (Sees(with_wishes(done(3), false, true)), &["+success"]),
        (Sees(with_wishes(done(3), false, true)), &[]),
    ]);
}
