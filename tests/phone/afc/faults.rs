//! Files of the media folder that give trouble, and connections that end.

use std::collections::HashMap;

use super::{Media, packet::Status};

/// What is wrong with a file; it is listed, with its size, all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    /// Reading gives `IoError` from this byte on.
    IoErrorAt { bytes: u64 },
    /// Opening it gives `PermDenied`.
    PermissionDenied,
    /// It was deleted after it was listed: opening it gives `ObjectNotFound`.
    Vanished,
    /// Opening it gives `OpWouldBlock`.
    WouldBlock,
}

/// Every trouble that a script has made.
#[derive(Default)]
pub(super) struct Faults {
    files: HashMap<String, FileFault>,
    /// Bytes that may still be read before the connection ends.
    readable: Option<u64>,
}

impl Media {
    /// Makes a file give trouble, or with none mends it.
    pub fn set_file_fault(&self, path: &str, fault: Option<FileFault>) {
        let (path, faults) = (path.trim_matches('/').to_owned(), &mut self.tree().faults);
        match fault {
            Some(fault) => drop(faults.files.insert(path, fault)),
            None => drop(faults.files.remove(&path)),
        }
    }

    /// Closes the connection that reads beyond this many bytes, counted over all connections from now. Happens once.
    pub fn disconnect_after(&self, bytes: u64) {
        self.tree().faults.readable = Some(bytes);
    }

    pub(super) fn check_open(&self, path: &str) -> Result<(), Status> {
        match self.tree().faults.files.get(path) {
            Some(FileFault::PermissionDenied) => Err(Status::PermissionDenied),
            Some(FileFault::Vanished) => Err(Status::ObjectNotFound),
            Some(FileFault::WouldBlock) => Err(Status::OperationWouldBlock),
            Some(FileFault::IoErrorAt { .. }) | None => Ok(()),
        }
    }

    /// How many of these bytes come before the error, if the next read gives any.
    pub(super) fn check_read(&self, path: &str, position: u64, length: u64) -> Result<u64, Status> {
        match self.tree().faults.files.get(path) {
            Some(FileFault::IoErrorAt { bytes }) if position >= *bytes => Err(Status::IoError),
            Some(FileFault::IoErrorAt { bytes }) => Ok(length.min(bytes - position)),
            _ => Ok(length),
        }
    }

    /// Counts what was read; false if the connection ends in place of it.
    pub(super) fn may_hand_out(&self, bytes: u64) -> bool {
        let faults = &mut self.tree().faults;
        let left = faults.readable.map(|readable| readable.checked_sub(bytes));
        faults.readable = left.flatten();
        left != Some(None)
    }
}
