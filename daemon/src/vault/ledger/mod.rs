//! What Backstay remembers of a phone's backups: runs, snapshots and a checksum for each file of each snapshot.
//!
//! A SQLite database beside the backups. It adds to what the trees and receipts say and never decides what a backup
//! is: when it is lost, [`recovery`](super::recovery) fills it again from the disk, and what can't be known any more (the
//! checksums from the time when the files came) is told as not known.

mod interrupted;
mod runs;
mod snapshots;
mod versions;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};

pub use self::{
    snapshots::Entry,
    versions::{Held, NewSnapshot, NotRead, Sealed, Unproved, Version},
};
use super::layout::Layout;
use crate::host::disk;

/// BLAKE3 of a file.
pub type Digest = [u8; 32];

/// The format of the database below.
const FORMAT: i64 = 3;

/// Another process of ours holds it only for moments.
const BUSY_SECONDS_MAX: Duration = Duration::from_secs(20);

const SCHEMA: &str = "
    CREATE TABLE snapshots (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,      -- its time, which also names its receipt and its folder in history
        tree TEXT NOT NULL,           -- identity of its tree: BLAKE3 of Info.plist
        files INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        receipt TEXT,                 -- none when another program made it
        checked INTEGER,              -- when every file was last compared with its checksum, seconds since 1970
        damaged INTEGER NOT NULL DEFAULT 0,
        notes INTEGER NOT NULL DEFAULT 0,   -- files of another size than the list has, which is usual
        doubts INTEGER NOT NULL DEFAULT 0   -- files that may be incomplete
    );
    -- One row for each content of each file, with the span of snapshots that hold it.
    CREATE TABLE versions (
        name NOT NULL,                -- 20 bytes for a file of the phone, else its path
        first INTEGER NOT NULL,       -- number of the first snapshot that holds it
        last INTEGER,                 -- of the last one; none while it is in the latest
        size INTEGER NOT NULL,        -- bytes on disk
        digest BLOB,                  -- none until it is first read
        received INTEGER NOT NULL,    -- 1 when the checksum was taken while the file came, 0 from the disk later
        checked INTEGER,              -- when it was last read and found good, seconds since 1970
        sha1 BLOB,                    -- none until it is first read by a version that takes it
        proof INTEGER NOT NULL DEFAULT 0,   -- how it was proved
        PRIMARY KEY (name, first)
    ) WITHOUT ROWID;
    -- Files that came with another digest than their rows have, in the run before.
    CREATE TABLE contradicted (
        name NOT NULL PRIMARY KEY
    ) WITHOUT ROWID;
    -- Files that the phone could not read, by snapshot.
    CREATE TABLE unreadable (
        number INTEGER NOT NULL,
        name NOT NULL,
        harmless INTEGER NOT NULL DEFAULT 0,   -- 1 for a harmless one
        PRIMARY KEY (number, name)
    ) WITHOUT ROWID;
    -- The tree that an interrupted run left, by the identity of the one that it builds on; and what is in it.
    CREATE TABLE interrupted (base TEXT, afresh INTEGER NOT NULL, device_key TEXT, at INTEGER NOT NULL);
    CREATE TABLE received (
        name NOT NULL,
        kind INTEGER NOT NULL,        -- 0 came whole, 1 made of an earlier file, 2 a folder of such, 3 came and is
                                      -- lost, 4 the phone could not read it, 5 the same, harmless
        size INTEGER,
        digest BLOB,
        sha1 BLOB,
        began INTEGER,                -- when the run began in which it came, seconds since 1970
        PRIMARY KEY (name, kind)
    ) WITHOUT ROWID;
    CREATE TABLE runs (
        run INTEGER PRIMARY KEY,
        told TEXT NOT NULL            -- as front ends see it
    );
";

/// From format 1: what is new is not known of what is there, but for that it came.
const FROM_FORMAT_1: &str = "
    ALTER TABLE snapshots ADD COLUMN notes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE snapshots ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE versions ADD COLUMN sha1 BLOB;
    ALTER TABLE versions ADD COLUMN proof INTEGER NOT NULL DEFAULT 0;
    UPDATE versions SET proof = 1 WHERE received;
    CREATE TABLE contradicted (name NOT NULL PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE unreadable (number INTEGER NOT NULL, name NOT NULL, PRIMARY KEY (number, name)) WITHOUT ROWID;
";

/// From format 2.
const FROM_FORMAT_2: &str = "
    ALTER TABLE unreadable ADD COLUMN harmless INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE interrupted (base TEXT, afresh INTEGER NOT NULL, device_key TEXT, at INTEGER NOT NULL);
    CREATE TABLE received (
        name NOT NULL, kind INTEGER NOT NULL, size INTEGER, digest BLOB, sha1 BLOB, began INTEGER,
        PRIMARY KEY (name, kind)
    ) WITHOUT ROWID;
";

/// The ledger can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file is no ledger, or no longer whole.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A newer Backstay has written it.
    #[error("{}: has format {format}, which only a newer version of Backstay knows", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: i64,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The open database of one phone.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
}

impl Ledger {
    /// Opens it, or makes a new one.
    ///
    /// # Errors
    /// When it is damaged or the disk fails.
    pub fn open(layout: &Layout) -> Result<Self, LedgerError> {
        match Self::open_once(layout) {
            // As with writing: what the folder knows nothing of is tried once more.
            Err(LedgerError::Disk { path, source }) if source.raw_os_error().is_none() => {
                tracing::warn!(path = %path.display(), %source, "the ledger can't be opened; once more");
                Self::open_once(layout)
            }
            opened => opened,
        }
    }

