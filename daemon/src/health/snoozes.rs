//! What a person does not want to hear of for a while outlives the daemon: a restart is no reason to say it again.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use backstay_shared::{health::FailureId, ids::Udid};
use chrono::{DateTime, Utc};

use crate::host::disk;

const FILE: &str = "snoozed.json";
/// In place of a UDID.
const COMPUTER: &str = "computer";

/// Until when which problem of one subject is not told.
pub type Snoozed = BTreeMap<FailureId, DateTime<Utc>>;

/// Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Snoozes {
    by_subject: Arc<Mutex<BTreeMap<String, Snoozed>>>,
    file: PathBuf,
}

impl Snoozes {
    /// Those that were kept in this folder and are not over.
    pub fn kept(folder: &Path) -> Self {
        let file = folder.join(FILE);
        let read = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        let read = read.inspect_err(|error| tracing::warn!(%error, "what was put off is told again"));
        let mut by_subject: BTreeMap<String, Snoozed> = read.unwrap_or_default();
        let now = Utc::now();
        by_subject.values_mut().for_each(|snoozed| snoozed.retain(|_, until| *until > now));
        Self { by_subject: Arc::new(Mutex::new(by_subject)), file }
    }

    /// Those of a phone, or of the computer.
    pub fn of(&self, phone: Option<&Udid>) -> Snoozed {
        let by_subject = self.by_subject.lock().unwrap_or_else(PoisonError::into_inner);
        by_subject.get(phone.map_or(COMPUTER, Udid::as_str)).cloned().unwrap_or_default()
    }

    /// Keeps them. What is kept already costs nothing.
    pub fn keep(&self, phone: Option<&Udid>, snoozed: &Snoozed) {
        let mut by_subject = self.by_subject.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = by_subject.entry(phone.map_or(COMPUTER, Udid::as_str).to_owned()).or_default();
        if kept == snoozed {
            return;
        }
        kept.clone_from(snoozed);
        let written = serde_json::to_vec(&*by_subject).map_err(io::Error::from).and_then(|text| {
            self.file.parent().map_or(Ok(()), disk::make_private)?;
            disk::write_durably(&self.file, &text)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "what was put off will be told again after a restart");
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn they_are_kept_until_they_are_over() {
        let folder = tempfile::tempdir().unwrap();
        let anna: Udid = "00008120-001A2D3E0C40201E".parse().unwrap();
        let (later, past) = (Utc::now() + TimeDelta::hours(1), Utc::now() - TimeDelta::hours(1));
        let snoozes = Snoozes::kept(folder.path());
        snoozes.keep(Some(&anna), &Snoozed::from([(FailureId::HostDiskFull, later), (FailureId::DeviceLocked, past)]));
        snoozes.keep(None, &Snoozed::from([(FailureId::UsbmuxdNotRunning, later)]));
        let again = Snoozes::kept(folder.path());
        assert_eq!(again.of(Some(&anna)), Snoozed::from([(FailureId::HostDiskFull, later)]));
        assert_eq!(again.of(None), Snoozed::from([(FailureId::UsbmuxdNotRunning, later)]));
        again.keep(Some(&anna), &Snoozed::new());
        assert_eq!(Snoozes::kept(folder.path()).of(Some(&anna)), Snoozed::new());
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(Snoozes::kept(folder.path()).of(None), Snoozed::new());
    }
}
