//! What the service manager hears of the daemon: that it serves, how it is, that it is alive, that it ends. It follows the
//! board like a front end. Without a service manager nothing is said to nobody.

use std::{convert::Infallible, path::Path, time::Duration};

use backstay_shared::{
    client::{Client, ClientError},
    health::Severity,
    overview::{Activity, Overview, Setup},
    protocol::{Reply, Request},
};
use tokio::time::{MissedTickBehavior, interval};

use crate::ipc::board::Board;

#[cfg(target_os = "linux")]
use sd_notify::NotifyState;

/// Begins when the socket is served and goes on for ever. Its caller polls it beside everything else that the daemon
/// does, so that one that hangs is not taken for alive.
pub async fn follow(board: &Board, socket: &Path) -> Infallible {
    tell(&[Said::Ready]);
    tokio::join!(tell_status(board), prove_life(socket)).0
}

/// The daemon ends: what it still does is in good order.
pub fn ends() {
    tell(&[Said::Stopping]);
}

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only systemd listens"))]
enum Said<'a> {
    Ready,
    Status(&'a str),
    Alive,
    Stopping,
}

#[cfg(target_os = "linux")]
fn tell(said: &[Said<'_>]) {
    let states: Vec<NotifyState<'_>> = said
        .iter()
        .map(|said| match said {
            Said::Ready => NotifyState::Ready,
            Said::Status(text) => NotifyState::Status(text),
            Said::Alive => NotifyState::Watchdog,
            Said::Stopping => NotifyState::Stopping,
        })
        .collect();
    if let Err(error) = sd_notify::notify(&states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(not(target_os = "linux"))]
fn tell(_said: &[Said<'_>]) {}

async fn tell_status(board: &Board) -> Infallible {
    let mut shown = board.subscribe();
    let mut told = String::new();
    loop {
        let text = status(&shown.borrow_and_update().overview);
        if text != told {
            tell(&[Said::Status(&text)]);
            told = text;
        }
        if shown.changed().await.is_err() {
            // The board ends only with the daemon.
            return std::future::pending().await;
        }
    }
}

/// How often the service manager wants to hear of it.
fn watched_every() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled();
    #[cfg(not(target_os = "linux"))]
    None
}

/// Says that the daemon is alive only after it has answered a front end.
async fn prove_life(socket: &Path) -> Infallible {
    let Some(within) = watched_every() else { return std::future::pending().await };
    let every = within / 2;
    // The first at once: settings that change begin this anew, and who edits them for long has a living daemon.
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match tokio::time::timeout(every, ask(socket)).await {
            Ok(Ok(())) => tell(&[Said::Alive]),
            Ok(Err(error)) => tracing::warn!(%error, "the daemon does not answer itself"),
            Err(_) => tracing::warn!("the daemon does not answer itself in time"),
        }
    }
}

async fn ask(socket: &Path) -> Result<(), ClientError> {
    match Client::connect(socket).await?.request(Request::Overview).await? {
        Reply::Overview { .. } => Ok(()),
        _ => Err(ClientError::Lost(None)),
    }
}

/// A few words for `systemctl status`, which others may read: without the names of phones.
fn status(overview: &Overview) -> String {
    let of_phones = overview.phones.iter().flat_map(|phone| &phone.problems);
    let mut problems = overview.problems.iter().chain(of_phones).filter(|problem| problem.is_in_front());
    let running = overview.phones.iter().find_map(|phone| match &phone.activity {
        Activity::Running { progress, .. } => Some(progress),
        _ => None,
    });
    if let Some(progress) = running {
        let percent = progress.fraction.map(|part| format!(", {:.0} %", part * 100.0)).unwrap_or_default();
        return format!("Backing up{percent}");
    }
    if let Some(problem) = problems.find(|problem| problem.severity == Severity::Error) {
        return problem.title.clone();
    }
    if overview.paused.is_some() {
        return "Paused".into();
    }
    if overview.setup == Setup::Needed {
        return "Not set up yet".into();
    }
    match &overview.phones[..] {
        [] => "No iPhone was seen yet".into(),
        phones if phones.iter().all(|phone| phone.last_good.is_some() || phone.turned_off) => "All backed up".into(),
        _ => "Not everything is backed up yet".into(),
    }
}

#[cfg(test)]
mod tests {
    use backstay_shared::{
        health::{Failure, FailureId},
        ids::RunId,
        overview::{LastGood, Pause, PhoneOverview, Problem, Progress},
    };
    use chrono::Utc;

    use super::*;

    fn phone(activity: Activity) -> PhoneOverview {
        let value = serde_json::json!({ "udid": "00008120001A2D3E0C40201E", "name": "Anna", "activity": activity });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_few_words_and_no_names() {
        let mut overview = Overview::default();
        assert_eq!(status(&overview), "No iPhone was seen yet");
        overview.phones.push(phone(Activity::Idle));
        assert_eq!(status(&overview), "Not everything is backed up yet");
        overview.phones[0].last_good = Some(LastGood { at: Utc::now(), files: 1, bytes: 1 });
        assert_eq!(status(&overview), "All backed up");
        overview.paused = Some(Pause { until: None });
        assert_eq!(status(&overview), "Paused");
        let full = Failure::from(FailureId::HostDiskFull);
        overview.phones[0].problems.push(Problem::new(&full, Utc::now()));
        assert_eq!(status(&overview), FailureId::HostDiskFull.entry().title);
        let progress = Progress { fraction: Some(0.417), ..Progress::start() };
        overview.phones[0].activity = Activity::Running { run: RunId(1), progress };
        assert_eq!(status(&overview), "Backing up, 42 %");
    }
}
