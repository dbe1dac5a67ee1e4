//! Somebody who types the passcode: since iOS 16.1 (and 15.7.1) the phone asks for it at every backup.

use backstay_shared::health::FailureId;

use super::{Finding, Situation};
use crate::phone::state::Occasion;

pub(super) fn check(situation: &Situation<'_>) -> Finding {
    let nobody_near = situation.occasion == Occasion::Time && situation.vitals.locked == Some(true);
    if nobody_near && asks_for_the_passcode(&situation.facts.ios) {
        // A sheet that comes up at night on a locked phone only times out.
        return Finding::Hindrance(FailureId::DeviceLocked.into());
    }
    Finding::Fine
}

/// Source: libimobiledevice #1380 and #1692. A version that can't be read is taken for a new one.
fn asks_for_the_passcode(ios: &str) -> bool {
    let mut numbers = ios.split('.').map(|part| part.parse::<u32>().unwrap_or(u32::MAX));
    let version = (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (16, 1, 0) || ((15, 7, 1)..(16, 0, 0)).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_versions_ask() {
        for (ios, asks) in [
            ("15.7", false),
            ("15.7.1", true),
            ("16.0", false),
            ("16.0.3", false),
            ("16.1", true),
            ("26.4", true),
            ("", true),
        ] {
            assert_eq!(asks_for_the_passcode(ios), asks, "{ios}");
        }
    }
}
