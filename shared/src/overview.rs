//! What front ends see. The daemon makes it, the tray and the command line show it, and hold no state of their own.

mod timetable;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::timetable::{Due, DueReason, First, Timetable};
use crate::{
    health::{Action, Condition, Evidence, Failure, FailureId, Severity},
    ids::{RunId, Udid},
};

/// Everything there is to show, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overview {
    /// Version of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// Where backups go.
    pub root: String,
    /// The file with the settings.
    pub config_file: String,
    /// Every phone that is here or has a backup here, by name.
    pub phones: Vec<PhoneOverview>,
    /// What is wrong with the computer rather than with one phone.
    pub problems: Vec<Problem>,
    /// Nothing starts by itself meanwhile, because a person said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// The daemon has just begun: what is not among the problems may be found yet, and is not cured.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub settling: bool,
    /// What notifications a person wants.
    #[serde(skip_serializing_if = "NotificationWishes::are_usual")]
    pub notifications: NotificationWishes,
    /// Whether a person has agreed to backups.
    #[serde(skip_serializing_if = "Setup::is_done")]
    pub setup: Setup,
}

impl Overview {
    /// The phone that this one has replaced, as far as it seems: called so, and not here any more.
    pub fn earlier_of<'a>(&self, phone: &'a PhoneOverview) -> Option<&'a EarlierPhone> {
        let earlier = phone.earlier.as_ref()?;
        let is_here = |other: &PhoneOverview| other.udid == earlier.udid && other.activity != Activity::Away;
        Some(earlier).filter(|_| !self.phones.iter().any(is_here))
    }
}

/// Whether a person has agreed to backups on this computer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setup {
    /// By settings, by arguments of the daemon, or by backups that are there.
    #[default]
    Done,
    /// Nothing is backed up before that.
    Needed,
}

impl Setup {
    fn is_done(&self) -> bool {
        *self == Self::Done
    }
}

/// What notifications a person wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotificationWishes {
    /// It is a time of the day in which nothing is to pop up but what answers a click.
    pub quiet: bool,
    /// A backup that went well is told, too.
    pub success: bool,
}

impl NotificationWishes {
    fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A person wants no backups to start by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Ends by itself then; none until the person resumes.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
}

/// One phone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhoneOverview {
    /// Its identifier.
    pub udid: Udid,
    /// Its name as the settings or its owner have it, with a part of the UDID where another phone is called so, too;
    /// the UDID until it is known.
    pub name: String,
    /// Its model, for example `iPhone15,2`.
    #[serde(default)]
    pub model: Option<String>,
    /// Its iOS version.
    #[serde(default)]
    pub ios: Option<String>,
    /// How it is connected; none while it is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// Whether it may be backed up over Wi-Fi; none until it has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wifi_allowed: Option<bool>,
    /// What it is doing.
    pub activity: Activity,
    /// The last backup that was verified and synced.
    #[serde(default)]
    pub last_good: Option<LastGood>,
    /// When the next backup is due; in the past when it waits for something.
    #[serde(default)]
    pub next_due: Option<DateTime<Utc>>,
    /// Why then.
    #[serde(default)]
    pub next_due_reason: Option<DueReason>,
    /// How the last run ended.
    #[serde(default)]
    pub last_run: Option<EndedRun>,
    /// What is wrong with it, worst first.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// The settings say that it is never backed up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turned_off: bool,
    /// The phone that it seems to have replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierPhone>,
}

/// A phone of the same name that has not been here since a newer one came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierPhone {
    /// Its identifier.
    pub udid: Udid,
    /// How many snapshots of it are kept.
    pub snapshots: u64,
    /// When the last of them was verified.
    pub last_good: DateTime<Utc>,
}

impl EarlierPhone {
    /// What there is, and how to get it onto the phone that came after it, for a person.
    pub fn sentence(&self, newer: &PhoneOverview) -> String {
        let (old, new) = (&self.udid, &newer.udid);
        let snapshots =
            if self.snapshots == 1 { "a snapshot".to_owned() } else { format!("{} snapshots", self.snapshots) };
        format!(
            "an earlier iPhone of this name has {snapshots} here; put one onto this one: backstay restore {old} --to {new}"
        )
    }
}

/// How a phone is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// On its cable.
    Usb,
    /// Over the network.
    Wifi,
    /// From a newer daemon.
    #[serde(other)]
    Unknown,
}

