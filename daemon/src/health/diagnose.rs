//! Which failure of the catalogue an error is.
//!
//! Match order: what this computer knows for itself (phase, errno) first, then the protocol's code, then its text.

use std::{io, net::SocketAddr, path::Path};

use backstay_shared::health::{Failure, FailureId};
use idevice::IdeviceError;

use super::codes;
use crate::{
    host::{disk, keyring::KeyringError, network::Networks, volume},
    phone::guard,
    preflight::ROOM_SLACK_BYTES,
    transfer::{DiskError, TransferError, upload::Received},
    vault::{
        encryption::EncryptionError,
        ledger::LedgerError,
        manifest::ManifestError,
        transaction::VaultError,
        tree::Unreadable,
        verify::{Findings, VerifyError},
    },
};

/// usbmuxd can't be reached.
pub fn muxer(error: &IdeviceError) -> Failure {
    let id = match error {
        IdeviceError::Socket(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            FailureId::UsbmuxdPermissionDenied
        }
        // Something is there and says no, or what no usbmuxd says.
        IdeviceError::Socket(error) if guard::is_refusal(error) => FailureId::UsbmuxdRefused,
        IdeviceError::UnexpectedResponse(_) | IdeviceError::Plist(_) => FailureId::UsbmuxdRefused,
        _ => FailureId::UsbmuxdNotRunning,
    };
    with_chain(id, error)
}

/// usbmuxd answered a request with a number that `idevice` has no name for, or the way to the phone broke.
pub fn muxer_answer(error: &IdeviceError) -> Failure {
    match error {
        IdeviceError::UnexpectedResponse(_) => with_chain(FailureId::UsbmuxdRefused, error),
        error => device(error),
    }
}

/// usbmuxd or lockdownd refused something, or the way to the phone broke.
pub fn device(error: &IdeviceError) -> Failure {
    let id = match error {
        IdeviceError::Socket(error) if error.kind() == io::ErrorKind::InvalidData => tls_or_refused(error),
        IdeviceError::Socket(_) | IdeviceError::NoEstablishedConnection => FailureId::SessionLost,
        IdeviceError::Rustls(_) | IdeviceError::TlsBuilderFailed(_) => FailureId::SecureConnectionFailed,
        // A pair record whose keys can't be read is no trust.
        IdeviceError::PemParseFailed(_) | IdeviceError::InvalidHostID => FailureId::PairingLost,
        IdeviceError::PasswordProtected | IdeviceError::DeviceLocked => FailureId::DeviceLocked,
        IdeviceError::PairingDialogResponsePending => FailureId::TrustPending,
        IdeviceError::UserDeniedPairing => FailureId::TrustDenied,
        IdeviceError::GetProhibited => FailureId::LockdownRequestRefused,
        IdeviceError::SessionInactive => FailureId::SessionLost,
        IdeviceError::ServiceNotFound => FailureId::BackupServiceUnavailable,
        IdeviceError::DeviceNotFound => FailureId::DeviceNotFound,
        // Also for a number that it does not know (any more): whether the phone is gone is looked at next.
        IdeviceError::Usbmuxd(_) => FailureId::UsbmuxdRefused,
        IdeviceError::UnknownErrorType(name) => codes::lockdown_error(name.split(' ').next().unwrap_or_default()),
        IdeviceError::Plist(_)
        | IdeviceError::Utf8(_)
        | IdeviceError::Utf8Error
        | IdeviceError::NotEnoughBytes(..)
        | IdeviceError::IntegerOverflow
        | IdeviceError::UnexpectedResponse(_) => FailureId::DeviceDataRefused,
        IdeviceError::Timeout => FailureId::SessionLost,
        IdeviceError::Afc(_)
        | IdeviceError::InstallationProxy(_)
        | IdeviceError::NotificationProxyDeath
        | IdeviceError::InternalError(_)
        | IdeviceError::NotFound => FailureId::DeviceInternalError,
        _ => FailureId::UnknownError,
    };
    match error {
        IdeviceError::Socket(error) if is_plain_hangup(error) => Failure::from(id),
        error => with_chain(id, error),
    }
}

