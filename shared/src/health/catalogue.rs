//! The texts and rules of each failure, embedded from `failures.toml`.

use std::{collections::HashMap, sync::LazyLock};

use serde::{Deserialize, Serialize};

use super::FailureId;

/// How bad it is, for the icon and the notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is broken.
    Info,
    /// Will become an error, or cures itself.
    Warning,
    /// No backup until somebody acts.
    Error,
}

/// What has to happen before a retry makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each name is its own explanation")]
pub enum Condition {
    AppleServiceRestored,
    BackupDrivePresent,
    BackupRepaired,
    Charging,
    DeviceReconnected,
    DeviceSeenOnWifi,
    DeviceSpaceAvailable,
    DeviceUnlocked,
    HostAwake,
    NetworkUp,
    PairingAccepted,
    PasscodeEntered,
    PasswordEntered,
    SpaceAvailable,
    UsbmuxdUp,
    UserPresent,
}

/// Whether Backstay tries again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// As soon as this holds.
    AutomaticWhen(Condition),
    /// After a growing delay.
    Backoff,
    /// Only when a person asks.
    Never,
}

/// One failure of the catalogue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its id.
    pub id: FailureId,
    /// What happened, in a few words.
    pub title: String,
    /// Why, in a sentence.
    pub why: String,
    /// Sentences that quote the evidence, as `{volume}`; the first whose values were all seen follows `why`.
    #[serde(default)]
    pub quotes: Vec<String>,
    /// What to do, cheapest first.
    pub steps: Vec<String>,
    /// What a click can do.
    pub actions: Vec<String>,
    /// Whether Backstay tries again by itself.
    #[serde(deserialize_with = "retry")]
    pub retry: Retry,
    /// How bad it is.
    pub severity: Severity,
    /// Failures that explain this one: while one of them is told, of the same phone or of the computer, this one stands
    /// behind it.
    #[serde(default)]
    pub depends_on: Vec<FailureId>,
    /// Not told before it has lasted so long: what passes by itself is no news.
    #[serde(default)]
    pub grace_seconds: u64,
}

fn retry<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Retry, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.split_once(':') {
        Some(("automatic-when", condition)) => {
            let condition = serde::de::value::StrDeserializer::<D::Error>::new(condition);
            Ok(Retry::AutomaticWhen(Condition::deserialize(condition)?))
        }
        None if text == "backoff" => Ok(Retry::Backoff),
        None if text == "never-automatic" => Ok(Retry::Never),
        _ => Err(serde::de::Error::custom(format!("unknown retry rule {text:?}"))),
    }
}

#[derive(Deserialize)]
struct File {
    failure: Vec<Entry>,
}

static CATALOGUE: LazyLock<HashMap<FailureId, Entry>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the text is embedded; the test below reads the very same bytes")]
    let file: File = toml::from_str(include_str!("failures.toml")).expect("the embedded catalogue is valid");
    file.failure.into_iter().map(|entry| (entry.id, entry)).collect()
});

impl FailureId {
    /// The texts and rules of this failure.
    pub fn entry(self) -> &'static Entry {
        &CATALOGUE[&self]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Evidence;

    #[test]
    fn every_id_has_one_entry_with_all_texts() {
        let file: File = toml::from_str(include_str!("failures.toml")).unwrap();
        let listed: Vec<FailureId> = file.failure.iter().map(|entry| entry.id).collect();
        assert_eq!(listed, FailureId::ALL, "failures.toml and id.rs list the same ids in the same order");
        for id in FailureId::ALL {
            let entry = id.entry();
            assert!(!entry.title.is_empty() && entry.title.len() <= 60, "{id}: a title fits a notification");
            assert!(entry.why.ends_with('.'), "{id}: why is a sentence");
            assert!(!entry.steps.is_empty() && entry.steps.iter().all(|step| !step.is_empty()), "{id}: remedy");
            for quote in &entry.quotes {
                let sample = Evidence::sample();
                assert!(sample.fill(quote).is_some(), "{id}: {quote:?} quotes what is no evidence");
            }
        }
    }
}
