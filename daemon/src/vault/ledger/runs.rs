//! How runs ended, so that a restarted daemon knows.
//!
//! A run is written as "did not finish" when it begins and again when it ends: a crash in between leaves the truth.

use backstay_shared::overview::EndedRun;
use rusqlite::OptionalExtension;

use super::{Ledger, LedgerError};

/// Older runs are forgotten: three years of daily ones.
const RUNS_KEPT_MAX: u32 = 1000;

impl Ledger {
    /// Notes how a run stands.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub fn note_run(&mut self, ended: &EndedRun) -> Result<(), LedgerError> {
        let told = serde_json::to_string(ended).map_err(|error| self.damaged(&error.to_string()))?;
        self.write(|transaction| {
            let run = ended.run.0.cast_signed();
            transaction.execute("INSERT OR REPLACE INTO runs (run, told) VALUES (?1, ?2)", (run, &told))?;
            let surplus = "DELETE FROM runs WHERE run <= (SELECT run FROM runs ORDER BY run DESC LIMIT 1 OFFSET ?1)";
            transaction.execute(surplus, [RUNS_KEPT_MAX]).map(|_| ())
        })
    }

    /// How the last run ended; none when there was none.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last_run(&self) -> Result<Option<EndedRun>, LedgerError> {
        let query = "SELECT told FROM runs ORDER BY run DESC LIMIT 1";
        let told = self.connection.query_row(query, [], |row| row.get::<_, String>(0)).optional();
        let told = told.map_err(|error| self.error(error))?;
        // One that a newer version wrote is as good as none.
        Ok(told.and_then(|told| serde_json::from_str(&told).ok()))
    }

    /// How the last so many runs ended, newest first.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last_runs(&self, count: u32) -> Result<Vec<EndedRun>, LedgerError> {
        let told = || {
            let mut query = self.connection.prepare("SELECT told FROM runs ORDER BY run DESC LIMIT ?1")?;
            query.query_map([count], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        let told = told().map_err(|error| self.error(error))?;
        // Those that a newer version wrote are as good as none.
        Ok(told.iter().filter_map(|told| serde_json::from_str(told).ok()).collect())
    }
}
