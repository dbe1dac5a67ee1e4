//! The code tables: lockdownd's errors, the phone's backup errors (MBErrorDomain) and this computer's errno.

use std::io;

use backstay_shared::health::FailureId::{self, *};

/// lockdownd's error names. Source: `lockdown.h` of libimobiledevice, AppleMobileDevice constants.
pub fn lockdown_error(name: &str) -> FailureId {
    match name {
        "InvalidResponse" | "MissingKey" | "MissingValue" | "GetProhibited" | "SetProhibited" | "RemoveProhibited"
        | "ImmutableValue" => LockdownRequestRefused,
        "PasswordProtected" | "DeviceLocked" => DeviceLocked,
        "UserDeniedPairing" => TrustDenied,
        "PairingDialogResponsePending" => TrustPending,
        "MissingHostID" | "InvalidHostID" | "MissingPairRecord" | "InvalidPairRecord" | "InvalidConnection" => {
            PairingLost
        }
        "SessionActive" | "SessionInactive" | "MissingSessionID" | "InvalidSessionID" => SessionLost,
        "MissingService"
        | "InvalidService"
        | "ServiceLimit"
        | "ServiceProhibited"
        | "CheckinTimeout"
        | "InvalidCheckin"
        | "CheckinSetupFailed"
        | "CheckinConnectionFailed"
        | "CheckinReceiveFailed"
        | "CheckinResponseFailed"
        | "CheckinSendFailed"
        | "CheckinOutOfMemory" => BackupServiceUnavailable,
        "SavePairRecordFailed" => PairRecordSaveFailed,
        "InvalidActivationRecord" | "MissingActivationRecord" | "WrongDroid" => DeviceNotActivated,
        "EscrowLocked" => DeviceNotUnlockedSinceRestart,
        "PairingProhibitedOverThisConnection" => PairingNeedsCable,
        "FMiPProtected" => FindMyBlocksRestore,
        "MCProtected" | "MCChallengeRequired" | "NotAValidChaperoneHost" => MdmDisallowsPairing,
        _ => UnknownError,
    }
}

/// MBErrorDomain codes that come as `ErrorCode`, with those that mean several things told apart by their text.
pub fn backup_error(code: i64, text: &str) -> FailureId {
    let says = |words: &[&str]| {
        let text = text.to_lowercase();
        words.iter().any(|word| text.contains(word))
    };
    match code {
        1 if says(&["keychain"]) => DeviceKeychainError,
        1 if says(&["protocol version"]) => ProtocolVersionMismatch,
        1 => DeviceInternalError,
        // The cause is nested in the text: `(MBErrorDomain/105)`.
        104 if says(&["/105)"]) => HostDiskFull,
        104 => DeviceIoError,
        // Old systems use it for a full phone on restore; a backup fills the computer.
        105 => HostDiskFull,
        205 if says(&["status"]) => BackupStatusUnreadable,
        205 => ManifestCorrupt,
        207 if says(&["required by", "device management", "mdm"]) => EncryptionRequired,
        207 if says(&["changed"]) => BackupPasswordChanged,
        207 => BackupPasswordWrong,
        208 if says(&["protection class", "keychain"]) => DeviceLocked,
        208 => PasscodeNotEntered,
        2 | 10 | 15 | 16 | 18 | 19 | 20 | 21 | 24 | 26 => DeviceInternalError,
        3 | 14 => DeviceSnapshotStuck,
        4 | 204 => BackupMissing,
        5 | 6 | 11 | 12 => ManifestCorrupt,
        7 => HostIoError,
        8 | 100 | 101 | 102 => DeviceIoError,
        9 => FilesChangedDuringBackup,
        13 => DeviceNotUnlockedSinceRestart,
        17 | 301 | 302 | 304 | 306 | 309 | 310 => IcloudServerError,
        22 | 555 => BackupBlockedByOrganisation,
        25 => DeviceRestoringIcloud,
        103 => BackupStatusUnreadable,
        106 => DeviceStorageFull,
        107 | 213 => RestoreFileRefused,
        202 | 217 | 218 | 219 | 220 | 221 | 222 | 223 | 224 => CancelledOnDevice,
        203 => BackupFormatUnsupported,
        209 => BackupKeyMissing,
        210 => IcloudSignedOut,
        211 => FindMyBlocksRestore,
        212 => DeviceSetupUnfinished,
        300 | 308 => IcloudNetworkTrouble,
        303 => IcloudStorageFull,
        305 | 307 => IcloudSignInNeeded,
        _ => UnknownError,
    }
}

