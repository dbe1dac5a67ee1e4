//! Facts that are several values of lockdownd each.

use crate::phone::Phone;

const BATTERY: &str = "com.apple.mobile.battery";
const DISK_USAGE: &str = "com.apple.disk_usage";

impl Phone {
    /// Charges or drains the battery to this percentage, on or off power.
    pub fn set_battery(&self, percent: u8, on_power: bool) {
        let values = [
            ("BatteryCurrentCapacity", u64::from(percent).into()),
            ("BatteryIsCharging", (on_power && percent < 100).into()),
            ("ExternalChargeCapable", on_power.into()),
            ("ExternalConnected", on_power.into()),
            ("FullyCharged", (percent == 100).into()),
        ];
        for (key, value) in values {
            self.set_lockdown_value(BATTERY, key, Some(value));
        }
    }

    /// Fills the phone's storage until this many bytes are free, as apps see it (`AmountDataAvailable`) and as a
    /// restore does.
    pub fn set_free_space(&self, bytes: u64) {
        for key in ["AmountDataAvailable", "AmountRestoreAvailable", "TotalDataAvailable"] {
            self.set_lockdown_value(DISK_USAGE, key, Some(bytes.into()));
        }
    }
}