/// What a phone is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Activity {
    /// Not connected.
    Away,
    /// Here, and nothing to do.
    Idle,
    /// Here, and waiting for its turn on the disk.
    Queued {
        /// The run that waits.
        run: RunId,
        /// Its place in the queue, from 1; none while it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<u32>,
    },
    /// Being backed up.
    Running {
        /// The run.
        run: RunId,
        /// How far it is.
        progress: Progress,
    },
    /// A run failed; the next try is at this time.
    RetryAt {
        /// When.
        at: DateTime<Utc>,
        /// Which try in a row it will be; the first run was number 1.
        #[serde(default)]
        attempt: u32,
        /// After so many Backstay gives up for the time being.
        #[serde(default)]
        attempts_max: u32,
    },
    /// A run failed; the next try is as soon as this holds.
    Waiting {
        /// What is watched for.
        until: Condition,
    },
    /// So many tries failed that Backstay goes on only when the phone comes anew, the next backup is due or a person
    /// asks.
    GaveUp {
        /// How many.
        attempts: u32,
        /// The next try, if nothing of this happens before.
        next: DateTime<Utc>,
    },
    /// A run failed; the next try is when a person asks.
    Blocked,
}

/// The stages of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Connecting, reading facts, cloning the last backup.
    Preparing,
    /// The phone waits for its passcode.
    WaitingForPasscode,
    /// The phone looks for what changed; minutes of silence are normal.
    Scanning,
    /// The list of files of the last backup goes to the phone, which compares itself with it.
    SendingList,
    /// Bytes arrive.
    Transferring,
    /// The result is checked against its manifest.
    Verifying,
    /// Sync, receipt, swap.
    Committing,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage.
    pub phase: Phase,
    /// Bytes received; bytes sent while a list of files goes to the phone.
    pub bytes: u64,
    /// Bytes of that list.
    #[serde(default)]
    pub bytes_total: Option<u64>,
    /// Files received.
    pub files: u64,
    /// The phone's own estimate of the whole, 0 to 1.
    #[serde(default)]
    pub fraction: Option<f64>,
    /// Bytes a second of late.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// Estimated seconds to the end.
    #[serde(default)]
    pub seconds_left: Option<u64>,
}

impl Progress {
    /// The beginning.
    pub const fn start() -> Self {
        Self {
            phase: Phase::Preparing,
            bytes: 0,
            bytes_total: None,
            files: 0,
            fraction: None,
            bytes_per_second: None,
            seconds_left: None,
        }
    }
}

/// A backup that was verified and synced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastGood {
    /// When it was verified.
    pub at: DateTime<Utc>,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedRun {
    /// Which run.
    pub run: RunId,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Files received in it.
    pub files_received: u64,
    /// Bytes received in it.
    pub bytes_received: u64,
    /// What made it fail; none for success.
    #[serde(default)]
    pub failure: Option<Problem>,
}

/// A failure, rendered for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which failure of the catalogue.
    pub id: FailureId,
    /// What happened, in a few words.
    pub title: String,
    /// Why, with the values in it.
    pub why: String,
    /// What to do, cheapest first.
    pub steps: Vec<String>,
    /// What a click or a command can do.
    pub actions: Vec<Action>,
    /// How bad it is.
    pub severity: Severity,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What was seen.
    pub evidence: Evidence,
    /// Another problem that explains it and is told in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<FailureId>,
    /// A person does not want to hear of it until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<DateTime<Utc>>,
}

impl Problem {
    /// True when a person is to be told of it: nothing else explains it.
    pub const fn is_in_front(&self) -> bool {
        self.behind.is_none()
    }

    /// The same of a phone that has no backup yet: nothing is called untouched.
    #[must_use]
    pub fn without_backup(self) -> Self {
        let failure = Failure { id: self.id, evidence: Box::new(Evidence { no_backup_yet: true, ..self.evidence }) };
        Self { why: failure.explanation(), evidence: *failure.evidence, ..self }
    }

    /// Renders a failure.
    pub fn new(failure: &Failure, since: DateTime<Utc>) -> Self {
        let entry = failure.id.entry();
        Self {
            id: failure.id,
            title: entry.title.clone(),
            why: failure.explanation(),
            steps: entry.steps.iter().map(|step| failure.evidence.in_step(step)).collect(),
            actions: entry.actions.clone(),
            severity: entry.severity,
            since,
            evidence: Evidence::clone(&failure.evidence),
            behind: None,
            snoozed_until: None,
        }
    }
}