/// The way to the phone broke in a TLS handshake; a phone that is unplugged is told apart later.
pub fn handshake(error: &IdeviceError) -> Failure {
    match error {
        IdeviceError::Socket(error) if is_plain_hangup(error) => {
            Failure::from(FailureId::SecureConnectionFailed).text("the iPhone hung up")
        }
        error => device(error),
    }
}

/// No connection to a phone at this address of a network.
pub fn network(error: &io::Error, address: &SocketAddr) -> Failure {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied, TimedOut};
    let networks = Networks::now();
    let id = match () {
        () if networks.hold(address) => match error.kind() {
            // Nobody has the address any more.
            HostUnreachable => FailureId::WifiLost,
            ConnectionRefused | TimedOut | PermissionDenied | NetworkUnreachable => FailureId::WifiFirewallBlocked,
            _ => FailureId::SessionLost,
        },
        () if networks.are_none() => FailureId::HostOffline,
        () => FailureId::WifiDifferentNetwork,
    };
    with_chain(id, error).doing("connecting to the phone")
}

/// rustls reports its errors through the socket, and so does our guard.
fn tls_or_refused(error: &io::Error) -> FailureId {
    if guard::is_refusal(error) { FailureId::DeviceDataRefused } else { FailureId::SecureConnectionFailed }
}

/// The peer is simply gone; what the socket says of it tells a person nothing.
fn is_plain_hangup(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn with_chain(id: FailureId, error: &dyn std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    Failure::from(id).text(text)
}

/// A disk error on this computer.
pub fn disk(error: &DiskError) -> Failure {
    let mut failure = with_chain(codes::host_error(&error.source), &error.source);
    failure.evidence.code = error.source.raw_os_error().map(i64::from);
    let failure = failure.path(&error.path);
    if error.operation.is_empty() { failure } else { failure.doing(error.operation) }
}

/// A backup can't be read.
fn read_failed(path: &Path, source: &io::Error) -> Failure {
    let mut failure = with_chain(codes::host_error(source), source).path(path).doing("reading");
    failure.evidence.code = source.raw_os_error().map(i64::from);
    failure
}

/// The vault could not begin or commit.
pub fn vault(error: &VaultError) -> Failure {
    match error {
        VaultError::Busy { .. } => Failure::from(FailureId::BackupInProgressElsewhere).text(error),
        VaultError::Disk(error) => disk(error),
        VaultError::Ledger(error) => ledger(error),
        VaultError::Changed => Failure::from(FailureId::BackupInProgressElsewhere).text(error),
    }
}

/// The ledger can't be used.
pub fn ledger(error: &LedgerError) -> Failure {
    match error {
        LedgerError::Disk { path, source } => {
            let mut failure = with_chain(codes::host_error(source), source).path(path).doing("keeping the ledger");
            failure.evidence.code = source.raw_os_error().map(i64::from);
            failure
        }
        LedgerError::TooNew { path, .. } => with_chain(FailureId::HostSoftwareOutdated, error).path(path),
        LedgerError::Damaged { path, .. } => with_chain(FailureId::LedgerDamaged, error).path(path),
    }
}

/// The finished tree is no backup.
pub fn verification(error: &VerifyError) -> Failure {
    match error {
        VerifyError::Unfinished { .. } | VerifyError::Empty => Failure::from(FailureId::BackupVerifyFailed).text(error),
        VerifyError::Unreadable { path, .. } => Failure::from(FailureId::BackupVerifyFailed).path(path).text(error),
        VerifyError::Manifest(ManifestError::Disk { path, source }) => read_failed(path, source),
        VerifyError::Manifest(_) => with_chain(FailureId::BackupVerifyFailed, error),
        VerifyError::Encryption(error) => encryption(error),
        VerifyError::Damaged(damages) => damaged(FailureId::BackupVerifyFailed, damages),
        VerifyError::Disk(Unreadable { path, source }) => read_failed(path, source),
    }
}

/// The same of a backup that is kept: nothing has just come, and nothing is thrown away.
pub fn of_kept(mut failure: Failure) -> Failure {
    if failure.id == FailureId::BackupVerifyFailed {
        failure.id = FailureId::BackupDamaged;
    }
    failure
}

/// Files are not as they should be; the first is told.
pub fn damaged(id: FailureId, damages: &Findings) -> Failure {
    let mut failure = Failure::from(id);
    failure.evidence.files = Some(damages.count);
    match damages.first.first() {
        Some(damage) => failure.path(&damage.path).text(damage.told()),
        None => failure,
    }
}

/// Files came twice with another digest than the phone's own list has; the first is named.
pub fn contradicted(findings: &Findings) -> Failure {
    damaged(FailureId::BackupDigestMismatch, findings)
}

/// An encrypted tree can't be opened.
pub fn encryption(error: &EncryptionError) -> Failure {
    match error {
        EncryptionError::WrongPassword => FailureId::BackupPasswordWrong.into(),
        EncryptionError::NoPassword => FailureId::BackupPasswordMissing.into(),
        EncryptionError::Unreadable { path, .. } => Failure::from(FailureId::BackupVerifyFailed).path(path).text(error),
        EncryptionError::File { .. } => Failure::from(FailureId::BackupVerifyFailed).text(error),
        EncryptionError::Manifest(ManifestError::Disk { path, source }) => read_failed(path, source),
        EncryptionError::Manifest(_) => with_chain(FailureId::BackupVerifyFailed, error),
        EncryptionError::Disk { path, source } => read_failed(path, source),
        EncryptionError::NoRoom { folder, bytes } => {
            let mut failure = Failure::from(FailureId::HostDiskFull).path(folder).doing("reading the list of files");
            failure.evidence.bytes_needed = Some(*bytes);
            failure.evidence.bytes_free = disk::free_bytes(folder).ok();
            failure.evidence.volume = Some(volume::name(folder));
            failure
        }
    }
}

/// The password store can't be used.
pub fn keyring(error: &KeyringError) -> Failure {
    Failure::from(FailureId::KeyringUnavailable).text(error)
}

/// What this computer saw while the phone ended the backup.
#[derive(Debug)]
pub struct Seen<'a> {
    /// What came.
    pub received: &'a Received,
    /// The first disk error.
    pub disk_error: Option<&'a DiskError>,
    /// Bytes that the phone reckoned to be missing.
    pub bytes_missing: Option<u64>,
    /// Bytes that the phone announced, those that came included.
    pub bytes_expected: Option<u64>,
    /// Bytes free on the backup disk.
    pub bytes_free: Option<u64>,
}