/// MBErrorDomain codes of a restore, where some mean other things: the phone is what fills up, and what it reads is
/// the backup. Source: libimobiledevice #460.
pub fn restore_error(code: i64, text: &str) -> FailureId {
    let text_says = |words: &str| text.to_lowercase().contains(words);
    match code {
        102 | 107 | 213 => RestoreFileRefused,
        105 | 106 => RestoreIphoneTooSmall,
        203 => RestoreIosTooOld,
        205 if text_says("invalid path") || text_says("invalid domain") => RestoreFileRefused,
        code => backup_error(code, text),
    }
}

/// Every failure that a code of a backup or a restore can stand for, the usual one first; none for a code that nobody
/// knows.
pub fn backup_error_meanings(code: i64) -> Vec<FailureId> {
    const TELLING_TEXTS: [&str; 10] = [
        "",
        "/105)",
        "keychain",
        "protocol version",
        "status",
        "device management",
        "changed",
        "protection class",
        "invalid path",
        "invalid domain",
    ];
    let of_backups = TELLING_TEXTS.iter().map(|text| backup_error(code, text));
    let of_restores = TELLING_TEXTS.iter().map(|text| restore_error(code, text));
    let mut found = Vec::new();
    for id in of_backups.chain(of_restores).filter(|id| *id != UnknownError) {
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// What an errno of the backup disk means to the person.
pub fn host_error(error: &io::Error) -> FailureId {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull => HostDiskFull,
        ErrorKind::QuotaExceeded => HostQuotaExceeded,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => HostWriteDenied,
        ErrorKind::NotFound
        | ErrorKind::StaleNetworkFileHandle
        | ErrorKind::NotConnected
        | ErrorKind::HostUnreachable => BackupDriveMissing,
        ErrorKind::FileTooLarge | ErrorKind::InvalidFilename => HostFileLimit,
        _ => match error.raw_os_error() {
            // ENXIO, ENODEV, EHOSTDOWN
            Some(6 | 19 | 112) if cfg!(target_os = "linux") => BackupDriveMissing,
            // EMFILE, ENFILE
            Some(23 | 24) if cfg!(unix) => HostFileLimit,
            // ELOOP, EIO and everything else that a disk can say.
            _ => HostIoError,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code by code, with a text that says nothing. Those of unknown-error are known to be there and no more. 104 is the
    /// disk's where this computer has an errno to show for it; without one it is the phone's.
    const MEANINGS: &[(FailureId, &[i64])] = &[
        (DeviceInternalError, &[1, 2, 10, 15, 16, 18, 19, 20, 21, 24, 26]),
        (DeviceSnapshotStuck, &[3, 14]),
        (BackupMissing, &[4, 204]),
        (ManifestCorrupt, &[5, 6, 11, 12, 205]),
        (HostIoError, &[7]),
        (DeviceIoError, &[8, 100, 101, 102, 104]),
        (FilesChangedDuringBackup, &[9]),
        (DeviceNotUnlockedSinceRestart, &[13]),
        (IcloudServerError, &[17, 301, 302, 304, 306, 309, 310]),
        (BackupBlockedByOrganisation, &[22, 555]),
        (UnknownError, &[23, 200, 201, 206, 214, 215, 216, 556, 557]),
        (DeviceRestoringIcloud, &[25]),
        (BackupStatusUnreadable, &[103]),
        (HostDiskFull, &[105]),
        (DeviceStorageFull, &[106]),
        (RestoreFileRefused, &[107, 213]),
        (CancelledOnDevice, &[202, 217, 218, 219, 220, 221, 222, 223, 224]),
        (BackupFormatUnsupported, &[203]),
        (BackupPasswordWrong, &[207]),
        (PasscodeNotEntered, &[208]),
        (BackupKeyMissing, &[209]),
        (IcloudSignedOut, &[210]),
        (FindMyBlocksRestore, &[211]),
        (DeviceSetupUnfinished, &[212]),
        (IcloudNetworkTrouble, &[300, 308]),
        (IcloudStorageFull, &[303]),
        (IcloudSignInNeeded, &[305, 307]),
    ];

    const REFUSALS: &[(FailureId, &[&str])] = &[
        (
            LockdownRequestRefused,
            &[
                "InvalidResponse",
                "MissingKey",
                "MissingValue",
                "GetProhibited",
                "SetProhibited",
                "RemoveProhibited",
                "ImmutableValue",
            ],
        ),
        (DeviceLocked, &["PasswordProtected", "DeviceLocked"]),
        (TrustDenied, &["UserDeniedPairing"]),
        (TrustPending, &["PairingDialogResponsePending"]),
        (
            PairingLost,
            &["MissingHostID", "InvalidHostID", "MissingPairRecord", "InvalidPairRecord", "InvalidConnection"],
        ),
        (SessionLost, &["SessionActive", "SessionInactive", "MissingSessionID", "InvalidSessionID"]),
        (
            BackupServiceUnavailable,
            &[
                "MissingService",
                "InvalidService",
                "ServiceLimit",
                "ServiceProhibited",
                "CheckinTimeout",
                "InvalidCheckin",
                "CheckinSetupFailed",
                "CheckinConnectionFailed",
                "CheckinReceiveFailed",
                "CheckinResponseFailed",
                "CheckinSendFailed",
                "CheckinOutOfMemory",
            ],
        ),
        (PairRecordSaveFailed, &["SavePairRecordFailed"]),
        (DeviceNotActivated, &["InvalidActivationRecord", "MissingActivationRecord", "WrongDroid"]),
        (DeviceNotUnlockedSinceRestart, &["EscrowLocked"]),
        (PairingNeedsCable, &["PairingProhibitedOverThisConnection"]),
        (FindMyBlocksRestore, &["FMiPProtected"]),
        (MdmDisallowsPairing, &["MCProtected", "MCChallengeRequired", "NotAValidChaperoneHost"]),
    ];

    #[test]
    fn every_code_and_every_refusal_is_what_the_table_says() {
        for (id, codes) in MEANINGS {
            for code in *codes {
                assert_eq!(backup_error(*code, ""), *id, "{code}");
            }
        }
        for (id, names) in REFUSALS {
            for name in *names {
                assert_eq!(lockdown_error(name), *id, "{name}");
            }
        }
        let known: Vec<i64> = MEANINGS.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
        for code in (1..1000).filter(|code| !known.contains(code)) {
            assert_eq!(backup_error(code, ""), UnknownError, "{code} is in no table");
        }
    }

    #[test]
    fn codes_with_several_meanings_are_told_apart_by_their_text() {
        for (code, text, id) in [
            (1, "Error copying keychain data", DeviceKeychainError),
            (1, "No common supported protocol version", ProtocolVersionMismatch),
            (1, "", DeviceInternalError),
            (104, "Multiple errors uploading files (MBErrorDomain/105)", HostDiskFull),
            (104, "Multiple errors uploading files", DeviceIoError),
            (205, "Error reading status", BackupStatusUnreadable),
            (205, "Error reading backup properties", ManifestCorrupt),
            (207, "Encryption is required by device management", EncryptionRequired),
            (207, "Invalid password", BackupPasswordWrong),
            (208, "Device locked (MBErrorDomain/208)", PasscodeNotEntered),
            (208, "open error setting protection class, device locked?", DeviceLocked),
            (9999, "", UnknownError),
        ] {
            assert_eq!(backup_error(code, text), id, "{code} {text:?}");
        }
    }

    #[test]
    fn a_restore_reads_some_codes_its_own_way() {
        for (code, text, id) in [
            (106, "Insufficient free disk space on device to restore (1 < 2)", RestoreIphoneTooSmall),
            (105, "", RestoreIphoneTooSmall),
            (203, "Backup is from an incompatible OS version", RestoreIosTooOld),
            (205, "Invalid path", RestoreFileRefused),
            (205, "Error reading backup properties", ManifestCorrupt),
            (207, "Invalid password", BackupPasswordWrong),
            (211, "Find My iPhone must be disabled before restoring", FindMyBlocksRestore),
        ] {
            assert_eq!(restore_error(code, text), id, "{code} {text:?}");
        }
    }

    #[test]
    fn a_disk_that_says_no_is_named() {
        #[cfg(target_os = "linux")]
        for (code, id) in [
            (28, HostDiskFull),
            (122, HostQuotaExceeded),
            (13, HostWriteDenied),
            (1, HostWriteDenied),
            (30, HostWriteDenied),
            (5, HostIoError),
            (19, BackupDriveMissing),
            (6, BackupDriveMissing),
            (116, BackupDriveMissing),
            (112, BackupDriveMissing),
            (2, BackupDriveMissing),
            (27, HostFileLimit),
            (36, HostFileLimit),
            (24, HostFileLimit),
            (23, HostFileLimit),
        ] {
            assert_eq!(host_error(&io::Error::from_raw_os_error(code)), id, "errno {code}");
        }
    }
}
