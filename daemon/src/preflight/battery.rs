//! A battery that lasts to the end. iOS has no rule of its own that is known; this one is ours.

use backstay_shared::health::{Failure, FailureId};

use super::{Finding, Situation};
use crate::phone::state::Occasion;

pub(super) fn check(situation: &Situation<'_>) -> Finding {
    let vitals = situation.vitals;
    let least = u64::from(situation.config.battery_percent_min.0);
    match (vitals.battery_percent, vitals.powered) {
        // A person who asks for it knows.
        (Some(percent), Some(false)) if percent < least && situation.occasion != Occasion::Asked => {
            let mut failure = Failure::from(FailureId::DeviceBatteryLow);
            failure.evidence.percent = Some(percent);
            Finding::Hindrance(failure)
        }
        _ => Finding::Fine,
    }
}
