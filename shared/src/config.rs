//! The person's settings, in `config.toml`.

mod address;
mod chosen;
mod hooks;
mod metrics;
mod network;
mod notify;
mod phone;
mod schedule;
mod watch;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

pub use self::{
    address::WebAddress,
    chosen::Chosen,
    hooks::{HookCommand, Hooks},
    metrics::{Metrics, MetricsFile},
    network::Network,
    notify::Notify,
    phone::{Phone, PhoneName},
    schedule::Schedule,
    watch::{Addresses, PrivateAddress, Watch},
};
use crate::{hours::Hours as AllowedHours, ids::Udid, zone::Zone};

/// Every setting, with its default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[backup]`
    pub backup: Backup,
    /// `[network]`
    pub network: Network,
    /// `[notify]`
    pub notify: Notify,
    /// `[watch]`
    pub watch: Watch,
    /// `[hooks]`
    pub hooks: Hooks,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[phones."UDID"]`
    pub phones: BTreeMap<Udid, Phone>,
}

/// Where, when and how many.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// The folder that holds the backups; `~/iPhone Backups` when absent.
    pub root: Option<PathBuf>,
    /// A backup is due this many hours after the last good one.
    pub every_hours: Hours,
    /// A cron expression, in local time; replaces `every_hours`.
    pub schedule: Option<Schedule>,
    /// The zone of that local time and of `hours`.
    pub time_zone: Zone,
    /// Plugging the phone in starts a backup, too, when the last good one is so many hours old.
    pub on_connect_hours: Option<Hours>,
    /// Backups start by themselves only in these hours of the day, local time; at any hour when absent.
    pub hours: Option<AllowedHours>,
    /// After so many days without a good backup a person is told.
    pub overdue_days: Days,
    /// A phone without power starts no backup by itself.
    pub only_when_charging: bool,
    /// A phone that is not charging starts no backup by itself below this, in percent.
    pub battery_percent_min: Percent,
    /// A backup that crawls for so many minutes is told.
    pub slow_minutes: Minutes,
    /// Backups must be encrypted: a phone that does not encrypt them is told, and not backed up.
    pub require_encryption: bool,
    /// Where a new backup finds too little room, old snapshots go, the oldest first and as many as it takes.
    pub make_room: bool,
    /// Older snapshots that are kept beside the latest, whatever their age.
    pub keep_last: u32,
    /// Days before the latest's of which one snapshot is kept.
    pub keep_daily: u32,
    /// Weeks, likewise.
    pub keep_weekly: u32,
    /// Months, likewise.
    pub keep_monthly: u32,
    /// Every file is read again and compared with its checksum once in so many days; 0 is never.
    pub check_days: u32,
}

/// Which older snapshots are kept; each rule on its own is enough to keep one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of so many days.
    pub daily: u32,
    /// The newest of each of so many weeks.
    pub weekly: u32,
    /// The newest of each of so many months.
    pub monthly: u32,
}

impl Backup {
    /// The rules of keeping.
    pub const fn retention(&self) -> Retention {
        Retention { last: self.keep_last, daily: self.keep_daily, weekly: self.keep_weekly, monthly: self.keep_monthly }
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            root: None,
            every_hours: Hours(20),
            schedule: None,
            time_zone: Zone::Computer,
            on_connect_hours: None,
            hours: None,
            overdue_days: Days(3),
            only_when_charging: false,
            battery_percent_min: Percent(20),
            slow_minutes: Minutes(10),
            require_encryption: false,
            make_room: true,
            keep_last: 3,
            keep_daily: 7,
            keep_weekly: 4,
            keep_monthly: 6,
            check_days: 7,
        }
    }
}

/// A number of hours, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Hours(u32);

impl Hours {
    /// As a number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64 * 3600)
    }
}

impl TryFrom<u32> for Hours {
    type Error = String;

    fn try_from(hours: u32) -> Result<Self, Self::Error> {
        if (1..=8760).contains(&hours) { Ok(Self(hours)) } else { Err(format!("{hours} hours: expected 1 to 8760")) }
    }
}

/// A number of days, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Days(u32);

impl Days {
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64 * 24 * 3600)
    }
}

impl TryFrom<u32> for Days {
    type Error = String;

    fn try_from(days: u32) -> Result<Self, Self::Error> {
        if (1..=365).contains(&days) { Ok(Self(days)) } else { Err(format!("{days} days: expected 1 to 365")) }
    }
}

/// A number of minutes, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Minutes(u32);

impl Minutes {
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64 * 60)
    }
}

impl TryFrom<u32> for Minutes {
    type Error = String;

    fn try_from(minutes: u32) -> Result<Self, Self::Error> {
        if (1..=1440).contains(&minutes) {
            Ok(Self(minutes))
        } else {
            Err(format!("{minutes} minutes: expected 1 to 1440"))
        }
    }
}

/// A part of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Percent(pub u8);

impl TryFrom<u32> for Percent {
    type Error = String;

    fn try_from(percent: u32) -> Result<Self, Self::Error> {
        match u8::try_from(percent) {
            Ok(percent) if percent <= 100 => Ok(Self(percent)),
            _ => Err(format!("{percent} percent: expected 0 to 100")),
        }
    }
}

/// The config can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has a mistake. The line itself is not quoted: it may hold a password.
    #[error("{}: line {line}, column {column}: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong, with the key.
        what: String,
    },
}

impl Config {
    /// Every setting there is, with its default and what it means, all of it commented out.
    pub const TEMPLATE: &str = include_str!("config/template.toml");

    /// What this phone has otherwise than the others.
    pub fn phone(&self, udid: &Udid) -> Option<&Phone> {
        // People copy it from where it is written in other letters.
        self.phones.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(udid.as_str())).map(|(_, phone)| phone)
    }

    /// `[backup]` as it is for this phone.
    pub fn backup_of(&self, udid: &Udid) -> Backup {
        self.phone(udid).map_or_else(|| self.backup.clone(), |phone| phone.over(&self.backup))
    }

    /// What a person calls this phone, if the settings say so.
    pub fn name_of(&self, udid: &Udid) -> Option<&str> {
        self.phone(udid)?.name.as_ref().map(|name| name.0.as_str())
    }

    /// Whether this phone is backed up at all.
    pub fn is_turned_off(&self, udid: &Udid) -> bool {
        self.phone(udid).is_some_and(|phone| !phone.enabled)
    }

    /// Reads the file; a missing file is the defaults.
    ///
    /// # Errors
    /// When it can't be read or has a mistake; unknown keys are mistakes.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        };
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            ConfigError::Invalid { path: path.to_owned(), line, column, what: error.message().to_owned() }
        })
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
