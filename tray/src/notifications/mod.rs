//! Notifications: one per problem, told once, withdrawn when it is cured.
//!
//! What to say is decided here without I/O; `linux` and `other` only carry it out.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
mod told;

use std::{fmt, time::Duration};

use backstay_shared::{
    health::{FailureId, Severity},
    ids::Udid,
    protocol::Refusal,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::debug;

use crate::{
    command::{Command, Subject},
    view::View,
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
pub(crate) enum News {
    /// A person asked for a backup of this phone.
    Asked(Udid),
    /// The daemon refused what a person asked of this phone.
    Refused(Udid, Refusal),
    /// A person wants to read about this problem.
    Explain(Subject, FailureId),
}

/// Names a notification: what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The phone or the computer.
    pub(crate) subject: Subject,
    /// The problem; none for a refused request.
    pub(crate) failure: Option<FailureId>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// A newer one with the same key replaces it.
    pub(crate) key: Key,
    /// The title, plain text.
    pub(crate) summary: String,
    /// Why and what to do, plain text.
    pub(crate) body: String,
    /// The phone that a `Try again` button backs up; none for no button.
    pub(crate) retry: Option<Udid>,
    /// For its icon and how insistent it is.
    pub(crate) severity: Severity,
}

/// What to do with the notifications on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
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
        formatter.write_str(self.failure.map_or("refusal", FailureId::slug))
    }
}

/// Follows views and news until `quit`, then withdraws what it has shown.
pub(crate) async fn run(
    mut views: watch::Receiver<View>,
    mut news: mpsc::Receiver<News>,
    commands: mpsc::Sender<Command>,
    mut quit: oneshot::Receiver<()>,
) {
    let (changes, carried_out) = mpsc::channel(CHANGES_MAX);
    let platform = tokio::spawn(platform::run(carried_out, commands));
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
