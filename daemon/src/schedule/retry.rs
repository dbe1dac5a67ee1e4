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

/// Tries that may cost the owner a passcode each before Backstay waits for somebody at the phone.
const PASSCODES_IN_A_ROW_MAX: u32 = 2;

/// What follows the n-th failure in a row; `jitter` is 0 to 1 and keeps several computers from trying in step.
/// `passcode_asked` says that the failed run made the phone ask for its passcode.
pub fn next(failure: FailureId, failures_in_a_row: u32, jitter: f64, passcode_asked: bool) -> Next {
    match by_rule(failure, failures_in_a_row, jitter) {
        // The next try would ask again. Somebody who plugs the phone in is there to answer.
        Next::After(_) if passcode_asked && failures_in_a_row >= PASSCODES_IN_A_ROW_MAX => Next::PersonAtThePhone,
        // A cable that keeps dropping out must not ask at every contact.
        Next::Reconnection if passcode_asked && failures_in_a_row >= PASSCODES_IN_A_ROW_MAX => {
            Next::After(pause(failures_in_a_row, jitter))
        }
        next => next,
    }
}

fn by_rule(failure: FailureId, failures_in_a_row: u32, jitter: f64) -> Next {
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
            // Found out by trying.
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
            .map(|count| match next(FailureId::BackupStalled, count, 0.5, false) {
                Next::After(pause) => pause.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn a_passcode_is_never_asked_for_in_a_loop() {
        for count in 1..100 {
            assert_eq!(next(FailureId::PasscodeNotEntered, count, 0.0, true), Next::PersonAtThePhone);
        }
        for failure in FailureId::ALL {
            for count in 2..100 {
                let next = next(*failure, count, 0.0, true);
                let after_long = matches!(next, Next::After(pause) if pause >= Duration::from_secs(90));
                assert!(matches!(next, Next::Person | Next::PersonAtThePhone) || after_long, "{failure}: {next:?}");
            }
        }
    }
}
