//! May it run? Looked at before anything is asked of the phone that its owner would notice.
//!
//! One file a check; each is pure: the facts are gathered before.

mod battery;
mod encryption;
mod link;
mod lock;
mod ready;
mod room;
mod storage;

pub(crate) use room::{COMFORT_BYTES as ROOM_COMFORT_BYTES, SLACK_BYTES as ROOM_SLACK_BYTES};
pub(crate) use storage::FULL_BYTES as STORAGE_FULL_BYTES;

use backstay_shared::{config::Backup, health::Failure};

use crate::{
    phone::{facts::Facts, state::Occasion, vitals::Vitals},
    vault::forecast::Forecast,
};

/// Everything that the checks look at.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The phone's name and versions.
    pub facts: &'a Facts,
    /// How the phone is.
    pub vitals: &'a Vitals,
    /// The settings.
    pub config: &'a Backup,
    /// Why the run begins now.
    pub occasion: Occasion,
    /// Bytes free on the backup disk.
    pub bytes_free: u64,
    /// What past runs say of the next one.
    pub forecast: &'a Forecast,
    /// The backup disk, as people call it.
    pub volume: &'a str,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// Nothing.
    Fine,
    /// Worth knowing; the backup goes on.
    Notice(Failure),
    /// The backup can't succeed, or must not begin.
    Hindrance(Failure),
}

/// What all checks found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What stands in the way, in the order of what a person has to do first.
    pub hindrances: Vec<Failure>,
    /// What is worth knowing besides.
    pub notices: Vec<Failure>,
}

/// Asks every check.
pub fn judge(situation: &Situation<'_>) -> Verdict {
    let checks: [fn(&Situation<'_>) -> Finding; 7] =
        [room::check, ready::check, encryption::check, storage::check, battery::check, link::check, lock::check];
    let mut verdict = Verdict::default();
    for check in checks {
        match check(situation) {
            Finding::Fine => {}
            Finding::Notice(failure) => verdict.notices.push(failure),
            Finding::Hindrance(failure) => verdict.hindrances.push(failure),
        }
    }
    verdict
}

#[cfg(test)]
mod tests;
