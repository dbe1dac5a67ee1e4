//! When the next backups are due, and why then.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::health::Condition;

/// A time at which a backup starts by itself, and why then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// When; in the past when it waits for something since then.
    pub at: DateTime<Utc>,
    /// Why then.
    pub reason: DueReason,
}

/// Why a backup is due when it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum DueReason {
    /// There is no backup yet.
    FirstBackup,
    /// What there is cannot be seen: the drive that holds it is away.
    DriveAway,
    /// So long after the last good one.
    Interval {
        /// `every_hours`
        hours: u32,
    },
    /// A time of the schedule.
    Schedule,
    /// It was plugged in, and the last good one was old enough for that.
    Connected,
    /// It was due then, and the phone or the computer was away or busy: as soon as it can be.
    CatchUp {
        /// When it was due.
        since: DateTime<Utc>,
    },
    /// It was or is due then; this is the next allowed hour.
    AllowedHours {
        /// When it is due.
        due: DateTime<Utc>,
    },
    /// It was or is due then; this is the end of the pause that a person wanted.
    PauseEnds {
        /// When it is due.
        due: DateTime<Utc>,
    },
    /// It was or is due then; the clock was just set and may be set again.
    ClockSettles {
        /// When it is due.
        due: DateTime<Utc>,
    },
    /// The last good backup is dated a day or more ahead: the clock was set back, and that date says nothing.
    ClockWasSetBack,
    /// What was begun is owed, and is tried again then.
    Retry,
    /// The last one was cancelled: whoever did that is left in peace for so long.
    Cancelled,
    /// Too many tries failed: the next one is a day after the last.
    GaveUp {
        /// How many.
        attempts: u32,
    },
    /// From a newer daemon.
    #[serde(other)]
    Unknown,
}

impl DueReason {
    /// For people, where there is room. `moment` says a moment in words.
    pub fn sentence(&self, moment: impl Fn(DateTime<Utc>) -> String) -> String {
        match self {
            Self::FirstBackup => "there is no backup yet".into(),
            Self::DriveAway => "the drive with the backups is away".into(),
            Self::Interval { hours } => format!("{hours} h after the last good one"),
            Self::Schedule => "a time of the schedule".into(),
            Self::Connected => "it was plugged in".into(),
            Self::CatchUp { .. } => "it could not be made then and is caught up".into(),
            Self::AllowedHours { due } => format!("due {}, moved into the allowed hours", moment(*due)),
            Self::PauseEnds { due } => format!("due {}, after the pause", moment(*due)),
            Self::ClockSettles { due } => format!("due {}, but the clock was just set", moment(*due)),
            Self::ClockWasSetBack => "the last good one is dated ahead: the clock was set back since".into(),
            Self::Retry => "the next try of the one that is owed".into(),
            Self::Cancelled => "a day after the last one was cancelled".into(),
            Self::GaveUp { attempts } => format!("a day after the last of {attempts} tries that failed"),
            Self::Unknown => "for a reason that only a newer Backstay knows".into(),
        }
    }

    /// The same in a few words, for a menu that has the time beside it; none where that says it all.
    pub fn in_short(&self, moment: impl Fn(DateTime<Utc>) -> String) -> Option<String> {
        Some(match self {
            Self::FirstBackup => "the first one".into(),
            Self::DriveAway => "the backup drive is away".into(),
            Self::Interval { hours } => format!("{hours} h after the last"),
            Self::Schedule => "by the schedule".into(),
            Self::Connected => "it was plugged in".into(),
            Self::CatchUp { since } => format!("since {}", moment(*since)),
            Self::AllowedHours { .. } => "in the allowed hours".into(),
            Self::PauseEnds { .. } => "after the pause".into(),
            Self::ClockSettles { .. } => "the clock was just set".into(),
            Self::ClockWasSetBack => "the clock was set back".into(),
            Self::Retry => "another try".into(),
            Self::Cancelled => "the last was cancelled".into(),
            Self::GaveUp { attempts } => format!("after {attempts} tries"),
            Self::Unknown => return None,
        })
    }
}

/// The backups to come as the schedule has them, if each is made when it is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timetable {
    /// What the next backup waits for, where that is no time; `times` are those after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
    /// The times, earliest first; none when nothing starts until a person acts.
    pub times: Vec<Due>,
    /// The time zone that the settings name for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Plugging the phone in starts one, too, from this age of the last good one on, in hours.
    #[serde(default)]
    pub on_connect_hours: Option<u32>,
    /// It waits while the phone has no power.
    #[serde(default)]
    pub only_when_charging: bool,
}

/// What comes before every time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "waits", rename_all = "kebab-case")]
pub enum First {
    /// Something has to become so.
    Until {
        /// What is watched for.
        condition: Condition,
    },
    /// A person has to ask for it.
    Person,
    /// The disk has to be free of another phone.
    Turn,
    /// It is being made.
    UnderWay,
    /// From a newer daemon.
    #[serde(other)]
    Unknown,
}
