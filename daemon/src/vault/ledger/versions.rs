//! The contents that the files of the snapshots had, each once.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, Row};

use super::{Digest, Ledger, LedgerError};
use crate::vault::{
    checksum::Checksums,
    name::Name,
    proof::{Proof, Sha1},
    receipt::Receipt,
};

/// What a snapshot holds under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Bytes on disk.
    pub size: u64,
    /// None until it is first read.
    pub digest: Option<Digest>,
    /// None until it is first read by a version that takes it.
    pub sha1: Option<Sha1>,
    /// How it was proved.
    pub proof: Proof,
}

/// A content that is new in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The file.
    pub name: Name,
    /// Bytes on disk.
    pub size: u64,
    /// None until it is first read.
    pub digest: Option<Digest>,
    /// As that.
    pub sha1: Option<Sha1>,
    /// How it was proved.
    pub proof: Proof,
    /// True when the checksum was taken while the file came, false when from the disk.
    pub received: bool,
}

/// A content in the ledger, and where to find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The file.
    pub name: Name,
    /// The first snapshot that holds it.
    pub first: i64,
    /// A snapshot that is there and holds it.
    pub holder: i64,
    /// What it holds.
    pub held: Held,
}

/// The columns that [`held`] reads.
const HELD: &str = "size, digest, sha1, proof";

/// Those columns, from this one on.
fn held(row: &Row<'_>, from: usize) -> rusqlite::Result<Held> {
    Ok(Held {
        size: row.get::<_, i64>(from)?.cast_unsigned(),
        digest: row.get(from + 1)?,
        sha1: row.get(from + 2)?,
        proof: Proof::of_number(row.get(from + 3)?),
    })
}

/// What is not known of the files of a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unproved {
    /// Files that have no checksum yet.
    pub without_checksum: u64,
    /// Files whose checksum was taken later than they came.
    pub checksum_taken_later: u64,
    /// Files of the phone of which nothing proves that they came whole.
    pub without_proof: u64,
}

/// A snapshot as it is about to be sealed.
#[derive(Debug)]
pub struct NewSnapshot<'a> {
    /// Its time.
    pub id: &'a str,
    /// Identity of its tree.
    pub tree: &'a str,
    /// Files with content.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// None when another program made it.
    pub receipt: Option<&'a Receipt>,
    /// Contents that it does not share with the one before.
    pub new: Vec<Sealed>,
    /// Files of the one before that it has not.
    pub gone: Vec<Name>,
    /// Files that the phone could not read.
    pub unreadable: Vec<NotRead>,
}

/// A file that the phone could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRead {
    /// Which.
    pub name: Name,
    /// It is harmless.
    pub harmless: bool,
    /// Its row's `Size`, where it has a row.
    pub size: Option<u64>,
}