impl Seen<'_> {
    /// Room that the backup takes: by the phone's reckoning, else by what it announced and the slack it insists on. What
    /// came is removed with the failed run, so the next one needs room for all of it.
    fn bytes_needed(&self) -> Option<u64> {
        let reckoned = self.bytes_missing.zip(self.bytes_free).map(|(missing, free)| missing.saturating_add(free));
        reckoned.or_else(|| Some(self.bytes_expected?.saturating_add(ROOM_SLACK_BYTES)))
    }
}

/// A transfer ended without success. `link_lost` is what a broken link is called; the caller tells it apart by who is
/// still there.
pub fn transfer(error: &TransferError, seen: &Seen<'_>, link_lost: FailureId) -> Failure {
    // The phone's own code for it says less than the errno.
    if let (Some(error), TransferError::Device { .. } | TransferError::NoResult | TransferError::DiskFailed) =
        (seen.disk_error, error)
    {
        let mut failure = self::disk(error);
        if failure.id == FailureId::HostDiskFull {
            failure.evidence.bytes_free = seen.bytes_free;
            failure.evidence.bytes_needed = seen.bytes_needed();
        }
        return failure;
    }
    let mut failure = match error {
        TransferError::LinkLost(source) => match is_plain_hangup(source) {
            true => Failure::from(link_lost),
            false => with_chain(link_lost, error),
        },
        TransferError::Refused(refused) => Failure::from(FailureId::DeviceDataRefused).text(refused),
        TransferError::Device { code, text } => {
            let mut failure = Failure::from(codes::backup_error(*code, text)).code(*code).text(text);
            if failure.id == FailureId::HostDiskFull {
                failure.evidence.bytes_needed = seen.bytes_needed();
                failure.evidence.bytes_free = seen.bytes_free;
            }
            failure
        }
        TransferError::NoCommonVersion => Failure::from(FailureId::ProtocolVersionMismatch).text(error),
        TransferError::NoResult => Failure::from(FailureId::DeviceAgentDied).text(error),
        TransferError::DiskFailed => Failure::from(FailureId::HostIoError).text(error),
        TransferError::Stalled { seconds } | TransferError::LinkDead { seconds } => {
            silent(FailureId::BackupStalled, *seconds)
        }
        TransferError::NobodyTyped { seconds } => silent(FailureId::PasscodeNotEntered, *seconds),
        TransferError::Busy { seconds } => silent(FailureId::DeviceBackupBusy, *seconds),
        TransferError::CancelledOnPhone => Failure::from(FailureId::CancelledOnDevice),
        TransferError::Cancelled => Failure::from(FailureId::CancelledByUser),
    };
    if let TransferError::LinkLost(_) | TransferError::NoResult = error {
        // Where it broke; at the same place again it is a file that breaks it.
        failure.evidence.files = Some(seen.received.files).filter(|files| *files > 0);
    }
    if seen.received.bytes > 0 {
        failure.evidence.bytes_received = Some(seen.received.bytes);
    }
    failure
}

