//! What follows a failure.

use std::time::Duration;

use backstay_shared::health::{Condition, FailureId, Retry};

const FIRST_PAUSE: Duration = Duration::from_secs(15);
const PAUSE_FACTOR: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Tries in a row, the first run counted, before Backstay gives up for a day.
pub const ATTEMPTS_MAX: u32 = 8;

/// The next try after giving up, unless the phone comes anew or a person asks before.
const RESIGNED_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// A link over Wi-Fi that was too weak to begin is looked at again after this.
const LOOK_AT_WIFI_AFTER: Duration = Duration::from_secs(10 * 60);

/// A cause that is gone and there again at the next try, so often in a row, is not gone: then time has to pass.
const CURES_IN_A_ROW_MAX: u32 = 3;

/// What has to happen before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This much time passes.
    After(Duration),
    /// This holds.
    When(Condition),
    /// A day passes, or the phone comes anew.
    GiveUp(Duration),
    /// A person asks.
    Person,
}

/// What is known of the run that failed, besides why.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Circumstances {
    /// Which failure in a row it was, from 1.
    pub failures_in_a_row: u32,
    /// What stood in its way was seen beforehand: looking costs nothing, and no cap counts it.
    pub before_it_began: bool,
    /// It made the phone ask for its passcode: so does the next try, most likely.
    pub passcode_asked: bool,
    /// 0 to 1; keeps several computers from trying in step.
    pub jitter: f64,
}

/// What follows a failed run.
pub fn next(failure: FailureId, seen: &Circumstances) -> Next {
    // Who cancels wants peace now, and a backup all the same another day.
    if let FailureId::CancelledByUser | FailureId::CancelledOnDevice = failure {
        return Next::After(RESIGNED_PAUSE);
    }
    let next = by_rule(failure, seen);
    // Each try costs the person a passcode. One who unlocks the phone or plugs it in is there to type it.
    let person = Next::When(Condition::UserPresent);
    match next {
        Next::After(_) if seen.passcode_asked => person,
        Next::When(condition)
            if seen.passcode_asked && seen.failures_in_a_row > 1 && !comes_with_a_person(condition) =>
        {
            person
        }
        // A cable that keeps dropping out must not ask at every contact.
        Next::When(Condition::DeviceReconnected) if seen.passcode_asked && seen.failures_in_a_row > 1 => {
            Next::After(pause(seen))
        }
        next => next,
    }
}

/// Whether the next try, whenever it comes, has to bring everything anew, since what is there can't be built on.
pub fn brings_all_anew(failure: FailureId) -> bool {
    failure.entry().retry == Retry::AutomaticWhen(Condition::BackupRepaired)
}

/// True where the condition itself says that somebody is at the phone.
const fn comes_with_a_person(condition: Condition) -> bool {
    use Condition::{DeviceReconnected, DeviceUnlocked, PairingAccepted, PasscodeEntered, UserPresent};
    matches!(condition, DeviceReconnected | DeviceUnlocked | PairingAccepted | PasscodeEntered | UserPresent)
}

fn by_rule(failure: FailureId, seen: &Circumstances) -> Next {
    use Condition::{AppleServiceRestored, BackupRepaired, HostAwake, PasscodeEntered, UserPresent};
    match failure.entry().retry {
        Retry::Never | Retry::AutomaticWhen(AppleServiceRestored) => Next::Person,
        _ if !seen.before_it_began && seen.failures_in_a_row >= ATTEMPTS_MAX => Next::GiveUp(RESIGNED_PAUSE),
        // Looking at it opens a link that wears the phone's battery, and it seldom mends within seconds.
        Retry::Backoff if failure == FailureId::WifiWeak && seen.before_it_began => Next::After(LOOK_AT_WIFI_AFTER),
        Retry::Backoff => Next::After(pause(seen)),
        // A run is what repairs it, one that brings everything anew.
        Retry::AutomaticWhen(BackupRepaired) => Next::After(pause(seen)),
        // It is awake again if it can decide this.
        Retry::AutomaticWhen(HostAwake) => Next::After(pause(seen)),
        Retry::AutomaticWhen(PasscodeEntered | UserPresent) => Next::When(UserPresent),
        Retry::AutomaticWhen(condition) if !is_watched(condition) => Next::When(condition),
        Retry::AutomaticWhen(condition) if seen.before_it_began || seen.failures_in_a_row <= CURES_IN_A_ROW_MAX => {
            Next::When(condition)
        }
        Retry::AutomaticWhen(_) => Next::After(pause(seen)),
    }
}

