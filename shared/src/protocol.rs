//! What the daemon and its front ends say to each other: one JSON object a line.
//!
//! The daemon begins with [`ServerMessage::Hello`]. A front end that asked for [`Request::Subscribe`] gets the whole
//! [`Overview`] at once, taken together with the registration, and again whenever it changed; progress is merged to a
//! few a second. Unknown fields and messages are ignored, unknown requests are refused.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    health::{Failure, FailureId},
    ids::RunId,
    overview::{Overview, PhoneOverview, Timetable},
};

/// Grows when an older front end would misunderstand.
pub const PROTOCOL: u32 = 1;

/// A longer line ends the connection.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// From the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ServerMessage {
    /// The first line of every connection.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Version of the daemon.
        version: String,
        /// Process id of the daemon.
        pid: u32,
    },
    /// The answer to the request of that id.
    Reply {
        /// The id of the request.
        id: u64,
        /// The answer.
        reply: Reply,
    },
    /// To subscribers: everything changed a little.
    Overview {
        /// Counts up by one for every change in the daemon; gaps are merged changes.
        sequence: u64,
        /// All of it.
        overview: Overview,
    },
    /// The daemon ends.
    Goodbye,
    /// From a newer daemon; ignore it.
    #[serde(other)]
    Unknown,
}

/// From a front end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientMessage {
    /// Comes back in the reply.
    pub id: u64,
    /// What is wanted.
    pub request: Request,
}

/// What a front end can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Request {
    /// The overview now.
    Overview,
    /// The overview now and at every change.
    Subscribe,
    /// This connection shows notifications, for as long as it lasts: the daemon shows none meanwhile.
    TakeNotifications,
    /// Back up now, whatever the schedule says.
    BackUp {
        /// A name, a UDID or a unique part of either; none for the only phone.
        #[serde(default)]
        phone: Option<String>,
        /// Everything anew rather than what changed.
        #[serde(default)]
        full: bool,
    },
    /// Stop the running backup.
    Cancel {
        /// As in `BackUp`.
        #[serde(default)]
        phone: Option<String>,
    },
    /// Start nothing by itself until then, or until `Resume`.
    Pause {
        /// None: until a person resumes.
        #[serde(default)]
        until: Option<DateTime<Utc>>,
    },
    /// Start what is due again.
    Resume,
    /// Do not tell of this problem until then.
    Snooze {
        /// As in `BackUp`; none also for a problem of the computer.
        #[serde(default)]
        phone: Option<String>,
        /// Which problem.
        problem: FailureId,
        /// Until when.
        until: DateTime<Utc>,
    },
    /// Something that a failed backup waits for may have changed: look now.
    LookAgain {
        /// As in `BackUp`.
        #[serde(default)]
        phone: Option<String>,
    },
    /// Restart the phone; it has to be unlocked once afterwards.
    RestartPhone {
        /// As in `BackUp`.
        #[serde(default)]
        phone: Option<String>,
    },
    /// Forget the trust between phone and computer and ask for it anew.
    PairAgain {
        /// As in `BackUp`.
        #[serde(default)]
        phone: Option<String>,
    },
    /// Remove old snapshots, oldest first, until the last failed backup has room.
    FreeSpace {
        /// As in `BackUp`.
        #[serde(default)]
        phone: Option<String>,
    },
    /// Copy the phone's photos and videos beside the backups.
    CopyPhotos {
        /// As in `BackUp`.
        #[serde(default)]
        phone: Option<String>,
    },
    /// When the next backups are due, and why then.
    Timetable {
        /// As in `BackUp`.
        #[serde(default)]
        phone: Option<String>,
    },
    /// A person agrees to backups: with settings that were just written, or else with the usual ones.
    SetUp,
    /// From a newer front end.
    #[serde(other)]
    Unknown,
}

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply {
    /// To `Overview` and `Subscribe`.
    Overview {
        /// See [`ServerMessage::Overview`].
        sequence: u64,
        /// All of it.
        overview: Box<Overview>,
    },
    /// To `BackUp`: this run was started, or is the one under way.
    Started {
        /// The run to follow.
        run: RunId,
    },
    /// To `Timetable`.
    Timetable {
        /// The phone, with what it is doing now.
        phone: Box<PhoneOverview>,
        /// When its next backups are due.
        timetable: Timetable,
    },
    /// Done.
    Done,
    /// Not done, and why.
    Refused(Refusal),
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Refusal {
    /// No phone fits the name.
    #[error("no phone called {name:?}; known: {}", known.join(", "))]
    NoSuchPhone {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Several phones fit the name.
    #[error("{name:?} could be any of: {}", known.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The names that fit.
        known: Vec<String>,
    },
    /// There are several phones, and none was named.
    #[error("there are several iPhones, name one: {}", known.join(", "))]
    Unnamed {
        /// Their names.
        known: Vec<String>,
    },
    /// A failure of the catalogue stands in the way.
    #[error("{0}")]
    Failure(Failure),
    /// There is no such problem, or no more.
    #[error("{problem} is not a problem now")]
    NoSuchProblem {
        /// What was asked for.
        problem: FailureId,
    },
    /// Nothing is running.
    #[error("no backup is running")]
    NothingRunning,
    /// The settings say that this phone is never backed up.
    #[error("this phone is turned off in the settings: enabled = false")]
    TurnedOff,
    /// Everything anew was asked for while a backup of what changed is under way.
    #[error("a backup of what changed is under way; ask for a full one when it has ended")]
    NotFullUnderWay,
    /// The daemon is older than the front end.
    #[error("this daemon does not know the request; restart it after an update")]
    UnknownRequest,
    /// From a newer daemon.
    #[error("the daemon refused, for a reason that only a newer Backstay knows")]
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::First;

    /// The wire format is a promise: a change here breaks front ends that are already running.
    #[test]
    fn the_wire_format_stays() {
        let cases = [
            (
                serde_json::to_string(&ClientMessage {
                    id: 7,
                    request: Request::BackUp { phone: Some("Anna".into()), full: false },
                }),
                r#"{"id":7,"request":{"type":"back-up","phone":"Anna","full":false}}"#,
            ),
            (
                serde_json::to_string(&ServerMessage::Reply { id: 7, reply: Reply::Started { run: RunId(3) } }),
                r#"{"type":"reply","id":7,"reply":{"type":"started","run":3}}"#,
            ),
            (
                serde_json::to_string(&ServerMessage::Reply { id: 1, reply: Reply::Refused(Refusal::NothingRunning) }),
                r#"{"type":"reply","id":1,"reply":{"type":"refused","reason":"nothing-running"}}"#,
            ),
            (
                serde_json::to_string(&Refusal::Unnamed { known: vec!["Anna".into()] }),
                r#"{"reason":"unnamed","known":["Anna"]}"#,
            ),
            (serde_json::to_string(&First::UnderWay), r#"{"waits":"under-way"}"#),
        ];
        for (written, golden) in cases {
            assert_eq!(written.unwrap(), golden);
        }
        let newer: Refusal = serde_json::from_str(r#"{"reason":"of-tomorrow","known":["Anna"]}"#).unwrap();
        assert_eq!(newer, Refusal::Unknown);
    }

    #[test]
    fn what_a_newer_peer_says_is_no_error() {
        let message: ServerMessage = serde_json::from_str(r#"{"type":"fireworks","colour":"red"}"#).unwrap();
        assert_eq!(message, ServerMessage::Unknown);
        let request: ClientMessage = serde_json::from_str(r#"{"id":1,"request":{"type":"dance"},"new":1}"#).unwrap();
        assert_eq!(request.request, Request::Unknown);
    }
}
