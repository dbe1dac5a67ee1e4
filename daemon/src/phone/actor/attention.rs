//! What only shows over time: a cable that keeps dropping out, a file that always stops the backup, a phone that has
//! not been seen for days, a backup that crawls.

use std::{collections::VecDeque, time::Duration};

use backstay_shared::{
    health::{Failure, FailureId},
    overview::{Phase, Progress},
};
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::Actor;
use crate::{phone::vitals::Vitals, watch::Known};

/// So many contacts in so short a time are no person plugging it in. Our own threshold.
const CONTACTS: usize = 4;
const CONTACTS_WITHIN: Duration = Duration::from_secs(5 * 60);

/// So many backups in a row that the cable broke.
const DROPS: usize = 2;
const DROPS_WITHIN: Duration = Duration::from_secs(3600);

/// A phone forgets a computer that it has not seen for so long. Source: Apple Platform Security, pairing model.
const PAIRING_LASTS_DAYS: i64 = 30;

/// Slower than any cable, and than Wi-Fi in the same room.
const SLOW_BYTES_PER_SECOND: u64 = 1_000_000;

/// What is known of Apple's side, always looked at together.
const APPLE: [FailureId; 5] = [
    FailureId::AppleServiceOutage,
    FailureId::AppleStatusUnknown,
    FailureId::IcloudBackupOff,
    FailureId::IcloudBackupStale,
    FailureId::IosOutdated,
];

/// What is remembered for it.
#[derive(Debug, Default)]
pub(super) struct Attention {
    contacts: VecDeque<Instant>,
    drops: VecDeque<Instant>,
    /// Where the service on the phone died last, in files received, and how often in a row.
    died_at: Option<(u64, u64)>,
    /// The failure of the last run, and since when it has been that one.
    failing: Option<(FailureId, DateTime<Utc>)>,
    slow_since: Option<Instant>,
}

impl Attention {
    /// It came; the cable, when it came too often.
    pub(super) fn came(&mut self, now: Instant) -> Option<Failure> {
        let times = remember(&mut self.contacts, now, CONTACTS_WITHIN);
        (times >= CONTACTS).then(|| faulty_cable(times))
    }

    /// A backup broke with the cable; the cable, when that keeps happening.
    pub(super) fn dropped(&mut self, now: Instant) -> Option<Failure> {
        let times = remember(&mut self.drops, now, DROPS_WITHIN);
        (times >= DROPS).then(|| faulty_cable(times))
    }

