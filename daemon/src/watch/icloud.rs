//! What the phone itself says of its iCloud backup.

use backstay_shared::health::{Failure, FailureId};
use chrono::{DateTime, TimeDelta, Utc};
use plist::Value;

/// The domain of lockdownd that holds the values.
pub const DOMAIN: &str = "com.apple.mobile.backup";

/// The key that says whether iCloud Backup is on.
pub const ENABLED_KEY: &str = "CloudBackupEnabled";

/// The key of the last success.
pub const LAST_KEY: &str = "LastCloudBackupDate";

/// It runs each night when the phone is on power and on Wi-Fi; a weekend elsewhere is no news.
const DAYS_MAX: i64 = 3;

/// 2001-01-01, where Apple's seconds begin, in those of 1970.
const APPLE_EPOCH: i64 = 978_307_200;

/// As it was when the phone was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IcloudBackup {
    /// Whether it is on; none when the phone does not say, which it does not before it was ever on.
    pub on: Option<bool>,
    /// The last success.
    pub last: Option<DateTime<Utc>>,
    /// When the phone was asked. A phone that has been away since may have made one.
    pub asked: DateTime<Utc>,
}

impl IcloudBackup {
    /// From lockdownd's values of [`ENABLED_KEY`] and [`LAST_KEY`] in [`DOMAIN`].
    pub fn new(enabled: Option<&Value>, last: Option<&Value>, asked: DateTime<Utc>) -> Self {
        let on = enabled.and_then(|value| value.as_boolean().or_else(|| Some(value.as_signed_integer()? != 0)));
        // Before iCloud there was none, and nothing was backed up tomorrow.
        let plausible = |at: &DateTime<Utc>| at.timestamp() > 1_300_000_000 && *at <= asked + TimeDelta::days(1);
        Self { on, last: last.and_then(time).filter(plausible), asked }
    }
}

/// Seconds since 2001, whole or not, or a date.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    if let Some(date) = value.as_date() {
        return Some(DateTime::from(std::time::SystemTime::from(date)));
    }
    // A cast of a float saturates; what is out of bounds is no time below.
    let seconds = value.as_signed_integer().or_else(|| Some(value.as_real()? as i64))?;
    DateTime::from_timestamp(seconds.checked_add(APPLE_EPOCH)?, 0)
}

/// `icloud-backup-off`, or `icloud-backup-stale` with the days since the last success. Who never had it on wants it so
/// and is not told; it is news where it once worked.
pub fn judge(backup: &IcloudBackup) -> Option<Failure> {
    match (backup.on?, backup.last) {
        (false, Some(_)) => Some(FailureId::IcloudBackupOff.into()),
        (false, None) => None,
        (true, Some(last)) if backup.asked - last > TimeDelta::days(DAYS_MAX) => {
            let mut failure = Failure::from(FailureId::IcloudBackupStale);
            failure.evidence.days = u64::try_from((backup.asked - last).num_days()).ok();
            Some(failure)
        }
        // On and never yet: it may have been turned on a moment ago.
        (true, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_and_stale_are_told() {
        let asked: DateTime<Utc> = "2025-11-25T20:00:00Z".parse().unwrap();
        let days_ago = |days: i64| asked - TimeDelta::days(days);
        let seconds = |at: DateTime<Utc>| Value::Integer((at.timestamp() - APPLE_EPOCH).into());
        let date = |at: DateTime<Utc>| Value::Date(std::time::SystemTime::from(at).into());
        let real = |at: DateTime<Utc>| Value::Real((at.timestamp() - APPLE_EPOCH) as f64 + 0.5);
        let (on, off) = (Value::Boolean(true), Value::Boolean(false));
        let stale = |days| Some((FailureId::IcloudBackupStale, Some(days)));
        let is_off = Some((FailureId::IcloudBackupOff, None));
        for (enabled, last, told) in [
            (None, None, None),
            (None, Some(seconds(days_ago(9))), None),
            (Some(&off), None, None),
            (Some(&off), Some(seconds(days_ago(1))), is_off),
            (Some(&Value::Integer(0.into())), Some(seconds(days_ago(1))), is_off),
            (Some(&on), None, None),
            (Some(&on), Some(seconds(days_ago(1))), None),
            (Some(&on), Some(seconds(days_ago(3))), None),
            (Some(&on), Some(seconds(days_ago(9))), stale(9)),
            (Some(&on), Some(date(days_ago(4))), stale(4)),
            (Some(&on), Some(real(days_ago(5))), stale(5)),
            // Nothing of these is a time of a backup.
            (Some(&on), Some(Value::Integer(0.into())), None),
            (Some(&on), Some(Value::Integer(i64::MAX.into())), None),
            (Some(&on), Some(Value::Real(f64::NAN)), None),
            (Some(&on), Some(seconds(days_ago(-400))), None),
            (Some(&on), Some(Value::String("yesterday".into())), None),
            (Some(&Value::String("yes".into())), Some(seconds(days_ago(9))), None),
        ] {
            let failure = judge(&IcloudBackup::new(enabled, last.as_ref(), asked));
            let found = failure.map(|failure| (failure.id, failure.evidence.days));
            assert_eq!(found, told, "{enabled:?} {last:?}");
        }
    }
}
