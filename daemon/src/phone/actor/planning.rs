//! When the next backup is due and may start, from the receipt, the clock, and what the last run left to be done.

use backstay_shared::{
    health::FailureId,
    overview::{Due, DueReason, First, Timetable},
    zone::Zone,
};
use chrono::{DateTime, Utc};

use super::Actor;
use crate::{
    phone::{
        run::new_run_id,
        state::{Doing, Facts, Input},
    },
    schedule::due::{Known, Overdue},
    vault::{layout::Layout, receipt},
};

/// So many of the next times are told.
const TOLD_TIMES: usize = 10;

impl Actor {
    fn known(&self, now: DateTime<Utc>) -> Known {
        Known {
            now,
            last_good: self.receipt.as_ref().map(|receipt| receipt.verified_at),
            known_since: self.known_since,
            paused: *self.around.paused.borrow(),
            settled_from: self.around.clock.settled_from(),
        }
    }

    /// Since when or from when on a backup is due.
    pub(super) fn due(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.plan.due(&self.known(now), self.zone()).at
    }

    /// What a decision depends on now.
    pub(super) fn facts(&self, now: DateTime<Utc>) -> Facts {
        Facts {
            now,
            due: self.due(now),
            due_on_connect: self.plan.due_on_connect(&self.known(now)),
            allowed_from: self.allowed_from(now),
            held: self.is_held(now),
            fresh_run: new_run_id(),
        }
    }

    /// When it is due if this happens: plugging the phone in may be a time of its own.
    pub(super) fn due_at(&self, input: &Input, now: DateTime<Utc>) -> DateTime<Utc> {
        let due = self.due(now);
        match self.plan.due_on_connect(&self.known(now)) {
            Some(on_connect) if self.state.by_connecting || *input == (Input::Attached { by_a_person: true }) => {
                due.min(on_connect)
            }
            _ => due,
        }
    }

    /// From when on a backup may start by itself.
    pub(super) fn allowed_from(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.around.held {
            _ if self.turned_off => None,
            Some(_) => None,
            None => self.plan.allowed_from(&self.known(now), self.zone()),
        }
    }

    /// Nothing starts by itself, for another reason than the hours.
    fn is_held(&self, now: DateTime<Utc>) -> bool {
        let known = self.known(now);
        let is_paused = known.paused.is_some_and(|pause| pause.until.is_none_or(|until| until > now));
        self.turned_off || self.around.held.is_some() || is_paused || known.settled_from.is_some()
    }

    /// What is owed, as late as the hours, a pause or the clock let it start; none until a person resumes.
    fn held_up(&self, owed: Due, known: &Known) -> Option<Due> {
        let at_any_hour = self.state.asked && !self.is_held(known.now);
        if at_any_hour { Some(owed) } else { self.plan.held_up(owed, known, self.zone()) }
    }

    /// The zone of the local times in the settings.
    const fn zone(&self) -> &Zone {
        &self.backup.time_zone
    }

    /// Since when there is no backup as recent as was planned, from the receipts on disk and the clock alone, so that nothing
    /// that fails to run can hide it. None when all is well.
    pub(super) fn overdue_since(&self, now: DateTime<Utc>) -> Option<Overdue> {
        let mut known = self.known(now);
        if self.is_out_of_use() || known.settled_from.is_some() {
            return None;
        }
        if known.last_good.is_some_and(|good| !known.can_be(good)) {
            // Made while the clock was wrong: then the last one before counts.
            let receipts = receipt::all(&Layout::new(&self.around.root, &self.udid)).unwrap_or_default();
            known.last_good = receipts.iter().map(|receipt| receipt.verified_at).filter(|at| known.can_be(*at)).max();
        }
        self.plan.overdue_since(&known, self.backup.overdue_days.duration(), self.zone())
    }

    /// When it is due or tried again, or as late as the hours, a pause or the clock let it start.
    pub(super) fn next_due(&self, now: DateTime<Utc>) -> Due {
        let known = self.known(now);
        let owed = self.owed(&known);
        self.held_up(owed, &known).unwrap_or(owed)
    }

    /// What is due by the schedule, unless a run that ended otherwise left a time of its own.
    fn owed(&self, known: &Known) -> Due {
        let due = self.plan.due(known, self.zone());
        let due = match self.plan.due_on_connect(known) {
            Some(at) if self.state.by_connecting && at < due.at => Due { at, reason: DueReason::Connected },
            _ => due,
        };
        match self.state.doing {
            // It is the hours, a pause or the clock alone that it waits for.
            Doing::RetryAt(_) if self.state.held_back && due.at <= known.now => due,
            Doing::RetryAt(at) if self.was_cancelled() => Due { at, reason: DueReason::Cancelled },
            Doing::RetryAt(at) => Due { at, reason: DueReason::Retry },
            Doing::GaveUp(at) => Due { at, reason: DueReason::GaveUp { attempts: self.state.failures_in_a_row } },
            // What is on it can't be known.
            _ if due.reason == DueReason::FirstBackup && self.around.board.has(FailureId::BackupDriveMissing) => {
                Due { reason: DueReason::DriveAway, ..due }
            }
            _ => due,
        }
    }

    fn was_cancelled(&self) -> bool {
        let failure = self.last_run.as_ref().and_then(|run| run.failure.as_ref()).map(|failure| failure.id);
        !self.state.held_back && matches!(failure, Some(FailureId::CancelledByUser | FailureId::CancelledOnDevice))
    }

    pub(super) fn timetable(&self, now: DateTime<Utc>) -> Timetable {
        let settings = &self.backup;
        let known = self.known(now);
        let held = self.around.held.is_some() || self.is_out_of_use();
        let first = match self.state.doing {
            _ if held => None,
            Doing::WaitFor(condition) => Some(First::Until { condition }),
            Doing::NeedsPerson => Some(First::Person),
            Doing::Queued(_) => Some(First::Turn),
            Doing::Run(_) => Some(First::UnderWay),
            _ => None,
        };
        let times = |known: &Known, owed: Due, count| {
            self.plan.timetable(self.plan.held_up(owed, known, self.zone()), known, self.zone(), count)
        };
        // As if the one that runs or waits were made now.
        let after = known.once_made(now);
        let next = || self.plan.due(&after, self.zone());
        Timetable {
            times: match self.state.doing {
                _ if held => Vec::new(),
                // No time starts it.
                Doing::NeedsPerson => Vec::new(),
                Doing::WaitFor(_) | Doing::Queued(_) | Doing::Run(_) => times(&after, next(), TOLD_TIMES - 1),
                Doing::Nothing | Doing::RetryAt(_) | Doing::GaveUp(_) => {
                    let first = self.held_up(self.owed(&known), &known);
                    self.plan.timetable(first, &known, self.zone(), TOLD_TIMES)
                }
            },
            first,
            time_zone: self.zone().name().map(str::to_owned),
            on_connect_hours: settings.on_connect_hours.map(|hours| hours.number()),
            only_when_charging: settings.only_when_charging,
        }
    }
}