    /// A failure that means something else when it has happened before.
    pub(super) fn in_the_light_of_history(
        &mut self,
        failure: Failure,
        last_contact: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Failure {
        let failure = match failure.id {
            FailureId::DeviceAgentDied => self.died(failure),
            FailureId::PairingLost => expired(failure, last_contact, now),
            _ => {
                self.died_at = None;
                failure
            }
        };
        if self.failing.is_none_or(|(id, _)| id != failure.id) {
            self.failing = Some((failure.id, now));
        }
        failure
    }

    /// The service died; at the same place as the last time it is a file that kills it.
    fn died(&mut self, failure: Failure) -> Failure {
        let place = failure.evidence.files.unwrap_or(0);
        let times = match self.died_at {
            Some((at, times)) if at == place && place > 0 => times + 1,
            _ => 1,
        };
        self.died_at = Some((place, times));
        if times < 2 {
            return failure;
        }
        let mut failure = Failure { id: FailureId::DeviceFileBreaksBackup, ..failure };
        failure.evidence.times = Some(times);
        failure
    }

    /// Since when runs have been failing for this reason.
    pub(super) fn since(&self, id: FailureId, now: DateTime<Utc>) -> DateTime<Utc> {
        self.failing.filter(|(failing, _)| *failing == id).map_or(now, |(_, since)| since)
    }

    pub(super) fn succeeded(&mut self) {
        (self.died_at, self.failing, self.slow_since) = (None, None, None);
        self.drops.clear();
    }

    /// How slow it has been for so long; none when it is not.
    fn slow(&mut self, progress: Option<&Progress>, after: Duration, now: Instant) -> Option<u64> {
        let transferring = progress.filter(|progress| progress.phase == Phase::Transferring);
        match transferring.and_then(|progress| progress.bytes_per_second) {
            Some(rate) if rate < SLOW_BYTES_PER_SECOND => {
                let since = *self.slow_since.get_or_insert(now);
                (now - since >= after).then_some(rate)
            }
            _ => {
                self.slow_since = None;
                None
            }
        }
    }
}

fn remember(times: &mut VecDeque<Instant>, now: Instant, within: Duration) -> usize {
    times.push_back(now);
    times.retain(|at| now - *at <= within);
    times.len()
}

fn faulty_cable(times: usize) -> Failure {
    let mut failure = Failure::from(FailureId::CableFaulty);
    failure.evidence.times = u64::try_from(times).ok();
    failure
}

fn expired(failure: Failure, last_contact: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Failure {
    match last_contact.map(|at| (now - at).num_days()) {
        Some(days) if days >= PAIRING_LASTS_DAYS => {
            let mut failure = Failure { id: FailureId::PairingExpired, ..failure };
            failure.evidence.days = u64::try_from(days).ok();
            failure
        }
        _ => failure,
    }
}

impl Actor {
    /// When the phone and this computer last understood each other, as far as it is on record.
    pub(super) fn last_contact(&self) -> Option<DateTime<Utc>> {
        self.receipt.as_ref().map(|receipt| receipt.verified_at)
    }

    /// How the phone is, newly learned.
    pub(super) fn learn(&mut self, vitals: Vitals) {
        let known = Known { model: self.introduction.model.clone(), icloud_backup: vitals.icloud.on == Some(true) };
        self.around.apple.phone(&self.udid, known);
        self.vitals = Some(vitals);
        self.look_at_apple(Utc::now());
    }

    /// iCloud and the newest iOS: worth knowing, and never in the way of a backup.
    fn look_at_apple(&mut self, now: DateTime<Utc>) {
        let icloud = self.vitals.as_ref().map(|vitals| &vitals.icloud);
        let (model, ios) = (self.introduction.model.as_deref(), self.introduction.ios.as_deref());
        let mut found = self.around.apple.of_phone(model, ios, icloud);
        for id in APPLE {
            let failure = found.iter().position(|failure| failure.id == id).map(|index| found.swap_remove(index));
            self.problems.set(id, failure, now);
        }
    }

    /// What no event reports.
    pub(super) fn check_itself(&mut self) {
        self.around.clock.look();
        self.checked_at = Instant::now();
        let now = Utc::now();
        self.problems.set(FailureId::BackupOverdue, self.overdue(now), now);
        self.look_at_apple(now);
        let progress = self.progress();
        let usb = self.attached.borrow().as_ref().is_none_or(|attached| attached.usb);
        let (slow, other) = match usb {
            true => (FailureId::BackupSlow, FailureId::WifiWeak),
            false => (FailureId::WifiWeak, FailureId::BackupSlow),
        };
        let after = self.backup.slow_minutes.duration();
        let rate = self.attention.slow(progress.as_ref(), after, Instant::now()).map(|rate| {
            let mut failure = Failure::from(slow);
            failure.evidence.bytes_per_second = Some(rate);
            failure.evidence.seconds = progress.and_then(|progress| progress.seconds_left);
            failure
        });
        // A link that no backup begins over is told until one does.
        if self.raised_by_run != Some(slow) || self.active.is_some() {
            self.problems.set(slow, rate, now);
        }
        self.problems.clear(other);
    }

    fn overdue(&self, now: DateTime<Utc>) -> Option<Failure> {
        let overdue = self.overdue_since(now)?;
        let mut failure = Failure::from(FailureId::BackupOverdue);
        // Where there is no backup nothing is old.
        if overdue.a_backup_was_made {
            failure.evidence.days = u64::try_from((now - overdue.since).num_days()).ok();
        }
        Some(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn died(files: u64) -> Failure {
        let mut failure = Failure::from(FailureId::DeviceAgentDied);
        failure.evidence.files = Some(files);
        failure
    }

    #[test]
    fn a_file_that_always_stops_it_is_told() {
        let mut attention = Attention::default();
        let now = Utc::now();
        let mut ids = Vec::new();
        for failure in
            [died(7), died(9), died(9), died(9), FailureId::UsbDisconnected.into(), died(9), died(0), died(0)]
        {
            ids.push(attention.in_the_light_of_history(failure, None, now).id);
        }
        use FailureId::{DeviceAgentDied as Died, DeviceFileBreaksBackup as Breaks, UsbDisconnected as Cable};
        assert_eq!(ids, [Died, Died, Breaks, Breaks, Cable, Died, Died, Died]);
    }

    #[test]
    fn a_pairing_lost_after_a_month_has_expired() {
        let now = Utc::now();
        for (days, id) in [(1, FailureId::PairingLost), (31, FailureId::PairingExpired)] {
            let last = now - chrono::Duration::days(days);
            let mut attention = Attention::default();
            let failure = attention.in_the_light_of_history(FailureId::PairingLost.into(), Some(last), now);
            assert_eq!(failure.id, id, "{days} days");
        }
    }

    #[test]
    fn contacts_in_quick_succession_are_the_cable() {
        let mut attention = Attention::default();
        let start = Instant::now();
        let faulty = |attention: &mut Attention, seconds| {
            attention.came(start + Duration::from_secs(seconds)).and_then(|failure| failure.evidence.times)
        };
        assert_eq!([0, 100, 200].map(|at| faulty(&mut attention, at)), [None; 3]);
        assert_eq!(faulty(&mut attention, 250), Some(4));
        assert_eq!(faulty(&mut attention, 3000), None, "that was long ago");
    }

    #[test]
    fn slow_is_slow_for_a_while() {
        let mut attention = Attention::default();
        let at = |rate, phase| Progress { phase, bytes_per_second: rate, ..Progress::start() };
        let slow = at(Some(200_000), Phase::Transferring);
        let start = Instant::now();
        let mut look = |progress: &Progress, seconds| {
            attention.slow(Some(progress), Duration::from_secs(600), start + Duration::from_secs(seconds))
        };
        assert_eq!(look(&slow, 0), None);
        assert_eq!(look(&slow, 599), None);
        assert_eq!(look(&slow, 600), Some(200_000));
        assert_eq!(look(&at(Some(20_000_000), Phase::Transferring), 601), None);
        assert_eq!(look(&slow, 602), None, "it begins anew");
        assert_eq!(look(&at(None, Phase::Verifying), 9000), None);
    }
}
