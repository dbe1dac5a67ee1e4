//! Since iOS 16.1 the phone asks for its passcode before every computer backup. Its notifications tell when.

use std::time::Duration;

use backstay_shared::health::Failure;
use idevice::notification_proxy::NotificationProxyClient;
use tokio::sync::watch;

use crate::phone::{
    guard::Framing,
    link::{Session, guard, within},
};

/// Posted when a sheet that asks for the passcode comes up and goes away. Source: `idevicebackup2.c`.
const PRESENTED: &str = "com.apple.LocalAuthentication.ui.presented";
const DISMISSED: &str = "com.apple.LocalAuthentication.ui.dismissed";

/// Posted when the person at the phone cancels. Source: `idevicebackup2.c`.
const CANCELLED: &str = "com.apple.itunes-client.syncCancelRequest";

/// The phone takes its sheet down after some 3 minutes and answers 208. One that does not say so is left alone after this
/// long: who has not typed by now is not there, and other programs wait for the phone.
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
pub async fn watch_sheet(session: &mut Session) -> Result<watch::Receiver<Sheet>, Failure> {
    let socket = session.service("com.apple.mobile.notification_proxy").await?;
    let mut client = NotificationProxyClient::new(guard(socket, Framing::PropertyLists)?);
    within("observing the passcode sheet", client.observe_notifications(&[PRESENTED, DISMISSED, CANCELLED])).await?;
    let (sender, receiver) = watch::channel(Sheet::default());
    tokio::spawn(async move {
        loop {
            let heard = tokio::select! {
                heard = client.receive_notification() => heard,
                () = sender.closed() => return,
            };
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
