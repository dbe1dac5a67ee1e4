//! When the next backup is due and may start, from the receipt and the clock.

use backstay_shared::overview::{Due, Timetable};
use chrono::{DateTime, Local, Utc};

use super::Actor;
use crate::{phone::state::Input, schedule::due::Known};

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

    /// The same when this happens: plugging the phone in may be a time of its own.
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
