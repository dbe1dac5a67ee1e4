//! What happened between two states of the overview. Pure.

use backstay_shared::{
    health::FailureId,
    ids::RunId,
    overview::{Activity, EndedRun, Overview, Phase, PhoneOverview, Problem},
};
use chrono::{DateTime, Utc};

/// Something that happened to a phone.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What.
    pub what: What,
    /// The phone, as it is now.
    pub phone: PhoneOverview,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A backup began.
    Started,
    /// A backup was verified and synced.
    Succeeded,
    /// A backup failed.
    Failed(Box<Problem>),
    /// There is no backup as recent as was planned.
    Overdue(Box<Problem>),
    /// The phone waits for its passcode.
    PasscodeNeeded(Box<Problem>),
    /// What had failed has worked.
    Cured,
}

impl What {
    /// What is wrong, if anything is.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Failed(problem) | Self::Overdue(problem) | Self::PasscodeNeeded(problem) => Some(problem),
            Self::Started | Self::Succeeded | Self::Cured => None,
        }
    }
}

/// What happened from `before` to `after`, in order. States in between may have been missed. Of a phone that was not
/// there before, only runs that ended after `began` are news: the others are older than this process.
pub fn between(before: &Overview, after: &Overview, began: DateTime<Utc>) -> Vec<Event> {
    let of_phone = |phone: &PhoneOverview| {
        let known = before.phones.iter().find(|known| known.udid == phone.udid);
        let phone = phone.clone();
        happened(known, &phone, began).into_iter().map(move |what| Event { what, phone: phone.clone() })
    };
    after.phones.iter().flat_map(of_phone).collect()
}

fn happened(before: Option<&PhoneOverview>, after: &PhoneOverview, began: DateTime<Utc>) -> Vec<What> {
    let mut happened = Vec::new();
    let running_before = before.and_then(running);
    let ended_before = before.and_then(|phone| phone.last_run.as_ref());
    let is_news = |ended: &&EndedRun| match before {
        Some(_) => ended_before.map(|ended| ended.run) != Some(ended.run),
        None => ended.at >= began,
    };
    let failed_before = ended_before.is_some_and(|ended| ended.failure.is_some());
    if let Some(ended) = after.last_run.as_ref().filter(is_news) {
        if before.is_some() && running_before != Some(ended.run) {
            // It came and went between two looks; whoever counts on the pair gets it. A run that is the first thing to
            // be heard of a phone was broken off with an earlier process, which told its start.
            happened.push(What::Started);
        }
        match &ended.failure {
            Some(problem) => happened.push(What::Failed(Box::new(problem.clone()))),
            None => {
                happened.push(What::Succeeded);
                happened.extend(failed_before.then_some(What::Cured));
            }
        }
    } else if before.is_some_and(|before| good_at(after) > good_at(before)) {
        // `backstay backup --once` made it.
        happened.push(What::Succeeded);
        happened.extend(failed_before.then_some(What::Cured));
    }
    if running(after).is_some_and(|run| running_before != Some(run)) {
        happened.push(What::Started);
    }
    let appeared = |id: FailureId| {
        let told = |phone: &&PhoneOverview| told(phone, id).is_some();
        told_problem(after, id).filter(|_| before.filter(told).is_none())
    };
    happened.extend(appeared(FailureId::BackupOverdue).map(What::Overdue));
    happened.extend(appeared(FailureId::PasscodeNeeded).map(What::PasscodeNeeded));
    happened
}

/// A run that has begun in earnest: what is found in its way beforehand, a locked phone at night, is no start.
fn running(phone: &PhoneOverview) -> Option<RunId> {
    match &phone.activity {
        Activity::Running { run, progress } if progress.phase != Phase::Preparing => Some(*run),
        _ => None,
    }
}

fn good_at(phone: &PhoneOverview) -> Option<DateTime<Utc>> {
    phone.last_good.as_ref().map(|good| good.at)
}

/// A problem that a person is to hear of.
fn told(phone: &PhoneOverview, id: FailureId) -> Option<&Problem> {
    phone.problems.iter().find(|problem| problem.id == id && problem.is_in_front() && problem.snoozed_until.is_none())
}

fn told_problem(phone: &PhoneOverview, id: FailureId) -> Option<Box<Problem>> {
    told(phone, id).map(|problem| Box::new(problem.clone()))
}