impl Ledger {
    /// Everything a snapshot holds, by name.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn held(&self, number: i64) -> Result<HashMap<Name, Held>, LedgerError> {
        let read = || {
            let query = format!("SELECT name, {HELD} FROM versions WHERE first <= ?1 AND (last IS NULL OR last >= ?1)");
            let mut statement = self.connection.prepare(&query)?;
            statement.query_map([number], |row| Ok((row.get(0)?, held(row, 1)?)))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// Writes down a new latest snapshot; returns its number.
    ///
    /// # Errors
    /// When the ledger can't be written; then nothing is.
    pub fn seal(&mut self, snapshot: NewSnapshot<'_>) -> Result<i64, LedgerError> {
        let receipt = snapshot.receipt.map(serde_json::to_string).transpose();
        let receipt = receipt.map_err(|error| self.damaged(&error.to_string()))?;
        let mut new = snapshot.new;
        // In order of their place in the database: a first backup brings hundreds of thousands.
        new.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        self.write(|transaction| {
            // A commit that is told as failed may have come all the same: its last step is a sync of the folder.
            let known = "SELECT number FROM snapshots WHERE id = ?1 AND tree = ?2";
            let known = transaction.query_row(known, (snapshot.id, snapshot.tree), |row| row.get(0)).optional()?;
            if let Some(number) = known {
                return Ok(number);
            }
            transaction.execute(
                "INSERT INTO snapshots (id, tree, files, bytes, receipt, notes, doubts)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                (
                    snapshot.id,
                    snapshot.tree,
                    snapshot.files.cast_signed(),
                    snapshot.bytes.cast_signed(),
                    &receipt,
                    snapshot.receipt.map_or(0, |receipt| receipt.notes.cast_signed()),
                    snapshot.receipt.map_or(0, |receipt| receipt.doubts.cast_signed()),
                ),
            )?;
            let number = transaction.last_insert_rowid();
            {
                let mut end = transaction
                    .prepare("UPDATE versions SET last = ?2 - 1 WHERE name = ?1 AND last IS NULL AND first < ?2")?;
                let names = snapshot.gone.iter().chain(new.iter().map(|sealed| &sealed.name));
                for name in names {
                    end.execute((name, number))?;
                }
                let mut insert = transaction.prepare(
                    "INSERT INTO versions (name, first, size, digest, received, sha1, proof)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?;
                for Sealed { name, size, digest, sha1, proof, received } in &new {
                    let (size, proof) = (size.cast_signed(), i64::from(*proof as u8));
                    insert.execute((name, number, size, digest, received, sha1, proof))?;
                }
                let mut insert = transaction
                    .prepare("INSERT OR IGNORE INTO unreadable (number, name, harmless) VALUES (?1, ?2, ?3)")?;
                for NotRead { name, harmless, .. } in &snapshot.unreadable {
                    insert.execute((number, name, harmless))?;
                }
            }
            Ok(number)
        })
    }

    /// What is not known of the files of a snapshot.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn unproved(&self, number: i64) -> Result<Unproved, LedgerError> {
        // Twenty bytes name a file of the phone; the others have no row that could prove them.
        let query = "
            SELECT count(*) FILTER (WHERE digest IS NULL), count(*) FILTER (WHERE digest IS NOT NULL AND NOT received),
                   count(*) FILTER (WHERE proof = 0 AND typeof(name) = 'blob')
            FROM versions WHERE first <= ?1 AND (last IS NULL OR last >= ?1)";
        let count = |row: &Row<'_>, index| row.get::<_, i64>(index).map(i64::cast_unsigned);
        let counted = self.connection.query_row(query, [number], |row| {
            Ok(Unproved {
                without_checksum: count(row, 0)?,
                checksum_taken_later: count(row, 1)?,
                without_proof: count(row, 2)?,
            })
        });
        counted.map_err(|error| self.error(error))
    }

