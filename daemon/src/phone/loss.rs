//! What a broken connection means: by itself it says nothing, who is still there does.

use std::time::Duration;

use backstay_shared::health::FailureId;
use futures_util::StreamExt;
use idevice::usbmuxd::UsbmuxdListenEvent;

use super::link::{Attached, Muxer};

/// After a connection broke, usbmuxd says within this time whether the phone went too.
const DETACH_NOTICE_MAX: Duration = Duration::from_secs(1);

/// Who is there after a connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The phone is still connected.
    StillHere,
    /// It went, for this reason.
    Gone(FailureId),
}

/// What usbmuxd knows of a phone whose connection has just broken.
pub async fn presence_after_loss(muxer: &Muxer, attached: &Attached) -> Presence {
    let gone = if attached.usb { FailureId::UsbDisconnected } else { FailureId::WifiLost };
    let mut connection = match muxer.connect().await {
        Ok(connection) => connection,
        Err(failure) => return Presence::Gone(failure.id),
    };
    match muxer.devices().await {
        Ok(devices) if devices.contains(attached) => {}
        Ok(_) => return Presence::Gone(gone),
        Err(failure) => return Presence::Gone(failure.id),
    }
    let detached = async {
        let Ok(mut events) = connection.listen().await else { return true };
        while let Some(event) = events.next().await {
            match event {
                Ok(UsbmuxdListenEvent::Disconnected(id)) if id == attached.device_id => return true,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
        true
    };
    match tokio::time::timeout(DETACH_NOTICE_MAX, detached).await {
        Ok(true) => Presence::Gone(gone),
        _ => Presence::StillHere,
    }
}
