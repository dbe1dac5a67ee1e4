//! A link that carries a backup to its end. What is hopeless costs nobody a passcode.

use std::time::Duration;

use backstay_shared::health::{Failure, FailureId};

use super::{Finding, Situation};
use crate::phone::state::Occasion;

/// A phone in the same room answers within 0.1 s, one whose radio sleeps between two packets within 0.3 s. Slower at the
/// quickest of three times is a link that drops most of what is sent. Our own threshold.
const HOPELESS: Duration = Duration::from_secs(1);

pub(super) fn check(situation: &Situation<'_>) -> Finding {
    match situation.vitals.round_trip {
        // A person who asks for it knows.
        _ if situation.occasion == Occasion::Asked => Finding::Fine,
        Some(took) if took >= HOPELESS => {
            let text = format!("the quickest answer took {:.1} s", took.as_secs_f64());
            Finding::Hindrance(Failure::from(FailureId::WifiWeak).text(text))
        }
        _ => Finding::Fine,
    }
}
