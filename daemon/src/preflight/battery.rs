//! A battery that lasts to the end, and power where a person wants it. iOS has no rule of its own that is known; these
//! are ours.

use backstay_shared::health::{Failure, FailureId};

use super::{Finding, Situation};
use crate::phone::state::Occasion;

pub(super) fn check(situation: &Situation<'_>) -> Finding {
    let vitals = situation.vitals;
    let least = u64::from(situation.config.battery_percent_min.0);
    match (vitals.battery_percent, vitals.powered) {
        // A person who asks for it knows.
        _ if situation.occasion == Occasion::Asked => Finding::Fine,
        (_, Some(false)) if situation.config.only_when_charging => {
            Finding::Hindrance(FailureId::DeviceNotCharging.into())
        }
        (Some(percent), Some(false)) if percent < least => {
            let mut failure = Failure::from(FailureId::DeviceBatteryLow);
            failure.evidence.percent = Some(percent);
            Finding::Hindrance(failure)
        }
        _ => Finding::Fine,
    }
}
