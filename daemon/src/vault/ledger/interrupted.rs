//! What an interrupted run received, kept for the next one.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, types::Type};

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
const UNREADABLE: i64 = 4;
const UNREADABLE_HARMLESS: i64 = 5;

/// A phone has changed too much by then, and what was kept takes room.
const SECONDS_MAX: i64 = 30 * 24 * 3600;

const NOTHING: Option<i64> = None;

impl Ledger {
    /// Notes what is in the tree that an interrupted run on the backup `base` leaves behind; a first one has no base.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn note_interrupted(&mut self, base: Option<&str>, run: &Interrupted) -> Result<(), LedgerError> {
        let entries = run.digests.kept(run.began);
        self.write(|transaction| {
            transaction.execute_batch("DELETE FROM received; DELETE FROM interrupted")?;
            transaction.execute(
                "INSERT INTO interrupted (base, afresh, device_key, at) VALUES (?1, ?2, ?3, unixepoch())",
                (base, run.afresh, &run.device_key),
            )?;
            let mut insert = transaction.prepare(
                "INSERT OR REPLACE INTO received (name, kind, size, digest, sha1, began)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for entry in &entries {
                match entry {
                    Kept::File(
                        name,
                        Origin::Received { checksums: Checksums { size, digest, sha1 }, whole },
                        began,
                    ) => {
                        let kind = match (whole, run.unreadable.get(&name.in_place())) {
                            (true, _) => CAME,
                            (false, Some(true)) => UNREADABLE_HARMLESS,
                            (false, _) => UNREADABLE,
                        };
                        insert.execute((name, kind, size.cast_signed(), digest, sha1, began))?
                    }
                    Kept::File(name, Origin::Derived, _) => {
                        insert.execute((name, DERIVED, NOTHING, NOTHING, NOTHING, NOTHING))?
                    }
                    Kept::Folder(name) => insert.execute((name, DERIVED_FOLDER, NOTHING, NOTHING, NOTHING, NOTHING))?,
                    Kept::Lost(id) => insert.execute((&id[..], LOST, NOTHING, NOTHING, NOTHING, NOTHING))?,
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

    /// What is in that tree, if there is one. From now on the tree changes, so that this is forgotten.
    ///
    /// # Errors
    /// When the ledger can't be read or written.
    pub fn take_interrupted(&mut self, base: Option<&str>) -> Result<Option<Interrupted>, LedgerError> {
        let query = "SELECT afresh, device_key FROM interrupted WHERE base IS ?1 AND at > unixepoch() - ?2";
        let found =
            self.connection.query_row(query, (base, SECONDS_MAX), |row| Ok((row.get(0)?, row.get(1)?))).optional();
        let interrupted = match found.map_err(|error| self.error(error))? {
            Some((afresh, device_key)) => {
                let (digests, unreadable) = self.received().map_err(|error| self.error(error))?;
                Some(Interrupted { afresh, device_key, began: 0, digests, unreadable })
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

    fn received(&self) -> rusqlite::Result<(Digests, HashMap<Name, bool>)> {
        let (mut digests, mut unreadable) = (Digests::default(), HashMap::new());
        let mut statement = self.connection.prepare("SELECT name, kind, size, digest, sha1, began FROM received")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name = || row.get::<_, Name>(0);
            let kind: i64 = row.get(1)?;
            digests.keep(match kind {
                CAME | UNREADABLE | UNREADABLE_HARMLESS => {
                    let size = row.get::<_, i64>(2)?.cast_unsigned();
                    let checksums = Checksums { size, digest: row.get(3)?, sha1: row.get(4)? };
                    if kind != CAME {
                        unreadable.insert(name()?.in_place(), kind == UNREADABLE_HARMLESS);
                    }
                    Kept::File(name()?, Origin::Received { checksums, whole: kind == CAME }, row.get(5)?)
                }
                DERIVED => Kept::File(name()?, Origin::Derived, None),
                DERIVED_FOLDER => Kept::Folder(name()?.to_string()),
                LOST => Kept::Lost(row.get(0)?),
                _ => return Err(rusqlite::Error::InvalidColumnType(1, "kind".into(), Type::Integer)),
            });
        }
        Ok((digests, unreadable))
    }
}
