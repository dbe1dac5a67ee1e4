//! What front ends are shown of the phone.

use backstay_shared::{
    health::{Failure, FailureId},
    overview::{Activity, Link, Phase, PhoneOverview, Problem},
};
use chrono::{DateTime, Utc};

use super::Actor;
use crate::{phone::state::Doing, schedule::retry::ATTEMPTS_MAX, vault::receipt::Receipt};

impl Actor {
    pub(in crate::phone) fn publish(&self) {
        let activity = self.activity();
        let now = Utc::now();
        let mut problems = self.problems.told(now);
        if let Activity::Running { run, progress } = &activity
            && progress.phase == Phase::WaitingForPasscode
        {
            let failure = Failure::from(FailureId::PasscodeNeeded);
            let since = DateTime::from_timestamp_millis(run.0.cast_signed()).unwrap_or_default();
            // What the last run ran into is history while this one asks for the passcode.
            problems.retain(|problem| Some(problem.id) != self.raised_by_run);
            problems.push(Problem::new(&failure, since));
        }
        let introduction = &self.introduction;
        self.around.board.put_phone(PhoneOverview {
            name: introduction.name.clone().unwrap_or_else(|| self.udid.to_string()),
            udid: self.udid.clone(),
            model: introduction.model.clone(),
            ios: introduction.ios.clone(),
            link: self.attached.borrow().as_ref().map(|attached| if attached.usb { Link::Usb } else { Link::Wifi }),
            wifi_allowed: self.vitals.as_ref().and_then(|vitals| vitals.wifi_allowed),
            activity,
            last_good: self.receipt.as_ref().map(Receipt::last_good),
            next_due: Some(self.starts_from(now)),
            last_run: self.last_run.clone(),
            problems,
        });
    }

    /// When it is due, or as late as the hours, a pause or the clock let it start.
    fn starts_from(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let due = self.due(now);
        match self.allowed_from(now) {
            Some(from) if from > now => due.max(from),
            _ => due,
        }
    }

    fn activity(&self) -> Activity {
        let attempt = self.state.failures_in_a_row + 1;
        match (&self.active, &self.state.doing) {
            (Some(active), _) if *active.turn_came.borrow() => {
                Activity::Running { run: active.run, progress: active.progress.borrow().clone() }
            }
            (Some(active), _) => Activity::Queued { run: active.run },
            _ if !self.state.present => Activity::Away,
            (None, Doing::RetryAt(at)) => Activity::RetryAt { at: *at, attempt, attempts_max: ATTEMPTS_MAX },
            (None, Doing::WaitFor(condition)) => Activity::Waiting { until: *condition },
            (None, Doing::GaveUp(at)) => Activity::GaveUp { attempts: self.state.failures_in_a_row, next: *at },
            (None, Doing::NeedsPerson) => Activity::Blocked,
            (None, Doing::Nothing | Doing::Run(_)) => Activity::Idle,
        }
    }
}