/// True for what is looked at again and again; the rest are events.
pub const fn is_watched(condition: Condition) -> bool {
    use Condition::{
        BackupDrivePresent, Charging, DeviceSeenOnWifi, DeviceSpaceAvailable, DeviceUnlocked, NetworkUp,
        PairingAccepted, PasswordEntered, SpaceAvailable, UserPresent,
    };
    matches!(
        condition,
        SpaceAvailable
            | BackupDrivePresent
            | Charging
            | DeviceSpaceAvailable
            | DeviceUnlocked
            | PasswordEntered
            | PairingAccepted
            | UserPresent
            // Nobody tells that a phone that still announces itself can be reached again.
            | DeviceSeenOnWifi
            | NetworkUp
    )
}

fn pause(seen: &Circumstances) -> Duration {
    let factor = PAUSE_FACTOR.saturating_pow(seen.failures_in_a_row.saturating_sub(1).min(10));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE).mul_f64(0.8 + 0.4 * seen.jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(failures_in_a_row: u32, passcode_asked: bool) -> Circumstances {
        Circumstances { failures_in_a_row, passcode_asked, before_it_began: false, jitter: 0.5 }
    }

    #[test]
    fn pauses_grow_to_an_hour_and_then_it_gives_up() {
        let pauses: Vec<u64> = (1..ATTEMPTS_MAX)
            .map(|count| match next(FailureId::SessionLost, &seen(count, false)) {
                Next::After(pause) => pause.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(pauses, [15, 60, 240, 960, 3600, 3600, 3600]);
        assert_eq!(next(FailureId::SessionLost, &seen(ATTEMPTS_MAX, false)), Next::GiveUp(RESIGNED_PAUSE));
    }

    /// At most one passcode for one cause: what would ask again waits for somebody at the phone.
    #[test]
    fn a_passcode_is_never_asked_for_in_a_loop() {
        for failure in FailureId::ALL {
            for count in 1..100 {
                let next = next(*failure, &seen(count, true));
                let asks_nobody = match next {
                    Next::Person | Next::GiveUp(_) => true,
                    Next::When(condition) => count == 1 || comes_with_a_person(condition),
                    // Only the dropping cable, which a person has to have plugged in.
                    Next::After(RESIGNED_PAUSE) => true,
                    Next::After(pause) => count > 1 && pause >= Duration::from_secs(48),
                };
                assert!(asks_nobody, "{failure} {count}: {next:?}");
            }
        }
        for count in 1..ATTEMPTS_MAX {
            let next = next(FailureId::PasscodeNotEntered, &seen(count, true));
            assert_eq!(next, Next::When(Condition::UserPresent));
        }
    }

    #[test]
    fn a_cure_that_does_not_last_is_none() {
        let next = |count| next(FailureId::HostDiskFull, &seen(count, false));
        assert_eq!(next(1), Next::When(Condition::SpaceAvailable));
        assert_eq!(next(3), Next::When(Condition::SpaceAvailable));
        assert!(matches!(next(4), Next::After(_)));
        assert!(matches!(next(ATTEMPTS_MAX), Next::GiveUp(_)));
        // A phone that lies locked at each look is looked at again all the same.
        let seen = Circumstances { before_it_began: true, ..seen(100, false) };
        let locked = super::next(FailureId::DeviceLocked, &seen);
        assert_eq!(locked, Next::When(Condition::DeviceUnlocked));
        let weak = super::next(FailureId::WifiWeak, &Circumstances { failures_in_a_row: 0, ..seen });
        assert_eq!(weak, Next::After(LOOK_AT_WIFI_AFTER));
    }

    #[test]
    fn what_can_not_be_built_on_is_brought_anew() {
        assert!(brings_all_anew(FailureId::ManifestCorrupt) && !brings_all_anew(FailureId::SessionLost));
        assert!(matches!(next(FailureId::ManifestCorrupt, &seen(1, false)), Next::After(_)));
        assert_eq!(next(FailureId::HostWriteDenied, &seen(1, false)), Next::Person);
    }
}
