//! The snapshots that there are, and what each costs.

use rusqlite::{OptionalExtension, Row};

use super::{Ledger, LedgerError};
use crate::vault::receipt::Receipt;

/// One snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in the order in which they were made.
    pub number: i64,
    /// Its time, which also names its receipt and its folder in history.
    pub id: String,
    /// Identity of its tree.
    pub tree: String,
    /// Files with content.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its receipt; none when another program made it.
    pub receipt: Option<Receipt>,
    /// When every file was last compared with its checksum, seconds since 1970.
    pub checked: Option<i64>,
    /// Some file of it is not as it was.
    pub damaged: bool,
    /// Files whose size in the list is another, which is usual.
    pub notes: u64,
    /// Files that may be incomplete.
    pub doubts: u64,
}

const COLUMNS: &str = "number, id, tree, files, bytes, receipt, checked, damaged, notes, doubts";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let receipt: Option<String> = row.get(5)?;
    Ok(Entry {
        number: row.get(0)?,
        id: row.get(1)?,
        tree: row.get(2)?,
        files: row.get::<_, i64>(3)?.cast_unsigned(),
        bytes: row.get::<_, i64>(4)?.cast_unsigned(),
        receipt: receipt.and_then(|receipt| serde_json::from_str(&receipt).ok()),
        checked: row.get(6)?,
        damaged: row.get(7)?,
        notes: row.get::<_, i64>(8)?.cast_unsigned(),
        doubts: row.get::<_, i64>(9)?.cast_unsigned(),
    })
}

impl Ledger {
    /// Every snapshot, in the order in which they were made.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn snapshots(&self) -> Result<Vec<Entry>, LedgerError> {
        let read = || {
            let mut statement = self.connection.prepare(&format!("SELECT {COLUMNS} FROM snapshots ORDER BY number"))?;
            statement.query_map([], entry)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// The newest snapshot.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn newest(&self) -> Result<Option<Entry>, LedgerError> {
        let query = format!("SELECT {COLUMNS} FROM snapshots ORDER BY number DESC LIMIT 1");
        self.connection.query_row(&query, [], entry).optional().map_err(|error| self.error(error))
    }

    /// The bytes that would become free without each snapshot, by its number: of the contents that no other holds.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn costs(&self) -> Result<Vec<(i64, u64)>, LedgerError> {
        let read = || {
            // The snapshots that hold a version are those between its first and last which still exist.
            let query = "
                SELECT number, coalesce((
                    SELECT sum(size) FROM versions
                    WHERE first <= number AND (last IS NULL OR last >= number)
                      AND (before IS NULL OR first > before) AND (after IS NULL OR last < after)
                ), 0)
                FROM (SELECT number, lag(number) OVER (ORDER BY number) AS before,
                             lead(number) OVER (ORDER BY number) AS after FROM snapshots)";
            let mut statement = self.connection.prepare(query)?;
            let cost = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()));
            statement.query_map([], cost)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// The bytes that would become free without all of these snapshots together: of the contents that no other holds.
    /// More than the sum of what each costs, since they share some among themselves.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn cost_of_all(&self, numbers: &[i64]) -> Result<u64, LedgerError> {
        let gone = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        let query = format!(
            "SELECT coalesce(sum(size), 0) FROM versions WHERE NOT EXISTS (
                SELECT 1 FROM snapshots
                WHERE number >= first AND (last IS NULL OR number <= last) AND number NOT IN ({gone})
            )"
        );
        let bytes = self.connection.query_row(&query, [], |row| row.get::<_, i64>(0));
        bytes.map(i64::cast_unsigned).map_err(|error| self.error(error))
    }

    /// True when some checksum is known.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn knows_checksums(&self) -> Result<bool, LedgerError> {
        let query = "SELECT EXISTS (SELECT 1 FROM versions WHERE digest IS NOT NULL)";
        self.connection.query_row(query, [], |row| row.get(0)).map_err(|error| self.error(error))
    }

    /// Forgets every snapshot, but not the runs.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn clear(&mut self) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.execute_batch("DELETE FROM versions; DELETE FROM snapshots; DELETE FROM unreadable")
        })
    }

    /// Forgets a snapshot whose tree is gone, and the contents that no other holds.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn forget(&mut self, number: i64) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM snapshots WHERE number = ?1", [number])?;
            transaction.execute("DELETE FROM unreadable WHERE number = ?1", [number])?;
            transaction.execute(
                "DELETE FROM versions WHERE last IS NOT NULL AND NOT EXISTS
                    (SELECT 1 FROM snapshots WHERE number BETWEEN first AND last)",
                [],
            )?;
            Ok(())
        })
    }

    /// Takes back what was written of a snapshot whose commit never came: the newest one.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn undo(&mut self, number: i64) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM versions WHERE first = ?1", [number])?;
            transaction.execute("DELETE FROM unreadable WHERE number = ?1", [number])?;
            // Contents that ended just before were ended by it.
            transaction.execute("UPDATE versions SET last = NULL WHERE last = ?1 - 1", [number])?;
            transaction.execute("DELETE FROM snapshots WHERE number = ?1", [number])?;
            // So that the next one follows without a gap, and the line above stays true.
            transaction.execute("UPDATE sqlite_sequence SET seq = ?1 - 1 WHERE name = 'snapshots'", [number])?;
            Ok(())
        })
    }

    /// Notes what a check that read the manifest found beside damages.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn note_findings(&mut self, number: i64, notes: u64, doubts: u64) -> Result<(), LedgerError> {
        let query = "UPDATE snapshots SET notes = ?2, doubts = ?3 WHERE number = ?1";
        let counts = (number, notes.cast_signed(), doubts.cast_signed());
        self.write(|transaction| transaction.execute(query, counts).map(|_| ()))
    }

    /// Notes the outcome of a check of a whole snapshot.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn note_check(&mut self, number: i64, checked: Option<i64>, damaged: bool) -> Result<(), LedgerError> {
        let query = "UPDATE snapshots SET checked = coalesce(?2, checked), damaged = ?3 WHERE number = ?1";
        self.write(|transaction| transaction.execute(query, (number, checked, damaged)).map(|_| ()))
    }
}
