//! What is wrong with this computer, looked for now and then: a drive that is away while nothing runs, a phone in recovery
//! mode on the bus, a clock that was set. Quiet hours begin and end here too.

use std::{path::PathBuf, time::Duration};

use backstay_shared::{
    config::Notify,
    health::{Failure, FailureId},
    overview::Problem,
};
use chrono::{DateTime, Local, Utc};

use crate::{
    host::{
        clock::ClockWatch,
        usb_bus::{self, Mode},
    },
    ipc::board::Board,
    phone::phones::Phones,
    vault::roots::KnownRoots,
};

/// Nobody waits for the news of a drive that nobody uses. Looked at as a minute begins, since quiet hours end then.
const EVERY_MILLISECONDS: i64 = 60_000;

/// Whoever mends it wants to see that it is mended.
const EVERY_WHILE_TOLD: Duration = Duration::from_secs(3);

/// What is looked at, and where it is told.
#[derive(Debug, Clone)]
pub struct Computer {
    /// Where it is told.
    pub board: Board,
    /// Who waits for the drive.
    pub phones: Phones,
    /// Where backups go.
    pub root: PathBuf,
    /// Folders that held backups before.
    pub known_roots: KnownRoots,
    /// The clock.
    pub clock: ClockWatch,
    /// When nothing is to pop up.
    pub notify: Notify,
}

impl Computer {
    /// Looks for ever.
    pub async fn watch(self) {
        loop {
            self.clock.look();
            let this = self.clone();
            // A disk that sleeps takes seconds to answer.
            let looked = tokio::task::spawn_blocking(move || [this.drive(), this.recovery()]).await;
            let Ok(found) = looked else { return };
            let mut told = false;
            for (id, failure) in [FailureId::BackupDriveMissing, FailureId::DeviceRecoveryMode].into_iter().zip(found) {
                told |= failure.is_some();
                let is_back = failure.is_none() && id == FailureId::BackupDriveMissing && self.board.has(id);
                if is_back {
                    // Before it is taken back here, where it stands in front of what the phones say.
                    self.phones.remember_all();
                    self.phones.drive_is_back().await;
                }
                self.board.set(id, failure);
            }
            if told {
                tokio::time::sleep(EVERY_WHILE_TOLD).await;
            } else {
                // A backup may miss the drive before this does.
                let missed = async {
                    let told = |problem: &Problem| problem.id == FailureId::BackupDriveMissing;
                    let mut shown = self.board.subscribe();
                    // The board ends only with the daemon.
                    drop(shown.wait_for(|shown| shown.overview.problems.iter().any(told)).await);
                    tokio::time::sleep(EVERY_WHILE_TOLD).await;
                };
                tokio::select! {
                    () = missed => {}
                    () = tokio::time::sleep(until_next_look(Utc::now())) => {}
                }
            }
        }
    }

    /// Follows the quiet hours for ever, whatever the disks do.
    pub async fn keep_quiet_hours(self) {
        loop {
            self.board.put_quiet(self.notify.is_quiet(Utc::now(), &Local));
            tokio::time::sleep(until_next_look(Utc::now())).await;
        }
    }

    fn drive(&self) -> Option<Failure> {
        let missed = self.board.has(FailureId::BackupDriveMissing) && !self.known_roots.is_ready(&self.root);
        let is_missing = missed || self.known_roots.is_missing(&self.root);
        is_missing.then(|| Failure::from(FailureId::BackupDriveMissing).path(&self.root))
    }

    fn recovery(&self) -> Option<Failure> {
        let devices = usb_bus::apple_devices(usb_bus::SYSFS.as_ref());
        let mode = devices.iter().find_map(|device| match device.mode {
            Mode::Normal => None,
            Mode::Recovery => Some("recovery mode"),
            Mode::Dfu => Some("DFU mode"),
        });
        mode.map(|mode| Failure::from(FailureId::DeviceRecoveryMode).text(mode))
    }
}

fn until_next_look(now: DateTime<Utc>) -> Duration {
    let into_this_minute = now.timestamp_millis().rem_euclid(EVERY_MILLISECONDS);
    Duration::from_millis((EVERY_MILLISECONDS - into_this_minute).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_as_a_minute_begins() {
        for (now, milliseconds) in [
            ("2026-11-25T21:59:00Z", 60_000),
            ("2026-11-25T21:59:00.001Z", 59_999),
            ("2026-11-25T21:59:59.999Z", 1),
            ("1969-12-31T23:59:59Z", 1000),
        ] {
            assert_eq!(until_next_look(now.parse().unwrap()), Duration::from_millis(milliseconds), "{now}");
        }
    }
}