#[cfg(test)]
mod tests {
    use backstay_shared::{
        health::Failure,
        overview::{LastGood, Progress},
    };

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_764_000_000 + 60 * minute, 0).unwrap()
    }

    fn phone() -> PhoneOverview {
        PhoneOverview {
            udid: "00008120-001A2D3E0C40201E".parse().unwrap(),
            name: "Anna".into(),
            model: None,
            ios: None,
            link: None,
            wifi_allowed: None,
            activity: Activity::Idle,
            last_good: None,
            next_due: None,
            next_due_reason: None,
            last_run: None,
            problems: Vec::new(),
            turned_off: false,
            earlier: None,
        }
    }

    fn problem(id: FailureId) -> Problem {
        Problem::new(&Failure::from(id), at(0))
    }

    fn runs(run: u64) -> PhoneOverview {
        let progress = Progress { phase: Phase::Scanning, ..Progress::start() };
        PhoneOverview { activity: Activity::Running { run: RunId(run), progress }, ..phone() }
    }

    fn ended(run: u64, minute: i64, failure: Option<FailureId>) -> PhoneOverview {
        let failure = failure.map(problem);
        let last_good = failure.is_none().then(|| LastGood { at: at(minute), files: 1, bytes: 2 });
        let last_run = EndedRun { run: RunId(run), at: at(minute), files_received: 1, bytes_received: 2, failure };
        PhoneOverview { last_good, last_run: Some(last_run), ..phone() }
    }

    fn with(mut phone: PhoneOverview, id: FailureId) -> PhoneOverview {
        phone.problems.push(problem(id));
        phone
    }

    fn overview(phone: Option<PhoneOverview>) -> Overview {
        Overview { phones: phone.into_iter().collect(), ..Overview::default() }
    }

    #[test]
    fn each_thing_is_told_once() {
        let full = FailureId::HostDiskFull;
        let failed = ended(1, 5, Some(full));
        let (good, good_again) = (ended(2, 6, None), ended(3, 9, None));
        let by_hand = PhoneOverview { last_good: good.last_good.clone(), ..failed.clone() };
        let next_runs = PhoneOverview { activity: runs(2).activity, ..failed.clone() };
        let overdue = with(phone(), FailureId::BackupOverdue);
        let mut snoozed = overdue.clone();
        snoozed.problems[0].snoozed_until = Some(at(100));
        let waits = with(runs(1), FailureId::PasscodeNeeded);
        for (before, after, told) in [
            // A start of the daemon: what it reads from the ledger is old.
            (None, phone(), vec![]),
            (None, ended(1, -5, None), vec![]),
            (None, ended(1, -5, Some(full)), vec![]),
            (None, runs(1), vec!["started"]),
            (None, ended(1, 1, Some(full)), vec!["failed"]),
            (None, overdue.clone(), vec!["overdue"]),
            // A run.
            (Some(phone()), runs(1), vec!["started"]),
            (Some(runs(1)), runs(1), vec![]),
            (Some(runs(1)), failed.clone(), vec!["failed"]),
            (Some(failed.clone()), failed.clone(), vec![]),
            (Some(failed.clone()), next_runs.clone(), vec!["started"]),
            (Some(next_runs), good.clone(), vec!["succeeded", "cured"]),
            (Some(good.clone()), good.clone(), vec![]),
            // States that were missed.
            (Some(phone()), failed.clone(), vec!["started", "failed"]),
            (Some(good), good_again, vec!["started", "succeeded"]),
            (Some(runs(1)), PhoneOverview { activity: runs(2).activity, ..failed.clone() }, vec!["failed", "started"]),
            // Without the daemon.
            (Some(failed), by_hand, vec!["succeeded", "cured"]),
            // Problems.
            (Some(phone()), overdue.clone(), vec!["overdue"]),
            (Some(overdue.clone()), overdue.clone(), vec![]),
            (Some(overdue), phone(), vec![]),
            (Some(phone()), snoozed, vec![]),
            (Some(runs(1)), waits.clone(), vec!["passcode"]),
            (Some(waits.clone()), waits, vec![]),
        ] {
            let events = between(&overview(before.clone()), &overview(Some(after.clone())), at(0));
            let words: Vec<&str> = events
                .iter()
                .map(|event| match &event.what {
                    What::Started => "started",
                    What::Succeeded => "succeeded",
                    What::Failed(_) => "failed",
                    What::Overdue(_) => "overdue",
                    What::PasscodeNeeded(_) => "passcode",
                    What::Cured => "cured",
                })
                .collect();
            assert_eq!(words, told, "{before:#?} {after:#?}");
        }
    }
}
