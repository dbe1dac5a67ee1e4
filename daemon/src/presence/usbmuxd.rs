//! Phones that usbmuxd sees. The service may be missing, come late, vanish and come back.

use std::time::Duration;

use backstay_shared::{health::Failure, ids::Udid};
use futures_util::StreamExt;
use idevice::{IdeviceError, usbmuxd::UsbmuxdListenEvent};
use tokio::sync::mpsc;

use crate::{
    health::diagnose,
    phone::link::{ANSWER_SECONDS_MAX, Attached, Muxer, Way},
};

/// What was seen.
#[derive(Debug)]
pub enum Sighting {
    /// usbmuxd answers; the phones that are here follow.
    ServiceUp,
    /// usbmuxd does not answer: nobody is known to be here.
    ServiceDown(Failure),
    /// A phone came.
    Attached(Attached),
    /// A link to a phone went.
    Detached(Way),
    /// A phone announces itself on the network and can't be reached, for this reason; none when that is over.
    NotReached(Udid, Option<Failure>),
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Watches for ever, until nobody listens any more.
pub async fn watch(muxer: Muxer, sightings: mpsc::Sender<Sighting>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut was_up = false;
        let Err(failure) = listen(&muxer, &sightings, &mut was_up).await else { return };
        if was_up {
            pause = FIRST_PAUSE;
        }
        tracing::debug!(%failure, "usbmuxd is not there");
        if sightings.send(Sighting::ServiceDown(failure)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Ok when nobody listens any more.
async fn listen(muxer: &Muxer, sightings: &mpsc::Sender<Sighting>, was_up: &mut bool) -> Result<(), Failure> {
    let mut connection = muxer.connect().await?;
    let down = |error: &IdeviceError| diagnose::muxer(error).path(muxer.place());
    let listening = tokio::time::timeout(ANSWER_SECONDS_MAX, connection.listen());
    let mut events = listening.await.unwrap_or(Err(IdeviceError::Timeout)).map_err(|error| down(&error))?;
    *was_up = true;
    let mut sighting = Sighting::ServiceUp;
    loop {
        if sightings.send(sighting).await.is_err() {
            return Ok(());
        }
        sighting = loop {
            match events.next().await {
                Some(Ok(UsbmuxdListenEvent::Connected(device))) => match muxer.attached(&device) {
                    Some(attached) => break Sighting::Attached(attached),
                    None => continue,
                },
                Some(Ok(UsbmuxdListenEvent::Disconnected(id))) => break Sighting::Detached(Way::Muxed(id)),
                Some(Err(error)) => return Err(down(&error)),
                None => return Err(backstay_shared::health::FailureId::UsbmuxdNotRunning.into()),
            }
        };
    }
}
