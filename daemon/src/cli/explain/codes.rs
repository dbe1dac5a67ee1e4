//! What a code means that somebody read in a log or in another program: an MBErrorDomain code, an errno, a name of
//! lockdownd's.

use backstay_shared::health::FailureId;

use crate::health::codes;

/// The failures that a code stands for; none when it is no code, or one that nobody knows.
pub fn meanings(text: &str) -> Vec<FailureId> {
    let text = text.trim().trim_matches(['(', ')', '.', ':']);
    let lockdown = codes::lockdown_error(text);
    if lockdown != FailureId::UnknownError {
        return vec![lockdown];
    }
    if let Some(id) = errno_of_name(text) {
        return vec![id];
    }
    let start = text.trim_end_matches(|character: char| character.is_ascii_digit()).len();
    let (kind, digits) = text.split_at(start);
    let Ok(code) = digits.parse::<i32>() else { return Vec::new() };
    let mut found = match kind.trim().trim_end_matches(['/', ' ', ':', '=', '#']).to_lowercase().as_str() {
        "mberrordomain" | "mb" | "errorcode" | "error code" => codes::backup_error_meanings(i64::from(code)),
        "errno" | "os error" => errno(code),
        "usbmuxd" | "usbmuxd result" if (1..=6).contains(&code) => vec![FailureId::UsbmuxdRefused],
        "" | "code" | "error" => {
            let mut both = codes::backup_error_meanings(i64::from(code));
            both.extend(errno(code));
            both
        }
        _ => Vec::new(),
    };
    let mut seen = Vec::new();
    found.retain(|id| {
        let new = !seen.contains(id);
        seen.push(*id);
        new
    });
    found
}

/// An errno that says something of its own; the rest would all be "the disk reported an error".
fn errno(code: i32) -> Vec<FailureId> {
    named_errnos().into_iter().filter(|(_, known)| *known == code).map(|(_, code)| host_error(code)).collect()
}

fn errno_of_name(name: &str) -> Option<FailureId> {
    let upper = name.to_uppercase();
    named_errnos().into_iter().find(|(known, _)| *known == upper).map(|(_, code)| host_error(code))
}

fn host_error(code: i32) -> FailureId {
    codes::host_error(&std::io::Error::from_raw_os_error(code))
}

#[cfg(unix)]
fn named_errnos() -> [(&'static str, i32); 17] {
    use rustix::io::Errno;
    [
        ("ENOSPC", Errno::NOSPC),
        ("EDQUOT", Errno::DQUOT),
        ("EACCES", Errno::ACCESS),
        ("EPERM", Errno::PERM),
        ("EROFS", Errno::ROFS),
        ("EIO", Errno::IO),
        ("ENODEV", Errno::NODEV),
        ("ENXIO", Errno::NXIO),
        ("ESTALE", Errno::STALE),
        ("EHOSTDOWN", Errno::HOSTDOWN),
        ("EFBIG", Errno::FBIG),
        ("ENAMETOOLONG", Errno::NAMETOOLONG),
        ("EMFILE", Errno::MFILE),
        ("ENFILE", Errno::NFILE),
        ("ENOENT", Errno::NOENT),
        ("ENOTDIR", Errno::NOTDIR),
        ("ELOOP", Errno::LOOP),
    ]
    .map(|(name, errno)| (name, errno.raw_os_error()))
}

#[cfg(not(unix))]
fn named_errnos() -> [(&'static str, i32); 0] {
    []
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn codes_in_every_spelling() {
        use FailureId::*;
        for (text, ids) in [
            ("104", &[DeviceIoError, HostDiskFull][..]),
            ("MBErrorDomain/208", &[PasscodeNotEntered, DeviceLocked]),
            ("(MBErrorDomain/105)", &[HostDiskFull, RestoreIphoneTooSmall]),
            ("ErrorCode 106", &[DeviceStorageFull, RestoreIphoneTooSmall]),
            ("5", &[ManifestCorrupt, HostIoError]),
            ("errno 5", &[HostIoError]),
            ("ENOSPC", &[HostDiskFull]),
            ("estale", &[BackupDriveMissing]),
            ("PasswordProtected", &[DeviceLocked]),
            ("PairingDialogResponsePending", &[TrustPending]),
            ("usbmuxd 3", &[UsbmuxdRefused]),
            ("9999", &[]),
            ("99999999999999999999", &[]),
            ("MBErrorDomain/", &[]),
            ("iCloud full", &[]),
            ("", &[]),
        ] {
            assert_eq!(meanings(text), ids, "{text:?}");
        }
    }
}