fn silent(id: FailureId, seconds: u64) -> Failure {
    let mut failure = Failure::from(id);
    failure.evidence.seconds = Some(seconds);
    failure
}

/// A restore ended without success.
pub fn restore(error: &TransferError, seen: &Seen<'_>, link_lost: FailureId) -> Failure {
    match (error, seen.disk_error) {
        (TransferError::Device { .. } | TransferError::NoResult, Some(missing))
            if missing.source.kind() == io::ErrorKind::NotFound =>
        {
            Failure::from(FailureId::BackupDamaged).path(&missing.path).text("is missing")
        }
        (TransferError::Device { code, text }, None) => {
            Failure::from(codes::restore_error(*code, text)).code(*code).text(text)
        }
        _ => transfer(error, seen, link_lost),
    }
}

/// The phone said "success" but could not read some of its own files, which a person may miss. Of one that it could not
/// read in an earlier try only the name in the backup is known; what the check found has its path.
pub fn unreadable_files(received: &Received, found: &Findings) -> Option<Failure> {
    let (first, count) = received.unreadable.missed()?;
    let listed = found.first.iter().find(|finding| finding.path.ends_with(&first.device_path));
    let path = listed.map_or(&first.device_path, |finding| &finding.relative_path);
    let mut failure = Failure::from(FailureId::DeviceFilesUnreadable).path(path).text(&first.reason);
    failure.evidence.files = Some(count);
    Some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(received: &Received) -> Seen<'_> {
        Seen { received, disk_error: None, bytes_missing: None, bytes_expected: None, bytes_free: None }
    }

    #[test]
    fn the_errno_says_more_than_the_phone() {
        let full = DiskError {
            operation: "writing",
            path: "/backup/ab/ab01".into(),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        let told = TransferError::Device { code: 104, text: "Multiple errors uploading files".into() };
        let received = Received::default();
        let failure = transfer(
            &told,
            &Seen { disk_error: Some(&full), bytes_free: Some(0), ..seen(&received) },
            FailureId::SessionLost,
        );
        assert_eq!(failure.id, FailureId::HostDiskFull);
        assert_eq!(failure.evidence.path.as_deref(), Some("/backup/ab/ab01".as_ref()));
        assert_eq!(transfer(&told, &seen(&received), FailureId::SessionLost).id, FailureId::DeviceIoError);
    }

    #[test]
    fn a_broken_link_is_what_the_caller_found() {
        let lost = TransferError::LinkLost(io::ErrorKind::UnexpectedEof.into());
        let received = Received { bytes: 5, ..Received::default() };
        let failure = transfer(&lost, &seen(&received), FailureId::UsbDisconnected);
        assert_eq!((failure.id, failure.evidence.bytes_received), (FailureId::UsbDisconnected, Some(5)));
    }
}
