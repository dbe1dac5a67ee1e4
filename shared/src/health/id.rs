//! The ids of the failure catalogue, as a type.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! failure_ids {
    ($($variant:ident = $slug:literal,)*) => {
        /// A failure of the catalogue. The texts are in `failures.toml`, see [`super::catalogue`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum FailureId {
            $(#[doc = concat!("`", $slug, "`")] #[serde(rename = $slug)] $variant,)*
        }

        impl FailureId {
            /// Every id, in the order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name that scripts, logs and `--json` carry.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }
        }
    };
}

failure_ids! {
    HostDiskFull = "host-disk-full",
    HostDiskLow = "host-disk-low",
    HostQuotaExceeded = "host-quota-exceeded",
    HostWriteDenied = "host-write-denied",
    BackupDriveMissing = "backup-drive-missing",
    HostIoError = "host-io-error",
    HostFileLimit = "host-file-limit",
    HostAsleep = "host-asleep",
    BackupInProgressElsewhere = "backup-in-progress-elsewhere",
    HostSoftwareOutdated = "host-software-outdated",
    ConfigInvalid = "config-invalid",
    SetupNeeded = "setup-needed",
    DeviceLocked = "device-locked",
    DeviceNotUnlockedSinceRestart = "device-not-unlocked-since-restart",
    PasscodeNeeded = "passcode-needed",
    PasscodeNotEntered = "passcode-not-entered",
    DeviceStorageFull = "device-storage-full",
    DeviceStorageLow = "device-storage-low",
    DeviceSetupUnfinished = "device-setup-unfinished",
    DeviceNotActivated = "device-not-activated",
    DeviceRestoringIcloud = "device-restoring-icloud",
    DeviceSnapshotStuck = "device-snapshot-stuck",
    DeviceBatteryLow = "device-battery-low",
    DeviceNotCharging = "device-not-charging",
    DeviceIoError = "device-io-error",
    DeviceFilesUnreadable = "device-files-unreadable",
    DeviceFileBreaksBackup = "device-file-breaks-backup",
    DeviceKeychainError = "device-keychain-error",
    BackupKeyMissing = "backup-key-missing",
    DeviceInternalError = "device-internal-error",
    DeviceAgentDied = "device-agent-died",
    DeviceBackupBusy = "device-backup-busy",
    DeviceDataRefused = "device-data-refused",
    CancelledByUser = "cancelled-by-user",
    CancelledOnDevice = "cancelled-on-device",
    FilesChangedDuringBackup = "files-changed-during-backup",
    ProtocolVersionMismatch = "protocol-version-mismatch",
    IosOutdated = "ios-outdated",
    DeviceRecoveryMode = "device-recovery-mode",
    TrustPending = "trust-pending",
    TrustDenied = "trust-denied",
    PairingLost = "pairing-lost",
    PairingExpired = "pairing-expired",
    PairingNeedsCable = "pairing-needs-cable",
    PairRecordSaveFailed = "pair-record-save-failed",
    MdmDisallowsPairing = "mdm-disallows-pairing",
    BackupBlockedByOrganisation = "backup-blocked-by-organisation",
    SecureConnectionFailed = "secure-connection-failed",
    SessionLost = "session-lost",
    BackupServiceUnavailable = "backup-service-unavailable",
    LockdownRequestRefused = "lockdown-request-refused",
    FindMyBlocksRestore = "find-my-blocks-restore",
    DeviceNotFound = "device-not-found",
    CableFaulty = "cable-faulty",
    UsbDisconnected = "usb-disconnected",
    UsbAccessoryBlocked = "usb-accessory-blocked",
    UsbmuxdNotRunning = "usbmuxd-not-running",
    UsbmuxdPermissionDenied = "usbmuxd-permission-denied",
    UsbmuxdRefused = "usbmuxd-refused",
    UsbDriverMissing = "usb-driver-missing",
    WifiLost = "wifi-lost",
    WifiDeviceNotFound = "wifi-device-not-found",
    WifiBackupOff = "wifi-backup-off",
    WifiHeartbeatLost = "wifi-heartbeat-lost",
    WifiDeviceAsleep = "wifi-device-asleep",
    WifiDifferentNetwork = "wifi-different-network",
    WifiFirewallBlocked = "wifi-firewall-blocked",
    WifiNeedsUnlock = "wifi-needs-unlock",
    WifiWeak = "wifi-weak",
    HostOffline = "host-offline",
    BackupPasswordMissing = "backup-password-missing",
    KeyringUnavailable = "keyring-unavailable",
    EncryptionRequired = "encryption-required",
    BackupPasswordWrong = "backup-password-wrong",
    BackupPasswordForgotten = "backup-password-forgotten",
    BackupPasswordChanged = "backup-password-changed",
    BackupNotEncrypted = "backup-not-encrypted",
    ManifestCorrupt = "manifest-corrupt",
    BackupStatusUnreadable = "backup-status-unreadable",
    BackupIncomplete = "backup-incomplete",
    BackupFormatUnsupported = "backup-format-unsupported",
    BackupMissing = "backup-missing",
    BackupVerifyFailed = "backup-verify-failed",
    BackupDamaged = "backup-damaged",
    BackupDigestMismatch = "backup-digest-mismatch",
    LedgerDamaged = "ledger-damaged",
    RestoreIosTooOld = "restore-ios-too-old",
    RestoreIphoneTooSmall = "restore-iphone-too-small",
    RestoreFileRefused = "restore-file-refused",
    ExtractDiskFull = "extract-disk-full",
    BackupStalled = "backup-stalled",
    BackupStalledLargeIndex = "backup-stalled-large-index",
    BackupSlow = "backup-slow",
    BackupOverdue = "backup-overdue",
    IcloudBackupOff = "icloud-backup-off",
    IcloudBackupStale = "icloud-backup-stale",
    IcloudStorageFull = "icloud-storage-full",
    IcloudSignedOut = "icloud-signed-out",
    IcloudSignInNeeded = "icloud-sign-in-needed",
    IcloudNetworkTrouble = "icloud-network-trouble",
    IcloudServerError = "icloud-server-error",
    IcloudBackupBlockedByMdm = "icloud-backup-blocked-by-mdm",
    AppleServiceOutage = "apple-service-outage",
    AppleStatusUnknown = "apple-status-unknown",
    ScreenTimeRestrictions = "screen-time-restrictions",
    StolenDeviceProtectionDelay = "stolen-device-protection-delay",
    PhotosCopyOnly = "photos-copy-only",
    PhotosNotOnIphone = "photos-not-on-iphone",
    PhotosCopyFailed = "photos-copy-failed",
    UnknownError = "unknown-error",
}

impl fmt::Display for FailureId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.slug())
    }
}
