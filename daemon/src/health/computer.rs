//! What is wrong with this computer, looked for now and then: a drive that is away while nothing runs, a phone on the
//! bus that usbmuxd can't show, a clock that was set.

use std::{path::PathBuf, time::Duration};

use backstay_shared::health::{Failure, FailureId};

use crate::{
    host::{
        clock::ClockWatch,
        usb_bus::{self, Mode},
    },
    ipc::board::Board,
    vault::roots::KnownRoots,
};

/// Nobody waits for the news of a drive that nobody uses.
const EVERY: Duration = Duration::from_secs(60);

/// Whoever mends it wants to see that it is mended.
const EVERY_WHILE_TOLD: Duration = Duration::from_secs(3);

/// What is looked at, and where it is told.
#[derive(Debug, Clone)]
pub struct Computer {
    /// Where it is told.
    pub board: Board,
    /// Where backups go.
    pub root: PathBuf,
    /// Folders that held backups before.
    pub known_roots: KnownRoots,
    /// The clock.
    pub clock: ClockWatch,
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
                self.board.set(id, failure);
            }
            tokio::time::sleep(if told { EVERY_WHILE_TOLD } else { EVERY }).await;
        }
    }

    fn drive(&self) -> Option<Failure> {
        self.known_roots.is_missing(&self.root).then(|| Failure::from(FailureId::BackupDriveMissing).path(&self.root))
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
