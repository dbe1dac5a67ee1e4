//! What follows a failure.

use std::time::Duration;

use backstay_shared::health::{Condition, FailureId, Retry};

const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What has to happen before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This much time passes.
    After(Duration),
    /// The phone is plugged in again.
    Reconnection,
    /// The phone is plugged in again by somebody who then looks at it: each try costs the person a passcode.
    PersonAtThePhone,
    /// A person asks.
    Person,
}

/// What follows the n-th failure in a row; `jitter` is 0 to 1 and keeps several computers from trying in step.
pub fn next(failure: FailureId, failures_in_a_row: u32, jitter: f64) -> Next {
    use Condition::{
        BackupDrivePresent, BackupRepaired, Charging, DeviceReconnected, DeviceSeenOnWifi, DeviceSpaceAvailable,
        DeviceUnlocked, HostAwake, NetworkUp, PairingAccepted, PasscodeEntered, SpaceAvailable, UsbmuxdUp, UserPresent,
    };
    match failure.entry().retry {
        Retry::Never => Next::Person,
        Retry::Backoff => Next::After(pause(failures_in_a_row, jitter)),
        Retry::AutomaticWhen(condition) => match condition {
            DeviceReconnected | DeviceSeenOnWifi | NetworkUp | UsbmuxdUp | PairingAccepted => Next::Reconnection,
            UserPresent | PasscodeEntered => Next::PersonAtThePhone,
            // Found out by trying: none of these comes to the point of asking for the passcode.
            SpaceAvailable | BackupDrivePresent | BackupRepaired | HostAwake | Charging | DeviceUnlocked
            | DeviceSpaceAvailable => Next::After(pause(failures_in_a_row, jitter)),
            Condition::PasswordEntered | Condition::AppleServiceRestored => Next::Person,
        },
    }
}

fn pause(failures_in_a_row: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures_in_a_row.saturating_sub(1).min(10));
    doubled.min(LONGEST_PAUSE).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses: Vec<u64> = (1..=8)
            .map(|count| match next(FailureId::BackupStalled, count, 0.5) {
                Next::After(pause) => pause.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn a_passcode_is_never_asked_for_in_a_loop() {
        for count in 1..100 {
            assert_eq!(next(FailureId::PasscodeNotEntered, count, 0.0), Next::PersonAtThePhone);
        }
    }
}