    /// The contents that were not read for longest, and not since `before` (seconds since 1970): some more than
    /// `bytes` of them.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn due_for_check(&self, before: i64, bytes: u64) -> Result<Vec<Version>, LedgerError> {
        let read = || {
            let query = format!(
                "SELECT name, first,
                       (SELECT max(number) FROM snapshots WHERE number >= first AND (last IS NULL OR number <= last)),
                       {HELD}
                FROM versions WHERE coalesce(checked, 0) < ?1 ORDER BY coalesce(checked, 0)"
            );
            let mut statement = self.connection.prepare(&query)?;
            let mut rows = statement.query([before])?;
            let (mut due, mut sum) = (Vec::new(), 0_u64);
            while let Some(row) = rows.next()? {
                let held = held(row, 3)?;
                // One that no snapshot holds is of a run that did not end.
                let Some(holder) = row.get(2)? else { continue };
                due.push(Version { name: row.get(0)?, first: row.get(1)?, holder, held });
                sum = sum.saturating_add(held.size.max(1));
                if sum > bytes {
                    break;
                }
            }
            Ok(due)
        };
        read().map_err(|error| self.error(error))
    }

    /// Bytes of all contents together.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn bytes(&self) -> Result<u64, LedgerError> {
        let query = "SELECT coalesce(sum(size), 0) FROM versions";
        let sum = self.connection.query_row(query, [], |row| row.get::<_, i64>(0));
        sum.map(i64::cast_unsigned).map_err(|error| self.error(error))
    }

    /// Notes which contents were read and found good at a time; checksums that were not known are known from then on. A
    /// proof that was found is noted where there was none.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn note_read(&mut self, read: &[(Version, Checksums, Proof)], at: i64) -> Result<(), LedgerError> {
        self.write(|transaction| {
            {
                let mut note = transaction.prepare(
                    "UPDATE versions SET checked = ?3, digest = coalesce(digest, ?4), sha1 = coalesce(sha1, ?5),
                                         proof = CASE proof WHEN 0 THEN ?6 ELSE proof END
                     WHERE name = ?1 AND first = ?2",
                )?;
                for (Version { name, first, .. }, Checksums { digest, sha1, .. }, proof) in read {
                    note.execute((name, first, at, digest, sha1, i64::from(*proof as u8)))?;
                }
            }
            Ok(())
        })
    }

    /// The files of a snapshot that the phone could not read.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn unreadable(&self, number: i64) -> Result<HashSet<Name>, LedgerError> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT name FROM unreadable WHERE number = ?1")?;
            statement.query_map([number], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// The snapshots that hold the last good content of what the phone could not read for the newest one, by number.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last_readable(&self) -> Result<HashSet<i64>, LedgerError> {
        let read = || {
            let query = "
                SELECT DISTINCT max(snapshots.number) FROM unreadable AS now, snapshots, versions
                WHERE now.number = (SELECT max(number) FROM snapshots) AND NOT now.harmless
                    AND versions.name = now.name AND versions.size > 0
                    AND snapshots.number < now.number AND snapshots.number >= versions.first
                    AND (versions.last IS NULL OR snapshots.number <= versions.last)
                    AND NOT EXISTS (SELECT 1 FROM unreadable AS before
                                    WHERE before.number = snapshots.number AND before.name = now.name)
                GROUP BY now.name";
            let mut statement = self.connection.prepare(query)?;
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// The files that came with another digest than their rows have, in the run before.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn contradicted(&self) -> Result<HashSet<Name>, LedgerError> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT name FROM contradicted")?;
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// Notes which these were in this run.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn note_contradicted(&mut self, names: &HashSet<Name>) -> Result<(), LedgerError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM contradicted", [])?;
            let mut insert = transaction.prepare("INSERT OR IGNORE INTO contradicted (name) VALUES (?1)")?;
            names.iter().try_for_each(|name| insert.execute([name]).map(|_| ()))
        })
    }

    /// Notes that a content was looked at, whatever was found.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn note_looked_at(&mut self, version: &Version, at: i64) -> Result<(), LedgerError> {
        let query = "UPDATE versions SET checked = ?3 WHERE name = ?1 AND first = ?2";
        self.write(|transaction| transaction.execute(query, (&version.name, version.first, at)).map(|_| ()))
    }

    /// Which snapshots hold this content, by number.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn holders(&self, version: &Version) -> Result<Vec<i64>, LedgerError> {
        let read = || {
            let query = "
                SELECT number FROM snapshots, versions
                WHERE name = ?1 AND first = ?2 AND number >= first AND (last IS NULL OR number <= last)";
            let mut statement = self.connection.prepare(query)?;
            statement.query_map((&version.name, version.first), |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// The content that a snapshot holds under a name.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn version(&self, number: i64, name: &Name) -> Result<Option<Version>, LedgerError> {
        let query = format!(
            "SELECT first, {HELD} FROM versions WHERE name = ?1 AND first <= ?2 AND (last IS NULL OR last >= ?2)"
        );
        let found = self.connection.query_row(&query, (name, number), |row| {
            Ok(Version { name: name.clone(), first: row.get(0)?, holder: number, held: held(row, 1)? })
        });
        found.optional().map_err(|error| self.error(error))
    }
}
