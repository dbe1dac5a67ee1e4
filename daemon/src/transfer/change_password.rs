//! Setting, changing and removing the backup password: a setting of the phone, asked for over mobilebackup2.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use backstay_shared::ids::Udid;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::{
    TransferError,
    frames::Frames,
    greeting::{self, greet, say_goodbye},
    passcode::{Sheet, while_passcode_is_typed},
    recording::Recorder,
    request::{Message, Request},
};
use crate::vault::encryption::Password;

/// A phone that says nothing for so long will not say anything more.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(31 * 60);

/// What is to become of the password.
#[derive(Debug)]
pub enum Change<'a> {
    /// There is none; encrypt from now on.
    On(&'a Password),
    /// Encrypt no longer; the phone wants the password for it.
    Off(&'a Password),
    /// Another one from now on.
    Other {
        /// The one in force.
        old: &'a Password,
        /// The one to come.
        new: &'a Password,
    },
}

impl Change<'_> {
    fn request(&self, udid: &Udid) -> plist::Dictionary {
        let (old, new) = match self {
            Self::On(new) => (None, Some(new)),
            Self::Off(old) => (Some(old), None),
            Self::Other { old, new } => (Some(old), Some(new)),
        };
        let mut request = plist::Dictionary::new();
        request.insert("MessageName".into(), "ChangePassword".into());
        request.insert("TargetIdentifier".into(), udid.as_str().into());
        for (key, password) in [("OldPassword", old), ("NewPassword", new)] {
            if let Some(password) = password {
                request.insert(key.into(), password.reveal().into());
            }
        }
        request
    }
}

/// The phone did not say that it changed the password.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotChanged {
    /// Why.
    pub error: TransferError,
    /// The request was sent and no answer came: either password may be in force.
    pub in_doubt: bool,
}

/// Asks the phone for the change and waits for its owner's passcode and the phone's word. `asked` hears when the
/// phone shows and hides its passcode sheet.
///
/// # Errors
/// When the phone refuses, or no answer came.
pub async fn change_password<S>(
    stream: S,
    udid: &Udid,
    change: &Change<'_>,
    mut passcode_sheet: watch::Receiver<Sheet>,
    mut asked: impl FnMut(bool),
    recorder: Recorder,
) -> Result<(), NotChanged>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = Frames::new(stream, Arc::new(AtomicU64::new(0)));
    frames.recorder = recorder;
    let changed = converse(&mut frames, udid, change, &mut passcode_sheet, &mut asked).await;
    frames.recorder.ended(changed.as_ref().map_err(|not_changed| &not_changed.error), None);
    changed
}

async fn converse<S>(
    frames: &mut Frames<S>,
    udid: &Udid,
    change: &Change<'_>,
    passcode_sheet: &mut watch::Receiver<Sheet>,
    asked: &mut impl FnMut(bool),
) -> Result<(), NotChanged>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let greeted = greet(frames, udid.as_str()).await;
    greeted.map_err(|error| NotChanged { error, in_doubt: false })?;
    let answered = async {
        greeting::request(frames, change.request(udid)).await?;
        while_passcode_is_typed(passcode_sheet, result(frames, udid), asked).await
    };
    match tokio::time::timeout(ANSWER_SECONDS_MAX, answered).await {
        Ok(Ok(())) => {
            say_goodbye(frames).await;
            Ok(())
        }
        Ok(Err(error)) => Err(NotChanged { in_doubt: !matches!(error, TransferError::Device { .. }), error }),
        Err(_) => {
            let error = TransferError::Stalled { seconds: ANSWER_SECONDS_MAX.as_secs() };
            Err(NotChanged { error, in_doubt: true })
        }
    }
}

/// Waits for the result; nothing else is done for the phone meanwhile.
async fn result<S>(frames: &mut Frames<S>, udid: &Udid) -> Result<(), TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let bytes = frames.message().await?;
        match Message::parse(&bytes, udid.as_str())?.request {
            Request::Result { code: 0, .. } => return Ok(()),
            Request::Result { code, text } => return Err(TransferError::Device { code, text }),
            Request::Disconnect => return Err(TransferError::NoResult),
            request => {
                tracing::debug!(?request, "the phone asks for something while its password is changed");
                let nothing = plist::Value::Dictionary(plist::Dictionary::new());
                greeting::status(frames, -1, "Operation not supported", nothing).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::value::Value;

    /// A phone that greets, takes the request and then answers so, or hangs up.
    async fn asked(change: Change<'_>, answer: Option<i64>) -> (Value, Result<(), NotChanged>) {
        let udid: Udid = "00008120-001A2D3E0C40201E".parse().unwrap();
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let phone = async move {
            let mut frames = Frames::new(theirs, Arc::new(AtomicU64::new(0)));
            frames.send_message(vec!["DLMessageVersionExchange".into(), 400.into(), 0.into()]).await.unwrap();
            frames.message().await.unwrap();
            frames.send_message(vec!["DLMessageDeviceReady".into()]).await.unwrap();
            frames.message().await.unwrap();
            let result = |code: i64| {
                let (code, text) = (plist::Value::from(code), plist::Value::from("why"));
                let entries = [("ErrorCode".to_owned(), code), ("ErrorDescription".to_owned(), text)];
                plist::Value::Dictionary(entries.into_iter().collect())
            };
            frames.send_message(vec!["DLMessageProcessMessage".into(), result(0)]).await.unwrap();
            let request = Value::parse(&frames.message().await.unwrap()).unwrap();
            if let Some(code) = answer {
                frames.send_message(vec!["DLMessageProcessMessage".into(), result(code)]).await.unwrap();
                // The goodbye, or the end.
                drop(frames.message().await);
            }
            request
        };
        let (_sheet, passcode_sheet) = watch::channel(Sheet::default());
        tokio::join!(phone, change_password(ours, &udid, &change, passcode_sheet, |_| {}, Recorder::default()))
    }

    #[tokio::test]
    async fn what_came_of_it_is_told_apart() {
        let (old, new) = (Password::new("old".into()), Password::new("new".into()));
        let (request, changed) = asked(Change::Other { old: &old, new: &new }, Some(0)).await;
        let Value::List(items) = request else { panic!("no message") };
        let text = |key| items[1].get(key).and_then(Value::text);
        assert_eq!((text("MessageName"), text("OldPassword")), (Some("ChangePassword"), Some("old")));
        assert_eq!((text("NewPassword"), text("TargetIdentifier")), (Some("new"), Some("00008120-001A2D3E0C40201E")));
        changed.unwrap();
        for (answer, in_doubt) in [(Some(207), false), (None, true)] {
            let (_, changed) = asked(Change::On(&new), answer).await;
            assert_eq!(changed.unwrap_err().in_doubt, in_doubt, "{answer:?}");
        }
    }
}
