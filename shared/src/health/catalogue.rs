//! The texts and rules of each failure, embedded from `failures.toml`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize};

use super::{Action, FailureId};

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

impl Condition {
    /// What follows "as soon as".
    pub const fn words(self) -> &'static str {
        match self {
            Self::AppleServiceRestored => "Apple reports it mended",
            Self::BackupDrivePresent => "the backup disk is there",
            Self::BackupRepaired => "the backup is in order",
            Self::Charging => "the iPhone has charged a little",
            Self::DeviceReconnected => "the iPhone is connected again",
            Self::DeviceSeenOnWifi => "the iPhone is seen on Wi-Fi",
            Self::DeviceSpaceAvailable => "the iPhone has room",
            Self::DeviceUnlocked => "the iPhone is unlocked",
            Self::HostAwake => "the computer is awake",
            Self::NetworkUp => "the network is there",
            Self::PairingAccepted => "the iPhone trusts this computer",
            Self::PasscodeEntered => "the passcode was entered on the iPhone",
            Self::PasswordEntered => "the backup password was entered",
            Self::SpaceAvailable => "the backup disk has room",
            Self::UsbmuxdUp => "usbmuxd answers",
            Self::UserPresent => "somebody plugs the iPhone in or unlocks it",
        }
    }
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

impl Retry {
    /// The rule, for a person.
    pub fn words(self) -> String {
        match self {
            Self::AutomaticWhen(condition) => format!("It is tried again by itself as soon as {}.", condition.words()),
            Self::Backoff => "It is tried again by itself, after growing pauses.".to_owned(),
            Self::Never => "It is tried again when you ask for it.".to_owned(),
        }
    }
}

/// What a failure is about, to read the catalogue by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each name is its own explanation")]
pub enum Group {
    Computer,
    Iphone,
    Trust,
    Cable,
    Wifi,
    Password,
    Backups,
    Restore,
    Pace,
    Icloud,
    Photos,
    Other,
}

impl Group {
    /// A heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Computer => "This computer and its disks",
            Self::Iphone => "The iPhone",
            Self::Trust => "Trust and connection",
            Self::Cable => "Cable and USB",
            Self::Wifi => "Wi-Fi",
            Self::Password => "Backup passwords",
            Self::Backups => "Kept backups",
            Self::Restore => "Restoring",
            Self::Pace => "Slow, stopped, overdue",
            Self::Icloud => "iCloud",
            Self::Photos => "Photos",
            Self::Other => "Everything else",
        }
    }
}

/// One failure of the catalogue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its id.
    pub id: FailureId,
    /// What it is about.
    pub group: Group,
    /// What happened, in a few words.
    pub title: String,
    /// Why, in a sentence.
    pub why: String,
    /// Sentences that quote the evidence, as `{volume}`; the first whose values were all seen follows `why`.
    #[serde(default)]
    pub quotes: Vec<String>,
    /// What to do, cheapest first.
    pub steps: Vec<String>,
    /// What a click or a command can do.
    pub actions: Vec<Action>,
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
#[serde(deny_unknown_fields)]
struct File {
    /// Steps that many failures have in common; `@name` in their steps stands for one.
    phrase: BTreeMap<String, String>,
    failure: Vec<Entry>,
}

impl File {
    fn read() -> Result<Self, toml::de::Error> {
        let mut file: Self = toml::from_str(include_str!("failures.toml"))?;
        for step in file.failure.iter_mut().flat_map(|entry| &mut entry.steps) {
            if let Some(phrase) = step.strip_prefix('@').and_then(|name| file.phrase.get(name)) {
                step.clone_from(phrase);
            }
        }
        Ok(file)
    }
}

static CATALOGUE: LazyLock<HashMap<FailureId, Entry>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the text is embedded; the test below reads the very same bytes")]
    let file = File::read().expect("the embedded catalogue is valid");
    file.failure.into_iter().map(|entry| (entry.id, entry)).collect()
});

impl FailureId {
    /// The texts and rules of this failure.
    pub fn entry(self) -> &'static Entry {
        &CATALOGUE[&self]
    }

    /// The failure of this name.
    pub fn of_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.slug() == slug)
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
