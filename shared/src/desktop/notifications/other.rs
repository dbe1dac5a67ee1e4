//! Notifications on macOS and Windows.

use std::time::Duration;

use notify_rust::Notification;
use tokio::sync::mpsc;
use tracing::warn;

use super::{Change, Notice};
use crate::desktop::command::Command;

/// Shows what it is told to until the sender is gone. These systems keep old notifications in a list of their own, from
/// which notify-rust takes none away, and its buttons need a thread each: `Try again` is in the menu.
pub(super) async fn run(mut changes: mpsc::Receiver<Change>, _commands: mpsc::Sender<Command>, _patience: Duration) {
    while let Some(change) = changes.recv().await {
        if let Change::Show(notice) = change {
            match tokio::task::spawn_blocking(move || show(&notice)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "no notification"),
                Err(error) => warn!(%error, "no notification"),
            }
        }
    }
}

fn show(notice: &Notice) -> notify_rust::error::Result<()> {
    let mut body = notice.body.clone();
    if !notice.buttons.is_empty() {
        body.push_str("\nThe Backstay menu has more.");
    }
    Notification::new().appname("Backstay").summary(&notice.summary).body(&body).show().map(drop)
}
