//! `[notify]`: what may pop up on the screen.

use chrono::{DateTime, TimeZone, Utc};
use serde::Deserialize;

use crate::hours::Hours;

/// Notifications on the desktop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// In these hours of the day nothing pops up but what answers a click; the rest comes when they are over.
    pub quiet_hours: Option<Hours>,
    /// A backup that went well is told, too.
    pub success: bool,
}

impl Notify {
    /// Whether `now` lies in the quiet hours.
    pub fn is_quiet<Zone: TimeZone>(&self, now: DateTime<Utc>, zone: &Zone) -> bool {
        self.quiet_hours.is_some_and(|hours| hours.include(now, zone))
    }
}
