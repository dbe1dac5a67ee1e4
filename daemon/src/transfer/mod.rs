//! The bytes: the DeviceLink conversation from the `Backup` request to the phone's final status.
//!
//! The phone leads. It asks the computer to list, send, take, move and remove files below the folder `<UDID>`, and
//! ends with a status. Everything it says is checked before it is believed: [`place`] keeps paths inside the folder,
//! [`frames`] bounds every length, [`value`] bounds what a message unfolds to.
//!
//! One run owns one thread: the socket is read there, files are written by two [`writers`] beside it, and the short
//! disk operations in between are plain blocking calls.

pub mod change_password;
pub mod conversation;
pub mod digests;
pub mod download;
pub mod folders;
pub mod frames;
mod greeting;
pub mod hashing;
pub mod info_plist;
pub mod meter;
pub mod operations;
pub mod order;
pub mod passcode;
pub mod place;
pub mod recording;
pub mod request;
pub mod restore_applications;
pub mod sync_lock;
pub mod unreadable;
pub mod upload;
pub mod value;
pub mod writers;

use std::{io, path::PathBuf};

/// What ended a conversation before its time.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The link broke.
    #[error("the connection to the phone ended")]
    LinkLost(#[source] io::Error),
    /// The phone sent what is never believed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The phone ended the backup with an error.
    #[error("the phone ended the backup with error {code}: {text}")]
    Device {
        /// MBErrorDomain code.
        code: i64,
        /// `ErrorDescription`.
        text: String,
    },
    /// The phone ended the greeting when it heard our version of DeviceLink.
    #[error("the phone speaks no version of DeviceLink that this computer knows")]
    NoCommonVersion,
    /// `DLMessageDisconnect` came before a final status.
    #[error("the phone closed the backup without a result")]
    NoResult,
    /// Nothing came for longer than the phase allows.
    #[error("nothing came from the phone for {seconds} s")]
    Stalled {
        /// How long.
        seconds: u64,
    },
    /// Neither the transfer nor lockdownd says anything: the link is dead though nobody took it down.
    #[error("the phone has not answered for {seconds} s")]
    LinkDead {
        /// How long.
        seconds: u64,
    },
    /// The passcode sheet was up, and nobody answered it.
    #[error("nobody entered the passcode for {seconds} s")]
    NobodyTyped {
        /// How long.
        seconds: u64,
    },
    /// This computer can't write, and the phone goes on sending.
    #[error("the backup disk failed")]
    DiskFailed,
    /// The phone does not begin: its backup service takes the connection and says nothing.
    #[error("the phone's backup service did not begin for {seconds} s")]
    Busy {
        /// How long.
        seconds: u64,
    },
    /// The person at the phone stopped it there.
    #[error("stopped on the phone")]
    CancelledOnPhone,
    /// A person or the daemon's end stopped it.
    #[error("stopped on request")]
    Cancelled,
}

/// What the phone sent and Backstay refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A path that leaves the phone's folder.
    #[error("the path {path:?} {why}")]
    Path {
        /// As the phone spelled it, shortened.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A length beyond all reason.
    #[error("{what} of {bytes} bytes; at most {max} are taken")]
    Length {
        /// Of what.
        what: &'static str,
        /// As announced.
        bytes: u64,
        /// What is taken.
        max: u64,
    },
    /// A message that is no property list or lacks what it must have.
    #[error("{what} could not be understood")]
    Malformed {
        /// Which message or frame.
        what: String,
    },
}

/// A host-side disk error during a run; the first one tells why the phone gave up later.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct DiskError {
    /// What was tried, as a verb.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// The DeviceLink file error code for a host error, as the phone's backup service maps it back.
///
/// Source: the errno table of idevicebackup2 and pymobiledevice3's `device_link.py`.
pub fn device_link_code(error: &io::Error) -> i64 {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => -6,
        ErrorKind::AlreadyExists => -7,
        ErrorKind::NotADirectory => -8,
        ErrorKind::IsADirectory => -9,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => -15,
        _ => match error.raw_os_error() {
            #[cfg(unix)]
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => -10,
            #[cfg(unix)]
            Some(code) if code == rustix::io::Errno::IO.raw_os_error() => -11,
            _ => -1,
        },
    }
}
