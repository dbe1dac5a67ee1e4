//! What a run that ended leaves behind: what is told, what is over, and when the next one may come.

use backstay_shared::health::FailureId;
use chrono::Utc;
use tokio::time::Instant;

use super::Actor;
use crate::{
    phone::{facts::Introduction, run::Ended, state::Input},
    schedule::retry::{self, Circumstances},
    vault::receipt::Receipt,
};

impl Actor {
    /// There is a new good backup, whoever made it: what was wrong before is over.
    pub(super) fn backed_up(&mut self, receipt: Receipt) {
        self.problems.retain(|id| id == FailureId::TrustPending || !is_over_with_a_backup(id));
        if let Some(warning) = &receipt.warning {
            self.problems.raise(warning, Utc::now());
        }
        self.receipt = Some(receipt);
    }

    pub(super) fn ended(&mut self, mut ended: Ended) {
        let now = Utc::now();
        self.active = None;
        if let Some(facts) = &ended.checked.facts {
            self.introduction.learn(Introduction::from(facts));
        }
        if let Some(vitals) = ended.checked.vitals.take() {
            self.learn(vitals);
        }
        let hindered = ended.checked.hindered;
        if !hindered {
            let last_contact = self.last_contact();
            ended.result =
                ended.result.map_err(|failure| self.attention.in_the_light_of_history(failure, last_contact, now));
        }
        let waits_quietly = hindered && ended.result.as_ref().is_err_and(|failure| is_no_failure(failure.id));
        match &ended.result {
            Ok(receipt) => {
                tracing::info!(udid = %self.udid, run = %ended.run, files = ended.files_received, "backed up and verified");
                self.backed_up(receipt.clone());
                self.attention.succeeded();
            }
            // A wait that takes too long is told as overdue.
            Err(failure) if waits_quietly => tracing::info!(udid = %self.udid, %failure, "due, and waits"),
            Err(failure) => {
                tracing::warn!(udid = %self.udid, run = %ended.run, %failure, "a backup failed");
                // The latest news of why there is no backup replaces the older.
                if let Some(older) = self.raised_by_run.replace(failure.id).filter(|older| *older != failure.id) {
                    self.problems.clear(older);
                }
                self.problems.raise_since(failure, self.attention.since(failure.id, now));
                // It is the computer's trouble, and told once, however many phones wait for it.
                if failure.id == FailureId::BackupDriveMissing {
                    self.around.board.raise(failure);
                }
                if failure.id == FailureId::UsbDisconnected
                    && let Some(faulty) = self.attention.dropped(Instant::now())
                {
                    self.problems.raise(&faulty, now);
                }
            }
        }
        for id in [FailureId::HostDiskLow, FailureId::DeviceStorageLow] {
            let notice = ended.checked.notices.iter().find(|notice| notice.id == id);
            if ended.checked.facts.is_some() {
                self.problems.set(id, notice.cloned(), now);
            }
        }
        if !waits_quietly {
            self.last_run = Some(ended.told());
        }
        let next = ended.result.as_ref().err().map(|failure| {
            let seen = Circumstances {
                failures_in_a_row: self.state.failures_in_a_row + u32::from(!hindered),
                before_it_began: hindered,
                passcode_asked: ended.passcode_asked,
                jitter: jitter(),
            };
            retry::next(failure.id, &seen)
        });
        let anew = ended.result.as_ref().is_err_and(|failure| retry::brings_all_anew(failure.id));
        self.act(Input::Ended { run: ended.run, next, anew, before_it_began: hindered });
    }
}

/// Seen beforehand, these are no failure of anything: it waits for a moment in which somebody can type the passcode, or
/// for the power that a person wants it to wait for.
const fn is_no_failure(id: FailureId) -> bool {
    matches!(id, FailureId::DeviceLocked | FailureId::DeviceNotCharging)
}

/// True for what stood in the way of a backup; what is known of iCloud and of nearly full disks has news of its own.
const fn is_over_with_a_backup(id: FailureId) -> bool {
    use FailureId::{
        AppleServiceOutage, AppleStatusUnknown, DeviceStorageLow, HostDiskLow, IcloudBackupOff, IcloudBackupStale,
        IosOutdated, TrustPending,
    };
    !matches!(
        id,
        TrustPending
            | HostDiskLow
            | DeviceStorageLow
            | IcloudBackupOff
            | IcloudBackupStale
            | IosOutdated
            | AppleServiceOutage
            | AppleStatusUnknown
    )
}

/// 0 to 1, different on every computer and at every time.
fn jitter() -> f64 {
    f64::from(Utc::now().timestamp_subsec_micros() % 1000) / 1000.0
}
