//! The files that one AFC connection has open.

use std::collections::HashMap;

use super::{
    locks::LockKind,
    media::{LENGTH_LIMIT, Media},
    packet::Status,
};

const LOCK_SHARED: u64 = 1;
const LOCK_EXCLUSIVE: u64 = 2;
const LOCK_NO_WAIT: u64 = 4;
const LOCK_UNLOCK: u64 = 8;
/// Clients ask for 64 KiB to 4 MiB at a time.
const READ_LIMIT: u64 = 8 << 20;
const OPEN_LIMIT: usize = 256;

/// How a file is opened, by the `fopen` mode that the number stands for.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) creates: bool,
    pub(super) truncates: bool,
    appends: bool,
}

impl Mode {
    /// `r+`.
    pub(super) const READ_AND_WRITE: Self =
        Self { reads: true, writes: true, creates: true, truncates: false, appends: false };

    fn from_number(number: u64) -> Result<Self, Status> {
        let text = match number {
            1 => "r",
            2 => "r+",
            3 => "w",
            4 => "w+",
            5 => "a",
            6 => "a+",
            _ => return Err(Status::InvalidArgument),
        };
        Ok(Self {
            reads: text.starts_with('r') || text.ends_with('+'),
            writes: text != "r",
            // Unlike in C, r+ makes the file too.
            creates: text != "r",
            truncates: text.starts_with('w'),
            appends: text.starts_with('a'),
        })
    }
}

struct OpenFile {
    file: u64,
    path: String,
    mode: Mode,
    position: u64,
}

/// Handles and locks of one connection, all given back when it ends.
pub(super) struct OpenFiles<'a> {
    media: &'a Media,
    open: HashMap<u64, OpenFile>,
}

impl<'a> OpenFiles<'a> {
    pub(super) fn new(media: &'a Media) -> Self {
        Self { media, open: HashMap::new() }
    }

    pub(super) fn open(&mut self, mode: u64, path: &str) -> Result<u64, Status> {
        if self.open.len() >= OPEN_LIMIT {
            return Err(Status::InvalidArgument);
        }
        let mode = Mode::from_number(mode)?;
        self.media.check_open(path)?;
        let file = self.media.open(path, mode)?;
        let handle = self.media.next_holder();
        self.open.insert(handle, OpenFile { file, path: path.to_owned(), mode, position: 0 });
        Ok(handle)
    }

    pub(super) fn close(&mut self, handle: u64) -> Result<(), Status> {
        let open = self.open.remove(&handle).ok_or(Status::InvalidArgument)?;
        self.media.unlock(open.file, handle);
        Ok(())
    }

    pub(super) fn read(&mut self, handle: u64, length: u64) -> Result<Vec<u8>, Status> {
        let open = self.open.get_mut(&handle).ok_or(Status::InvalidArgument)?;
        if !open.mode.reads {
            return Err(Status::PermissionDenied);
        }
        let length = self.media.check_read(&open.path, open.position, length.min(READ_LIMIT))?;
        let bytes = self.media.read_at(open.file, open.position, length);
        open.position += bytes.len() as u64;
        Ok(bytes)
    }

    pub(super) fn write(&mut self, handle: u64, bytes: &[u8]) -> Result<(), Status> {
        let open = self.open.get_mut(&handle).ok_or(Status::InvalidArgument)?;
        if !open.mode.writes {
            return Err(Status::PermissionDenied);
        }
        if open.mode.appends {
            open.position = self.media.length(open.file);
        }
        self.media.write_at(open.file, open.position, bytes)?;
        open.position += bytes.len() as u64;
        Ok(())
    }

    /// `whence` counts from the start, from here or from the end.
    pub(super) fn seek(&mut self, handle: u64, whence: u64, offset: i64) -> Result<(), Status> {
        let open = self.open.get_mut(&handle).ok_or(Status::InvalidArgument)?;
        let from = match whence {
            0 => 0,
            1 => open.position,
            2 => self.media.length(open.file),
            _ => return Err(Status::InvalidArgument),
        };
        let position = from.checked_add_signed(offset).filter(|position| *position <= LENGTH_LIMIT);
        open.position = position.ok_or(Status::InvalidArgument)?;
        Ok(())
    }

    pub(super) fn tell(&self, handle: u64) -> Result<u64, Status> {
        self.open.get(&handle).map(|open| open.position).ok_or(Status::InvalidArgument)
    }

    pub(super) fn set_length(&mut self, handle: u64, length: u64) -> Result<(), Status> {
        let open = self.open.get(&handle).ok_or(Status::InvalidArgument)?;
        if !open.mode.writes {
            return Err(Status::PermissionDenied);
        }
        self.media.set_length(open.file, length)
    }

    pub(super) fn lock(&mut self, handle: u64, operation: u64) -> Result<(), Status> {
        let open = self.open.get(&handle).ok_or(Status::InvalidArgument)?;
        match operation & !LOCK_NO_WAIT {
            LOCK_SHARED => self.media.lock(open.file, handle, LockKind::Shared),
            LOCK_EXCLUSIVE => self.media.lock(open.file, handle, LockKind::Exclusive),
            LOCK_UNLOCK => {
                self.media.unlock(open.file, handle);
                Ok(())
            }
            _ => Err(Status::InvalidArgument),
        }
    }
}

impl Drop for OpenFiles<'_> {
    fn drop(&mut self) {
        for (handle, open) in &self.open {
            self.media.unlock(open.file, *handle);
        }
    }
}
