//! Failures that no row can raise, each with its reason.

use backstay_shared::health::FailureId::{self, *};

const NETWORK: &str = "needs a network; `tests/it/wifi.rs` makes one and has it happen";
const LOG_OF_THE_IPHONE: &str = "is only on the iPhone's own log, no computer sees it";

pub(crate) const REASONS: &[(FailureId, &str)] = &[
    (SetupNeeded, "is told before there are any settings; `tests/it/first_run.rs` has it"),
    (HostAsleep, "needs a computer that sleeps; `loss::by_sleep` has a test of its own"),
    (DeviceBackupBusy, "is reported after three minutes; `tests/it/conversation/causes.rs` lets them pass"),
    (DeviceNotCharging, "is a wait that a person wants, and told of nobody; `tests/it/causes/schedule.rs` has it"),
    (DeviceRecoveryMode, "needs an iPhone on a USB bus; `usb_bus` has a test of its own"),
    (AppleStatusUnknown, "is told after 45 minutes without an answer; `tests/it/watch.rs` lets them pass"),
    (UsbAccessoryBlocked, "shows no iPhone to any program of the computer; it is a hint among the steps of others"),
    (UsbDriverMissing, "happens on Windows only"),
    (WifiDeviceNotFound, NETWORK),
    (WifiDeviceAsleep, NETWORK),
    (WifiDifferentNetwork, NETWORK),
    (WifiFirewallBlocked, NETWORK),
    (WifiBackupOff, "is said of a phone that is not reached; `phone/wifi.rs` has a test of its own"),
    (WifiNeedsUnlock, "happens in `tests/it/wifi.rs`"),
    (HostOffline, NETWORK),
    (ExtractDiskFull, "needs another full disk than that of the backups; `tests/it/taking_out.rs` has one"),
    (BackupPasswordForgotten, "is what a person says, not what a program sees"),
    (
        BackupStalledLargeIndex,
        "needs an index of more than 1 GB; the transfer sends it in small pieces, which avoids it",
    ),
    (IcloudBackupBlockedByMdm, LOG_OF_THE_IPHONE),
    (ScreenTimeRestrictions, LOG_OF_THE_IPHONE),
    (StolenDeviceProtectionDelay, LOG_OF_THE_IPHONE),
];
