//! `[phones."UDID"]`: what one phone has otherwise than the others.

use serde::Deserialize;

use super::{Backup, Days, Hours, Percent, Schedule};
use crate::hours::Hours as AllowedHours;

/// More characters make no name.
const NAME_LENGTH_MAX: usize = 60;

/// What is absent is as in `[backup]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phone {
    /// Shown in place of the name that the phone has.
    pub name: Option<PhoneName>,
    /// Whether it is backed up at all.
    pub enabled: bool,
    /// As in `[backup]`; replaces a schedule there.
    pub every_hours: Option<Hours>,
    /// As in `[backup]`.
    pub schedule: Option<Schedule>,
    /// As in `[backup]`.
    pub hours: Option<AllowedHours>,
    /// As in `[backup]`.
    pub battery_percent_min: Option<Percent>,
    /// As in `[backup]`.
    pub require_encryption: Option<bool>,
    /// As in `[backup]`.
    pub on_connect_hours: Option<Hours>,
    /// As in `[backup]`.
    pub overdue_days: Option<Days>,
    /// As in `[backup]`.
    pub only_when_charging: Option<bool>,
    /// As in `[backup]`.
    pub keep_last: Option<u32>,
    /// As in `[backup]`.
    pub keep_daily: Option<u32>,
    /// As in `[backup]`.
    pub keep_weekly: Option<u32>,
    /// As in `[backup]`.
    pub keep_monthly: Option<u32>,
}

impl Default for Phone {
    fn default() -> Self {
        Self {
            name: None,
            enabled: true,
            every_hours: None,
            schedule: None,
            hours: None,
            battery_percent_min: None,
            require_encryption: None,
            on_connect_hours: None,
            overdue_days: None,
            only_when_charging: None,
            keep_last: None,
            keep_daily: None,
            keep_weekly: None,
            keep_monthly: None,
        }
    }
}

impl Phone {
    /// The settings of everybody as they are for this phone.
    pub(super) fn over(&self, everybody: &Backup) -> Backup {
        // An interval of its own is no interval beside a schedule of everybody.
        let schedule = self.schedule.clone().or_else(|| match self.every_hours {
            Some(_) => None,
            None => everybody.schedule.clone(),
        });
        Backup {
            every_hours: self.every_hours.unwrap_or(everybody.every_hours),
            schedule,
            hours: self.hours.or(everybody.hours),
            battery_percent_min: self.battery_percent_min.unwrap_or(everybody.battery_percent_min),
            require_encryption: self.require_encryption.unwrap_or(everybody.require_encryption),
            on_connect_hours: self.on_connect_hours.or(everybody.on_connect_hours),
            overdue_days: self.overdue_days.unwrap_or(everybody.overdue_days),
            only_when_charging: self.only_when_charging.unwrap_or(everybody.only_when_charging),
            keep_last: self.keep_last.unwrap_or(everybody.keep_last),
            keep_daily: self.keep_daily.unwrap_or(everybody.keep_daily),
            keep_weekly: self.keep_weekly.unwrap_or(everybody.keep_weekly),
            keep_monthly: self.keep_monthly.unwrap_or(everybody.keep_monthly),
            ..everybody.clone()
        }
    }
}

/// What a person calls a phone, fit for a terminal and a menu.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PhoneName(pub String);

impl TryFrom<String> for PhoneName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let fits =
            !name.trim().is_empty() && name.chars().count() <= NAME_LENGTH_MAX && !name.chars().any(char::is_control);
        match fits {
            true => Ok(Self(name.trim().to_owned())),
            false => Err(format!("{name:?} is no name: expected 1 to {NAME_LENGTH_MAX} characters")),
        }
    }
}
