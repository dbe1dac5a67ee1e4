//! What was told already, so that a cause is told once and not at each try.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use backstay_shared::{health::FailureId, ids::Udid};
use chrono::{DateTime, TimeDelta, Utc};

use crate::host::disk;

/// A cause that lasts is told again after this.
const AGAIN_AFTER: TimeDelta = TimeDelta::days(1);

/// Kept on disk: a computer that restarts each night must not tell each night.
#[derive(Debug)]
pub(super) struct Told {
    file: PathBuf,
    told: BTreeMap<Udid, BTreeMap<FailureId, DateTime<Utc>>>,
}

impl Told {
    /// As an earlier process left it.
    pub(super) fn read(file: &Path) -> Self {
        // What can't be read is told anew, which is the safe side.
        let told = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file: file.to_owned(), told }
    }

    /// True when this cause is to be told now; then it counts as told.
    pub(super) fn is_news(&mut self, udid: &Udid, id: FailureId, now: DateTime<Utc>) -> bool {
        let told = self.told.entry(udid.clone()).or_default();
        // Nor is a time in the future one: the clock was set back.
        let lately = told.get(&id).is_some_and(|at| *at <= now && now - *at < AGAIN_AFTER);
        if !lately {
            told.insert(id, now);
            self.keep();
        }
        !lately
    }

    /// All is well with this phone: the next time is a new one.
    pub(super) fn cured(&mut self, udid: &Udid) {
        if self.told.remove(udid).is_some() {
            self.keep();
        }
    }

    fn keep(&self) {
        let written = self.file.parent().map_or(Ok(()), disk::make_private).and_then(|()| {
            let text = serde_json::to_vec(&self.told)?;
            disk::write_durably(&self.file, &text)
        });
        if let Err(error) = written {
            tracing::warn!(file = %self.file.display(), %error, "what hooks were told can't be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_a_day_until_it_is_cured() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/hooks.json");
        let (one, other): (Udid, Udid) = ("00008120-01".parse().unwrap(), "00008120-02".parse().unwrap());
        let at = |hour: i64| DateTime::from_timestamp(1_764_000_000 + 3600 * hour, 0).unwrap();
        let mut told = Told::read(&file);
        assert!(told.is_news(&one, FailureId::HostDiskFull, at(0)));
        assert!(!told.is_news(&one, FailureId::HostDiskFull, at(1)));
        assert!(told.is_news(&one, FailureId::UsbDisconnected, at(1)), "another cause");
        assert!(told.is_news(&other, FailureId::HostDiskFull, at(1)), "another phone");
        let mut told = Told::read(&file);
        assert!(!told.is_news(&one, FailureId::HostDiskFull, at(2)), "a restart does not forget");
        assert!(told.is_news(&one, FailureId::HostDiskFull, at(24)), "a day has passed");
        told.cured(&one);
        assert!(told.is_news(&one, FailureId::HostDiskFull, at(25)), "it was well in between");
        assert!(!told.is_news(&other, FailureId::HostDiskFull, at(24)));
        assert!(told.is_news(&other, FailureId::HostDiskFull, at(-24)), "the clock was set back");
        fs::write(&file, "{").unwrap();
        assert!(Told::read(&file).is_news(&one, FailureId::HostDiskFull, at(26)));
    }
}
