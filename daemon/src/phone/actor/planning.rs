//! When the next backup is due and may start, from the receipt and the clock.

use backstay_shared::overview::{Due, Timetable};
use chrono::{DateTime, Local, Utc};

use super::Actor;
use crate::{
    phone::{
        run::new_run_id,
        state::{Facts, Input},
    },
    schedule::due::Known,
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
        self.plan.due(&self.known(now), &Local).at
    }

    /// What a decision depends on now.
    pub(super) fn facts(&self, now: DateTime<Utc>) -> Facts {
        Facts {
            now,
            due: self.due(now),
            due_on_connect: self.plan.due_on_connect(&self.known(now)),
            allowed_from: self.allowed_from(now),
            fresh_run: new_run_id(),
        }
    }

    /// When it is due if this happens: plugging the phone in may be a time of its own.
    pub(super) fn due_at(&self, input: &Input, now: DateTime<Utc>) -> DateTime<Utc> {
        let due = self.due(now);
        match input {
            Input::Attached { by_a_person: true } => {
                self.plan.due_on_connect(&self.known(now)).map_or(due, |on_connect| due.min(on_connect))
            }
            _ => due,
        }
    }

    /// From when on a backup may start by itself.
    pub(super) fn allowed_from(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.around.held {
            _ if self.turned_off => None,
            Some(_) => None,
            None => self.plan.allowed_from(&self.known(now), &Local),
        }
    }

    /// Since when there is no backup as recent as was planned, from the receipts on disk and the clock alone, so that nothing
    /// that fails to run can hide it. None when all is well.
    pub(super) fn overdue_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut known = self.known(now);
        if self.is_out_of_use() || known.settled_from.is_some() {
            return None;
        }
        if known.last_good.is_some_and(|good| !known.can_be(good)) {
            // Made while the clock was wrong: then the last one before counts.
            let receipts = receipt::all(&Layout::new(&self.around.root, &self.udid)).unwrap_or_default();
            known.last_good = receipts.iter().map(|receipt| receipt.verified_at).filter(|at| known.can_be(*at)).max();
        }
        self.plan.overdue_since(&known, self.backup.overdue_days.duration(), &Local)
    }

    /// When it is due, or as late as the hours, a pause or the clock let it start.
    pub(super) fn next_due(&self, now: DateTime<Utc>) -> Due {
        let known = self.known(now);
        self.plan.next(&known, &Local).unwrap_or_else(|| self.plan.due(&known, &Local))
    }

    pub(super) fn timetable(&self, now: DateTime<Utc>) -> Timetable {
        let settings = &self.backup;
        Timetable {
            times: match self.around.held {
                _ if self.is_out_of_use() => Vec::new(),
                Some(_) => Vec::new(),
                None => self.plan.timetable(&self.known(now), &Local, TOLD_TIMES),
            },
            on_connect_hours: settings.on_connect_hours.map(|hours| hours.number()),
            only_when_charging: settings.only_when_charging,
        }
    }
}
