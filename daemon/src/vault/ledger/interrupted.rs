//! What an interrupted run received, kept for the next one.

use rusqlite::{OptionalExtension, Row, types::Type};

use super::{Ledger, LedgerError};
use crate::{
    transfer::digests::{Digests, Kept, Origin},
    vault::{checksum::Checksums, interrupted::Interrupted, name::Name},
};

/// How a row of `received` is to be read.
const CAME: i64 = 0;
const DERIVED: i64 = 1;
const DERIVED_FOLDER: i64 = 2;
const LOST: i64 = 3;

/// A phone has changed too much by then, and what was kept takes room.
const SECONDS_MAX: i64 = 30 * 24 * 3600;

const NOTHING: Option<i64> = None;

impl Ledger {
    /// Notes what is in the tree that an interrupted run leaves behind. `base` is the identity of the backup that the run
    /// builds on; none for a first one. `afresh` when it began from nothing all the same.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn note_interrupted(&mut self, base: Option<&str>, afresh: bool, digests: &Digests) -> Result<(), LedgerError> {
        let entries = digests.kept();
        self.write(|transaction| {
            transaction.execute_batch("DELETE FROM received; DELETE FROM interrupted")?;
            transaction
                .execute("INSERT INTO interrupted (base, afresh, at) VALUES (?1, ?2, unixepoch())", (base, afresh))?;
            let mut insert = transaction.prepare(
                "INSERT OR REPLACE INTO received (name, kind, size, digest, sha1) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for entry in &entries {
                match entry {
                    Kept::File(name, Origin::Received { checksums: Checksums { size, digest, sha1 }, .. }) => {
                        insert.execute((name, CAME, size.cast_signed(), digest, sha1))?
                    }
                    Kept::File(name, Origin::Derived) => insert.execute((name, DERIVED, NOTHING, NOTHING, NOTHING))?,
                    Kept::Folder(name) => insert.execute((name, DERIVED_FOLDER, NOTHING, NOTHING, NOTHING))?,
                    Kept::Lost(id) => insert.execute((&id[..], LOST, NOTHING, NOTHING, NOTHING))?,
                };
            }
            Ok(())
        })
    }

    /// True when there is a tree of an interrupted run on this backup.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn has_interrupted(&self, base: Option<&str>) -> Result<bool, LedgerError> {
        let query = "SELECT EXISTS (SELECT 1 FROM interrupted WHERE base IS ?1 AND at > unixepoch() - ?2)";
        self.connection.query_row(query, (base, SECONDS_MAX), |row| row.get(0)).map_err(|error| self.error(error))
    }

    /// What is in that tree; none when there is none. From now on the tree changes, so that this is forgotten.
    ///
    /// # Errors
    /// When the ledger can't be read or written.
    pub fn take_interrupted(&mut self, base: Option<&str>) -> Result<Option<Interrupted>, LedgerError> {
        let query = "SELECT afresh FROM interrupted WHERE base IS ?1 AND at > unixepoch() - ?2";
        let afresh = self.connection.query_row(query, (base, SECONDS_MAX), |row| row.get(0)).optional();
        let interrupted = match afresh.map_err(|error| self.error(error))? {
            Some(afresh) => {
                let digests = self.received().map_err(|error| self.error(error))?;
                Some(Interrupted { afresh, digests })
            }
            None => None,
        };
        self.forget_interrupted()?;
        Ok(interrupted)
    }

    /// There is no such tree any more.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn forget_interrupted(&mut self) -> Result<(), LedgerError> {
        let any = self.connection.query_row("SELECT 1 FROM interrupted LIMIT 1", [], |_| Ok(())).optional();
        match any.map_err(|error| self.error(error))? {
            Some(()) => {
                self.write(|transaction| transaction.execute_batch("DELETE FROM received; DELETE FROM interrupted"))
            }
            None => Ok(()),
        }
    }

    fn received(&self) -> rusqlite::Result<Digests> {
        let mut digests = Digests::default();
        let mut statement = self.connection.prepare("SELECT name, kind, size, digest, sha1 FROM received")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            digests.keep(kept(row)?);
        }
        Ok(digests)
    }
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let name = || row.get::<_, Name>(0);
    Ok(match row.get(1)? {
        CAME => {
            let size = row.get::<_, i64>(2)?.cast_unsigned();
            let checksums = Checksums { size, digest: row.get(3)?, sha1: row.get(4)? };
            Kept::File(name()?, Origin::Received { checksums, whole: true })
        }
        DERIVED => Kept::File(name()?, Origin::Derived),
        DERIVED_FOLDER => Kept::Folder(row.get::<_, Name>(0)?.to_string()),
        LOST => Kept::Lost(row.get(0)?),
        _ => return Err(rusqlite::Error::InvalidColumnType(1, "kind".into(), Type::Integer)),
    })
}
