//! Notifications: one per problem, told once, withdrawn when it is cured.
//!
//! What to say is decided here without I/O; `linux` and `other` only carry it out.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
mod told;

use std::{fmt, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::debug;

use super::{
    command::{Command, Subject},
    view::View,
};
use crate::{
    health::{FailureId, Severity},
    ids::Udid,
    protocol::Refusal,
};
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;
use told::Told;

/// Changes on their way to the platform; more means that it hangs.
const CHANGES_MAX: usize = 64;
/// How long the end of the companion waits for its notifications to be withdrawn.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// What happened besides a new view.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A person asked for a backup of this phone.
    Asked(Udid),
    /// The daemon refused what a person asked.
    Refused(Subject, Refusal),
    /// A person wants to read about this problem, and there is no other place for it.
    WhatToDo(Subject, FailureId),
    /// What came of something else that a person clicked.
    Said {
        /// In a few words.
        title: String,
        /// The rest.
        text: String,
    },
}

/// Names a notification: what it is about. A newer one with the same key replaces it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The phone or the computer.
    pub subject: Subject,
    /// What of it.
    pub about: About,
}

/// What a notification tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// This problem.
    Problem(FailureId),
    /// The daemon refused what a person asked.
    Refusal,
    /// What came of something else that a person clicked.
    Answer,
    /// A backup went well.
    Success,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub key: Key,
    /// The title, plain text.
    pub summary: String,
    /// Why and what to do, plain text.
    pub body: String,
    /// Its buttons and what they do.
    pub buttons: Vec<(Button, Command)>,
    /// For its icon and how insistent it is.
    pub severity: Severity,
}

/// The buttons there are. Desktops show three at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Button {
    /// Agree to backups into the usual folder: they begin at once.
    SetUp,
    /// Back up once more.
    Retry,
    /// Show the whole story.
    WhatToDo,
    /// Leave the person in peace for a day.
    Snooze,
}

impl Button {
    /// What it is called on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetUp => "set-up",
            Self::Retry => "retry",
            Self::WhatToDo => "what-to-do",
            Self::Snooze => "snooze",
        }
    }

    /// What is on it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::SetUp => "Back up here",
            Self::Retry => "Try again",
            Self::WhatToDo => "What to do",
            Self::Snooze => "Not today",
        }
    }
}

/// What to do with the notifications on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Show it, in the place of an older one with its key.
    Show(Notice),
    /// Take it away, if it is still there.
    Withdraw(Key),
}

/// For the log, which never names a phone.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Show(notice) => write!(formatter, "show {}", notice.key),
            Self::Withdraw(key) => write!(formatter, "withdraw {key}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.about {
            About::Problem(failure) => failure.slug(),
            About::Refusal => "refusal",
            About::Answer => "answer",
            About::Success => "success",
        })
    }
}

/// Follows views and news until `quit`, then withdraws what it has shown. A desktop that has just begun is given
/// `patience` to bring somebody else who shows notifications.
pub async fn run(
    mut views: watch::Receiver<View>,
    mut news: mpsc::Receiver<News>,
    commands: mpsc::Sender<Command>,
    mut quit: oneshot::Receiver<()>,
    patience: Duration,
) {
    let (changes, carried_out) = mpsc::channel(CHANGES_MAX);
    let platform = tokio::spawn(platform::run(carried_out, commands, patience));
    let mut told = Told::default();
    loop {
        let found = tokio::select! {
            // A view may be the answer to what was asked, so it comes after that.
            biased;
            _ = &mut quit => break,
            Some(news) = news.recv() => told.news(news, &views.borrow(), chrono::Utc::now()),
            changed = views.changed() => match changed {
                Ok(()) => told.view(&views.borrow_and_update()),
                Err(_closed) => break,
            },
        };
        for change in found {
            debug!(%change, "notification");
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
    drop(changes);
    if timeout(FAREWELL_MAX, platform).await.is_err() {
        debug!("notifications were not withdrawn in time");
    }
}

/// For places where the desktop expects markup.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_shown_and_not_obeyed() {
        assert_eq!(escape("Tom & Anna <3 > \"x\""), "Tom &amp; Anna &lt;3 &gt; \"x\"");
    }
}
