//! Phones and problems for the tables of the unit tests.

use backstay_shared::{
    health::{Failure, FailureId},
    ids::{RunId, Udid},
    overview::{Activity, EndedRun, LastGood, Overview, Phase, PhoneOverview, Problem, Progress},
};
use chrono::{DateTime, Utc};

use backstay_shared::desktop::view::View;

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The time at which the tests take place.
pub(crate) fn now() -> DateTime<Utc> {
    time("2025-03-10T09:00:00Z")
}

pub(crate) fn udid(name: &str) -> Udid {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0<16}").parse().unwrap()
}

/// A phone at rest with a good backup of this night.
pub(crate) fn phone(name: &str) -> PhoneOverview {
    PhoneOverview {
        udid: udid(name),
        name: name.to_owned(),
        model: None,
        ios: None,
        link: None,
        wifi_allowed: None,
        activity: Activity::Idle,
        last_good: Some(LastGood { at: time("2025-03-10T02:14:00Z"), files: 10, bytes: 1000 }),
        next_due: None,
        next_due_reason: None,
        last_run: Some(ended(1, None)),
        problems: Vec::new(),
        turned_off: false,
        earlier: None,
    }
}

pub(crate) fn problem(id: FailureId) -> Problem {
    Problem::new(&Failure::from(id), now())
}

pub(crate) fn ended(run: u64, failure: Option<FailureId>) -> EndedRun {
    EndedRun {
        run: RunId(run),
        at: time("2025-03-10T08:30:00Z"),
        files_received: 0,
        bytes_received: 0,
        failure: failure.map(problem),
    }
}

pub(crate) fn running(phase: Phase) -> Activity {
    Activity::Running { run: RunId(2), progress: Progress { phase, ..Progress::start() } }
}

/// The phone after a run that failed.
pub(crate) fn failed(name: &str, run: u64, id: FailureId, activity: Activity) -> PhoneOverview {
    PhoneOverview { activity, last_run: Some(ended(run, Some(id))), problems: vec![problem(id)], ..phone(name) }
}

pub(crate) fn connected(phones: Vec<PhoneOverview>) -> View {
    View::Connected(Overview { phones, ..Overview::default() })
}
