//! Since iOS 16.1 the phone asks for its passcode before every computer backup. Its notifications tell when.

use std::time::Duration;

use backstay_shared::health::Failure;
use idevice::notification_proxy::NotificationProxyClient;
use tokio::{sync::watch, time::Instant};

use super::{
    TransferError,
    recording::{Line, Log},
};
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

/// The phone takes its sheet down after some 3 minutes and answers 208. A phone that does not say so is left alone after this
/// long: a person at the phone has typed by now, and other programs wait for the phone.
pub const PASSCODE_WAIT_MAX: Duration = Duration::from_secs(5 * 60);

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

/// Waits for the phone's `message`, for as long as a person at the phone may take for the passcode. `seen` hears when the
/// sheet comes up and goes away.
///
/// # Errors
/// Those of `message`; when the passcode is not typed, or the person cancels on the phone.
pub async fn while_passcode_is_typed<T>(
    sheet: &mut watch::Receiver<Sheet>,
    message: impl Future<Output = Result<T, TransferError>>,
    mut seen: impl FnMut(bool),
) -> Result<T, TransferError> {
    tokio::pin!(message);
    let (mut watching, mut up_since) = (true, None);
    loop {
        let wait = async {
            match up_since {
                Some(since) => tokio::time::sleep_until(since + PASSCODE_WAIT_MAX).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            message = &mut message => return message,
            () = wait => return Err(TransferError::NobodyTyped { seconds: PASSCODE_WAIT_MAX.as_secs() }),
            changed = sheet.changed(), if watching => {
                watching = changed.is_ok();
                let now = *sheet.borrow_and_update();
                if now.cancelled {
                    return Err(TransferError::CancelledOnPhone);
                }
                up_since = now.is_up.then(Instant::now);
                seen(now.is_up);
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_passcode_is_waited_for_until_the_person_has_gone_or_cancels() {
        for (cancels, expected) in [(false, PASSCODE_WAIT_MAX), (true, Duration::from_secs(10))] {
            let (sender, mut sheet) = watch::channel(Sheet::default());
            let person = async {
                // Before the sheet is up, no wait is too long here.
                tokio::time::sleep(PASSCODE_WAIT_MAX * 3).await;
                sender.send_modify(|sheet| sheet.is_up = true);
                let up = Instant::now();
                tokio::time::sleep(Duration::from_secs(10)).await;
                sender.send_modify(|sheet| sheet.cancelled = cancels);
                up
            };
            let mut seen = Vec::new();
            let waiting = async {
                let error = while_passcode_is_typed::<()>(&mut sheet, pending(), |is_up| seen.push(is_up)).await;
                (error.unwrap_err(), Instant::now())
            };
            let (up, (error, ended)) = tokio::join!(person, waiting);
            match cancels {
                true => assert!(matches!(error, TransferError::CancelledOnPhone), "{error}"),
                false => assert!(matches!(error, TransferError::NobodyTyped { seconds: 300 }), "{error}"),
            }
            let took = ended - up;
            // News of a sheet that is still up begins the wait again.
            let expected = if cancels { expected } else { expected + Duration::from_secs(10) };
            assert!(took >= expected && took < expected + Duration::from_secs(2), "{cancels}: {took:?}");
            assert!(seen.iter().all(|is_up| *is_up) && !seen.is_empty());
        }
    }
}