    fn open_once(layout: &Layout) -> Result<Self, LedgerError> {
        let path = layout.ledger();
        let is_new = !path.exists();
        let connection = Connection::open(&path).map_err(|error| failed(&path, error))?;
        // SQLite falls back to reading alone, whatever kept it from more.
        if connection.is_readonly(rusqlite::MAIN_DB).map_err(|error| failed(&path, error))? {
            let source = probe_beside(&path).err().unwrap_or_else(|| io::Error::other("opened for reading only"));
            return Err(LedgerError::Disk { path, source });
        }
        let mut ledger = Self { connection, path };
        ledger.prepare().map_err(|error| failed(&ledger.path, error))?;
        let format: i64 = ledger
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|error| failed(&ledger.path, error))?;
        match format {
            FORMAT => {}
            1 => ledger.change_format(&[FROM_FORMAT_1, FROM_FORMAT_2]).map_err(|error| failed(&ledger.path, error))?,
            2 => ledger.change_format(&[FROM_FORMAT_2]).map_err(|error| failed(&ledger.path, error))?,
            0 => {
                let tables = |connection: &Connection| {
                    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
                };
                let tables = tables(&ledger.connection).map_err(|error| failed(&ledger.path, error))?;
                if tables > 0 {
                    return Err(ledger.damaged("is another program's"));
                }
                ledger.change_format(&[SCHEMA]).map_err(|error| failed(&ledger.path, error))?;
            }
            format => return Err(LedgerError::TooNew { path: ledger.path, format }),
        }
        if is_new {
            tracing::debug!(path = %ledger.path.display(), "a new ledger");
        }
        Ok(ledger)
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(BUSY_SECONDS_MAX)?;
        // A rollback journal also works on network drives; its folder entry is synced too.
        self.connection.pragma_update(None, "synchronous", "EXTRA")
    }

    fn change_format(&mut self, steps: &[&str]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        steps.iter().try_for_each(|statements| transaction.execute_batch(statements))?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    }

    /// Opens it after a look at every page; a damaged one is moved aside and a new one begun. True when it was so.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open_or_renew(layout: &Layout) -> Result<(Self, bool), LedgerError> {
        let whole = Self::open(layout).and_then(|ledger| ledger.check().map(|()| ledger));
        match whole {
            Err(LedgerError::Damaged { path, why }) => {
                tracing::error!(path = %path.display(), why, "the ledger is damaged; a new one is begun");
                Self::set_aside(layout)?;
                Ok((Self::open(layout)?, true))
            }
            opened => opened.map(|ledger| (ledger, false)),
        }
    }

    /// Puts a ledger that proved damaged out of use; the next start makes a new one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set_aside(layout: &Layout) -> Result<(), LedgerError> {
        let path = layout.ledger();
        let failed = |source| LedgerError::Disk { path: path.clone(), source };
        fs::rename(&path, path.with_extension("damaged.sqlite")).map_err(failed)?;
        match fs::remove_file(journal_of(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Writes, all or nothing. SQLite does not tell errno: when its folder has nothing to complain of, what failed is
    /// tried once more, and else the folder's own error is told.
    fn write<T>(&mut self, act: impl Fn(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let mut once = || {
            let transaction = self.connection.transaction()?;
            let done = act(&transaction)?;
            transaction.commit().map(|()| done)
        };
        let written = match once() {
            Err(error) if is_disk_error(&error) => match probe_beside(&self.path) {
                Ok(()) => once(),
                Err(source) => return Err(LedgerError::Disk { path: self.path.clone(), source }),
            },
            written => written,
        };
        written.map_err(|error| self.error(error))
    }

    /// SQLite's own check of the structure.
    fn check(&self) -> Result<(), LedgerError> {
        let verdict = self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        match verdict.map_err(|error| failed(&self.path, error))? {
            verdict if verdict == "ok" => Ok(()),
            verdict => Err(self.damaged(&verdict)),
        }
    }

    fn damaged(&self, why: &str) -> LedgerError {
        LedgerError::Damaged { path: self.path.clone(), why: why.to_owned() }
    }

    fn error(&self, error: rusqlite::Error) -> LedgerError {
        failed(&self.path, error)
    }
}

fn journal_of(path: &Path) -> PathBuf {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    journal.into()
}

fn probe_beside(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), disk::probe)
}

fn is_disk_error(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, FileLockingProtocolFailed, PermissionDenied, ReadOnly, SystemIoFailure};
    matches!(
        error.sqlite_error_code(),
        Some(CannotOpen | DiskFull | FileLockingProtocolFailed | PermissionDenied | ReadOnly | SystemIoFailure)
    )
}

/// SQLite does not tell errno, so that the folder is asked what is wrong with it.
fn failed(path: &Path, error: rusqlite::Error) -> LedgerError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => io::ErrorKind::PermissionDenied,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => io::ErrorKind::ResourceBusy,
        Some(ErrorCode::OutOfMemory) => io::ErrorKind::OutOfMemory,
        Some(ErrorCode::ConstraintViolation) => io::ErrorKind::Other,
        _ if is_disk_error(&error) => io::ErrorKind::Other,
        // Neither the schema nor the statements vary: what does not fit them is not what we wrote.
        _ => return LedgerError::Damaged { path: path.to_owned(), why: error.to_string() },
    };
    let source = probe_beside(path).err().unwrap_or_else(|| io::Error::new(kind, error.to_string()));
    LedgerError::Disk { path: path.to_owned(), source }
}
