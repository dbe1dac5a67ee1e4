//! iCloud Backup, as far as a computer sees it.

use std::sync::Mutex;

use super::value_of;
use crate::phone::{Event, Phone};

const DOMAIN: &str = "com.apple.mobile.backup";

#[derive(Default)]
pub(super) struct CloudSwitches {
    refusal: Mutex<Option<(i64, String)>>,
}

impl Phone {
    /// Ends `EnableCloudBackup` with this `ErrorCode` and `ErrorDescription`, as a profile does with 22.
    pub fn refuse_cloud_backup(&self, refusal: Option<(i64, &str)>) {
        *value_of(&self.switches().cloud.refusal) = refusal.map(|(code, text)| (code, text.to_owned()));
    }

    /// Switches iCloud Backup on or off, as the person does in Settings or a computer with `EnableCloudBackup`.
    pub fn set_cloud_backup(&self, on: bool) {
        self.set_lockdown_value(DOMAIN, "CloudBackupEnabled", Some(on.into()));
        self.tell(Event::CloudBackupSwitched { on });
    }

    pub(crate) fn cloud_backup_refusal(&self) -> Option<(i64, String)> {
        value_of(&self.switches().cloud.refusal).clone()
    }
}
