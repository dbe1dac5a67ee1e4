//! `[notify]`: what may pop up on the screen.

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
