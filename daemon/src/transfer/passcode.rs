//! Since iOS 16.1 the phone asks for its passcode before every computer backup. Its notifications tell when.

use std::time::Duration;

use backstay_shared::health::Failure;
use idevice::notification_proxy::NotificationProxyClient;
use tokio::sync::watch;

use super::recording::{Line, Log};
use crate::phone::{
    guard::Framing,
    link::{Session, guard, within},
};

/// Posted when a sheet that asks for the passcode comes up and goes away. Source: `idevicebackup2.c`.
const PRESENTED: &str = "com.apple.LocalAuthentication.ui.presented";
const DISMISSED: &str = "com.apple.LocalAuthentication.ui.dismissed";

/// What the phone's owner may do to a backup, as far as it is posted. Source: the same.
const CANCELLED: &str = "com.apple.itunes-client.syncCancelRequest";
const OTHERS: [(&str, &str); 4] = [
    (CANCELLED, "sync-cancel"),
    ("com.apple.itunes-client.syncSuspendRequest", "sync-suspend"),
    ("com.apple.itunes-client.syncResumeRequest", "sync-resume"),
    ("com.apple.mobile.backup.domain_changed", "backup-domain-changed"),
];

/// The phone takes its sheet down after some 3 minutes and answers 208. One that does not say so is left alone after this
/// long: a person who is there has typed by now, and other programs wait for the phone.
pub const NOBODY_TYPES_AFTER: Duration = Duration::from_secs(5 * 60);

/// What is known of the sheet, and of the person before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sheet {
    /// It is up now.
    pub is_up: bool,
    /// It was up since it is watched, however shortly.
    pub was_shown: bool,
    /// The person at the phone wants it all to end.
    pub cancelled: bool,
}

/// Watches the passcode sheet. Must be called before the `Backup` request, else the sheet is
/// missed. Ends by itself when the connection does.
///
/// # Errors
/// When notification_proxy can't be reached.
pub async fn watch_sheet(session: &mut Session, log: Log) -> Result<watch::Receiver<Sheet>, Failure> {
    let socket = session.service("com.apple.mobile.notification_proxy").await?;
    let mut client = NotificationProxyClient::new(guard(socket, Framing::PropertyLists)?);
    let observed: Vec<&str> = [PRESENTED, DISMISSED].into_iter().chain(OTHERS.map(|(name, _)| name)).collect();
    within("observing the passcode sheet", client.observe_notifications(&observed)).await?;
    let (sender, receiver) = watch::channel(Sheet::default());
    tokio::spawn(async move {
        loop {
            let heard = tokio::select! {
                heard = client.receive_notification() => heard,
                () = sender.closed() => return,
            };
            if let Ok(name) = &heard {
                log.line(Line::new('*', "notification").with("of", called(name)));
            }
            match heard {
                Ok(name) if name == PRESENTED => sender.send_modify(|sheet| {
                    (sheet.is_up, sheet.was_shown) = (true, true);
                }),
                Ok(name) if name == DISMISSED => sender.send_modify(|sheet| {
                    (sheet.is_up, sheet.was_shown) = (false, true);
                }),
                Ok(name) if name == CANCELLED => sender.send_modify(|sheet| sheet.cancelled = true),
                Ok(_) => continue,
                Err(error) => {
                    tracing::debug!(%error, "notification_proxy ended");
                    return;
                }
            };
        }
    });
    Ok(receiver)
}

/// What a record calls a notification.
fn called(name: &str) -> &'static str {
    match name {
        PRESENTED => "passcode-sheet-presented",
        DISMISSED => "passcode-sheet-dismissed",
        name => OTHERS.iter().find(|(known, _)| *known == name).map_or("another", |(_, called)| called),
    }
}
