//! Why a request ended early.

use std::io;

/// What the phone says at the end, or that it can't say anything.
#[derive(Debug)]
pub(super) enum Stop {
    /// The link failed or the host broke the protocol: nothing more is sent.
    Link(io::Error),
    /// The request ends with this `ErrorCode` and `ErrorDescription`.
    Refused {
        /// A code of `MBErrorDomain`.
        code: i64,
        /// What a log would show.
        text: String,
    },
    /// `DLMessageDisconnect` goes out in place of the final status.
    Disconnect,
}

impl Stop {
    pub(super) fn refused(code: i64, text: impl Into<String>) -> Self {
        Self::Refused { code, text: text.into() }
    }

    /// The host talks another language.
    pub(super) fn protocol(text: impl Into<String>) -> Self {
        Self::Link(broken(text))
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Link(error)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::refused(16, format!("SQLite error: {error} (MBErrorDomain/16)"))
    }
}

/// An error for a host that broke the protocol.
pub(super) fn broken(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}
