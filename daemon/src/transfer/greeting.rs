//! How every conversation with mobilebackup2 begins and ends.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    TransferError,
    frames::Frames,
    request::{Message, Request},
};

/// The phone greets at once as a rule; its backup service may have to be started first, or be busy with what was asked of
/// it before. Nothing was asked of the phone yet, so that another try costs no passcode.
const GREETING_SECONDS_MAX: Duration = Duration::from_secs(180);

/// How a DeviceLink status spells "nothing".
pub(super) const EMPTY: &str = "___EmptyParameterString___";

/// DeviceLink's version exchange, then mobilebackup2's own.
///
/// # Errors
/// When the phone does not greet, or not as a phone does.
pub(super) async fn greet<S>(frames: &mut Frames<S>, udid: &str) -> Result<(), TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match tokio::time::timeout(GREETING_SECONDS_MAX, exchange_versions(frames, udid)).await {
        Ok(greeted) => greeted,
        Err(_) => Err(TransferError::Busy { seconds: GREETING_SECONDS_MAX.as_secs() }),
    }
}

async fn exchange_versions<S>(frames: &mut Frames<S>, udid: &str) -> Result<(), TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let greeting = frames.message().await?;
    let number = match Message::parse(&greeting, udid)?.request {
        // Real phones: 300 with iOS 8, 400 since iOS 14 at the latest. Each takes its own number back.
        Request::Versions { number } => number.unwrap_or(400),
        Request::Result { code, text } => return Err(TransferError::Device { code, text }),
        _ => return Err(TransferError::NoResult),
    };
    let versions = vec!["DLMessageVersionExchange".into(), "DLVersionsOk".into(), plist::Value::from(number)];
    frames.send_message(versions).await?;
    match expect(frames, udid, "DLMessageDeviceReady").await {
        Err(TransferError::NoResult) => return Err(TransferError::NoCommonVersion),
        ready => ready?,
    }

    let mut hello = plist::Dictionary::new();
    hello.insert("MessageName".into(), "Hello".into());
    let versions = vec![plist::Value::Real(2.0), plist::Value::Real(2.1)];
    hello.insert("SupportedProtocolVersions".into(), plist::Value::Array(versions));
    request(frames, hello).await?;
    let answer = frames.message().await?;
    match Message::parse(&answer, udid)?.request {
        Request::Result { code: 0, .. } => Ok(()),
        Request::Result { code, text } => Err(TransferError::Device { code, text }),
        _ => Err(TransferError::NoResult),
    }
}

async fn expect<S>(frames: &mut Frames<S>, udid: &str, name: &str) -> Result<(), TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = frames.message().await?;
    match Message::parse(&bytes, udid)?.request {
        Request::Unknown { name: came } if came == name => Ok(()),
        Request::Result { code, text } => Err(TransferError::Device { code, text }),
        _ => Err(TransferError::NoResult),
    }
}

/// Asks mobilebackup2 for something.
pub(super) async fn request<S>(frames: &mut Frames<S>, request: plist::Dictionary) -> Result<(), TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    frames.send_message(vec!["DLMessageProcessMessage".into(), request.into()]).await
}

/// Answers a message of the phone.
pub(super) async fn status<S>(
    frames: &mut Frames<S>,
    code: i64,
    text: &str,
    content: plist::Value,
) -> Result<(), TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    frames.send_message(vec!["DLMessageStatusResponse".into(), code.into(), text.into(), content]).await
}

/// After the result.
pub(super) async fn say_goodbye<S>(frames: &mut Frames<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let goodbye = vec!["DLMessageDisconnect".into(), EMPTY.into()];
    if let Err(error) = frames.send_message(goodbye).await {
        // The result is here; a phone that hangs up first loses nothing.
        tracing::debug!(%error, "the phone hung up before the goodbye");
    }
}
