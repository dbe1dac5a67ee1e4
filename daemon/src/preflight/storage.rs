//! Room on the phone itself, which it needs to prepare a backup.

use backstay_shared::health::{Failure, FailureId};

use super::{Finding, Situation};

/// Below this a backup fails on the phone, after its owner has typed the passcode. Half of it is what a helper of
/// libimobiledevice names; the rest is margin.
pub(crate) const FULL_BYTES: u64 = 500_000_000;

const LOW_BYTES: u64 = 3_000_000_000;
const LOW_PERCENT: u64 = 5;

pub(super) fn check(situation: &Situation<'_>) -> Finding {
    let vitals = situation.vitals;
    let Some(free) = vitals.bytes_free else { return Finding::Fine };
    let told = |id, needed| {
        let mut failure = Failure::from(id);
        failure.evidence.bytes_free = Some(free);
        failure.evidence.bytes_needed = Some(needed);
        failure
    };
    let low = vitals.bytes_capacity.map_or(LOW_BYTES, |capacity| LOW_BYTES.min(capacity / 100 * LOW_PERCENT));
    if free < FULL_BYTES {
        Finding::Hindrance(told(FailureId::DeviceStorageFull, FULL_BYTES))
    } else if free < low {
        Finding::Notice(told(FailureId::DeviceStorageLow, low))
    } else {
        Finding::Fine
    }
}
