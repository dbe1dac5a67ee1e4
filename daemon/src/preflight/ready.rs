//! A phone that is set up and activated.

use backstay_shared::health::FailureId;

use super::{Finding, Situation};
use crate::phone::state::Occasion;

pub(super) fn check(situation: &Situation<'_>) -> Finding {
    if situation.vitals.activated == Some(false) {
        return Finding::Hindrance(FailureId::DeviceNotActivated.into());
    }
    // What the value means is nowhere written, so a person may overrule it; then the phone itself says no, with 212.
    if situation.vitals.set_up == Some(false) && situation.occasion != Occasion::Asked {
        return Finding::Hindrance(FailureId::DeviceSetupUnfinished.into());
    }
    Finding::Fine
}
