//! What a broken connection means: by itself it says nothing, who is still there does.

use std::time::Duration;

use backstay_shared::health::{Failure, FailureId};
use futures_util::StreamExt;
use idevice::usbmuxd::UsbmuxdListenEvent;

use super::{
    link::{Attached, Muxer, Way},
    wifi,
};

/// After a connection broke, usbmuxd says within this time whether the phone went too.
const DETACH_NOTICE_MAX: Duration = Duration::from_secs(1);

/// A shorter difference of the clocks is no sleep.
const SLEEP_MIN: Duration = Duration::from_secs(5);

/// Who is there after a connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// The phone is still connected.
    StillHere,
    /// It went, for this reason.
    Gone(FailureId),
}

/// Names a failure that only says that a connection broke by who is still there. `files_went` says whether the backup
/// service was at work.
pub async fn told_apart(muxer: &Muxer, attached: &Attached, failure: Failure, files_went: bool) -> Failure {
    use FailureId::{DeviceNotFound, SecureConnectionFailed, SessionLost, UsbmuxdRefused, WifiHeartbeatLost, WifiLost};
    let says_nothing = matches!(failure.id, SessionLost | DeviceNotFound | UsbmuxdRefused | SecureConnectionFailed);
    let of_the_network = matches!(failure.id, WifiHeartbeatLost | WifiLost) || wifi::is_about_the_network(failure.id);
    if !says_nothing && (attached.is_muxed() || !of_the_network) {
        return failure;
    }
    let connected_long_enough = failure.id == SessionLost;
    if !attached.is_muxed() {
        let failure = wifi::told_apart(muxer, attached, failure).await;
        let died = connected_long_enough && failure.id == SessionLost && files_went;
        return if died { Failure { id: FailureId::DeviceAgentDied, ..failure } } else { failure };
    }
    match presence_after_loss(muxer, attached).await {
        Presence::Gone(id) => Failure { id, ..failure },
        Presence::StillHere if connected_long_enough && files_went => {
            Failure { id: FailureId::DeviceAgentDied, ..failure }
        }
        Presence::StillHere => failure,
    }
}

/// A connection that broke while the computer slept broke for that reason, whatever the network is like right after it
/// woke.
pub fn by_sleep(failure: Failure, slept: Duration) -> Failure {
    use FailureId::{
        BackupStalled, DeviceAgentDied, DeviceNotFound, HostAsleep, SessionLost, UsbDisconnected, WifiDeviceAsleep,
        WifiHeartbeatLost, WifiLost,
    };
    let broken = matches!(
        failure.id,
        SessionLost
            | UsbDisconnected
            | WifiLost
            | WifiHeartbeatLost
            | WifiDeviceAsleep
            | BackupStalled
            | DeviceAgentDied
            | DeviceNotFound
    ) || wifi::is_about_the_network(failure.id);
    if !broken || slept < SLEEP_MIN {
        return failure;
    }
    let mut failure = Failure { id: HostAsleep, ..failure };
    failure.evidence.seconds = Some(slept.as_secs());
    failure
}

/// What usbmuxd knows of a phone whose connection has just broken.
async fn presence_after_loss(muxer: &Muxer, attached: &Attached) -> Presence {
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
                Ok(UsbmuxdListenEvent::Disconnected(id)) if Way::Muxed(id) == attached.way => return true,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_link_is_blamed_on_sleep() {
        let minute = Duration::from_secs(60);
        for (id, slept, told) in [
            (FailureId::UsbDisconnected, minute, FailureId::HostAsleep),
            (FailureId::UsbDisconnected, Duration::from_secs(1), FailureId::UsbDisconnected),
            (FailureId::HostDiskFull, minute, FailureId::HostDiskFull),
            // Right after it woke there is no Wi-Fi yet.
            (FailureId::HostOffline, minute, FailureId::HostAsleep),
            (FailureId::WifiDifferentNetwork, minute, FailureId::HostAsleep),
            (FailureId::WifiFirewallBlocked, minute, FailureId::HostAsleep),
            (FailureId::WifiDeviceAsleep, minute, FailureId::HostAsleep),
            (FailureId::HostOffline, Duration::ZERO, FailureId::HostOffline),
        ] {
            assert_eq!(by_sleep(id.into(), slept).id, told);
        }
    }
}
