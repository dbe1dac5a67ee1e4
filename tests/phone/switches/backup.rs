//! What happens at a given moment of every backup, and which protocol the phone speaks.

use std::{sync::Mutex, time::Duration};

use super::value_of;
use crate::phone::Phone;

/// A moment of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The passcode was entered if it was asked for, nothing else has happened.
    BeforeFiles,
    /// The host's `Manifest.db` was downloaded, if it has one that the backup builds on; nothing was sent.
    AfterIndexDownload,
    /// The file of this number, from 0, in the order in which this backup sends them, is next.
    BeforeFile(usize),
    /// The batch of this number, from 0, was answered, and another one is next.
    BetweenBatches(usize),
    /// Every file was sent, `Manifest.db` is next.
    BeforeManifest,
    /// Both manifests were sent, moving everything into place is next.
    BeforeMoves,
    /// The message of moves of this number, from 0, was answered, and another one is next.
    BetweenMoves(usize),
    /// Everything is in place and `Snapshot` is gone, the phone looks at it next.
    BeforeJudgement,
}

/// What happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mishap {
    /// The backup ends with this `ErrorCode` and `ErrorDescription`.
    Error { code: i64, text: String },
    /// The phone closes the connection without a word.
    Closed,
    /// `DLMessageDisconnect` comes in place of the final status.
    Disconnect,
    /// Nothing is sent for this long (`Duration::MAX`: until the host or the cable ends it); then the backup goes on.
    Silence { for_time: Duration },
}

/// Which versions the phone has in common with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// Those of DeviceLink and of mobilebackup2.
    #[default]
    Common,
    /// None of DeviceLink: the host's `DLVersionsOk` is answered with `DLMessageDisconnect`.
    NoDeviceLink,
    /// None of mobilebackup2: `Hello` is answered with `ErrorCode` 1.
    NoProtocol,
}

#[derive(Default)]
pub(super) struct BackupSwitches {
    mishaps: Mutex<Vec<(Moment, Mishap)>>,
    versions: Mutex<Versions>,
}

impl Phone {
    /// Lets this happen in every backup, until [`Self::clear_mishaps`]. Several may be in force.
    pub fn during_backups(&self, moment: Moment, mishap: Mishap) {
        value_of(&self.switches().backup.mishaps).push((moment, mishap));
    }

    /// Backups go well again.
    pub fn clear_mishaps(&self) {
        value_of(&self.switches().backup.mishaps).clear();
    }

    pub(crate) fn mishaps_at(&self, moment: Moment) -> Vec<Mishap> {
        let mishaps = value_of(&self.switches().backup.mishaps);
        mishaps.iter().filter(|(at, _)| *at == moment).map(|(_, mishap)| mishap.clone()).collect()
    }

    /// Says which versions there are in common.
    pub fn set_versions(&self, versions: Versions) {
        *value_of(&self.switches().backup.versions) = versions;
    }

    pub(crate) fn versions(&self) -> Versions {
        *value_of(&self.switches().backup.versions)
    }
}
