//! What front ends are shown of the phone.

use backstay_shared::{
    health::{Failure, FailureId, Group},
    overview::{Activity, Link, Phase, PhoneOverview, Problem},
};
use chrono::{DateTime, Utc};

use super::{Active, Actor, Stage};
use crate::{phone::state::Doing, schedule::retry::ATTEMPTS_MAX, vault::receipt::Receipt};

impl Actor {
    pub(in crate::phone) fn publish(&self) {
        self.around.board.snoozes().keep(Some(&self.udid), self.problems.snoozed());
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
        if self.turned_off {
            // What stands in the way of the next backup is nobody's trouble.
            problems.retain(|problem| problem.id.entry().group == Group::Backups);
        }
        let mut last_run = self.last_run.clone();
        if self.receipt.is_none() {
            problems = problems.into_iter().map(Problem::without_backup).collect();
            if let Some(run) = &mut last_run {
                run.failure = run.failure.take().map(Problem::without_backup);
            }
        }
        let introduction = &self.introduction;
        let next_due = (!self.is_out_of_use()).then(|| self.next_due(now));
        self.around.board.put_phone(PhoneOverview {
            name: self.name().unwrap_or_else(|| self.udid.to_string()),
            udid: self.udid.clone(),
            model: introduction.model.clone(),
            ios: introduction.ios.clone(),
            link: self.attached.borrow().as_ref().map(|attached| if attached.usb { Link::Usb } else { Link::Wifi }),
            // Where nobody looks for it on the network the phone's own setting decides nothing.
            wifi_allowed: self
                .vitals
                .as_ref()
                .and_then(|vitals| vitals.wifi_allowed)
                .filter(|_| self.around.config.network.wifi),
            activity,
            last_good: self.receipt.as_ref().map(Receipt::last_good),
            next_due: next_due.map(|due| due.at),
            next_due_reason: next_due.map(|due| due.reason),
            last_run,
            problems,
            turned_off: self.turned_off,
            earlier: self.earlier.clone(),
        });
    }

    /// As the settings have it, else as its owner has it.
    fn name(&self) -> Option<String> {
        let given = self.around.config.name_of(&self.udid).map(str::to_owned);
        given.or_else(|| self.introduction.name.clone())
    }

    fn activity(&self) -> Activity {
        let attempt = self.state.failures_in_a_row + 1;
        let is_only_held_back = self.state.held_back && self.state.failures_in_a_row == 0;
        match (&self.active, &self.state.doing) {
            (Some(Active { run, stage }), _) => match stage {
                Stage::Queued(waiting) => Activity::Queued { run: *run, place: Some(waiting.place()) },
                Stage::Next(_) => Activity::Queued { run: *run, place: Some(1) },
                Stage::Running(running) => Activity::Running { run: *run, progress: running.progress.borrow().clone() },
            },
            _ if !self.state.present => Activity::Away,
            // Nothing has failed: it is due, and said to be later.
            (None, Doing::RetryAt(_)) if is_only_held_back => Activity::Idle,
            (None, Doing::RetryAt(at)) => Activity::RetryAt { at: *at, attempt, attempts_max: ATTEMPTS_MAX },
            (None, Doing::WaitFor(condition)) => Activity::Waiting { until: *condition },
            (None, Doing::GaveUp(at)) => Activity::GaveUp { attempts: self.state.failures_in_a_row, next: *at },
            (None, Doing::NeedsPerson) => Activity::Blocked,
            (None, Doing::Nothing | Doing::Queued(_) | Doing::Run(_)) => Activity::Idle,
        }
    }
}
