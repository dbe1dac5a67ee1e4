//! How a phone is: locked, charged, full, set up, encrypting. Read before every backup and when it comes.

use backstay_shared::health::Failure;
use chrono::{DateTime, Utc};
use plist::{Dictionary, Value};

use super::{facts::Facts, link::Session};

/// Seconds from 1970 to 2001, where Apple's dates begin.
const APPLE_EPOCH_SECONDS: i64 = 978_307_200;

/// What lockdownd tells; none is "it does not say". Sources: `failures.toml`, `ideviceinfo -q`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vitals {
    /// `PasswordProtected`: the screen is locked.
    pub locked: Option<bool>,
    /// `ActivationState` is "Activated", or anything that is not "Unactivated".
    pub activated: Option<bool>,
    /// `SetupDone` of com.apple.purplebuddy: the welcome screens are over.
    pub set_up: Option<bool>,
    /// Charge of the battery, 0 to 100.
    pub battery_percent: Option<u64>,
    /// It has power from outside.
    pub powered: Option<bool>,
    /// Bytes that its apps may still use.
    pub bytes_free: Option<u64>,
    /// Bytes that are used: the most that a first backup can bring.
    pub bytes_used: Option<u64>,
    /// `TotalDataCapacity`
    pub bytes_capacity: Option<u64>,
    /// `WillEncrypt` of com.apple.mobile.backup; missing is false.
    pub encrypts: bool,
    /// `RequiresEncryption`: an organisation wants it so.
    pub must_encrypt: bool,
    /// `CloudBackupEnabled`
    pub icloud_backup: Option<bool>,
    /// `LastCloudBackupDate`
    pub last_icloud_backup: Option<DateTime<Utc>>,
}

impl Vitals {
    /// Reads them.
    ///
    /// # Errors
    /// When the phone does not answer.
    pub async fn read(session: &mut Session, facts: &Facts) -> Result<Self, Failure> {
        let mut domain = async |name| {
            let values = session.value(Some(name), None).await?;
            Ok::<_, Failure>(values.and_then(Value::into_dictionary).unwrap_or_default())
        };
        let battery = domain("com.apple.mobile.battery").await?;
        let disk = domain("com.apple.disk_usage").await?;
        let backup = domain("com.apple.mobile.backup").await?;
        let setup = domain("com.apple.purplebuddy").await?;
        let total = number(&disk, "TotalDataCapacity");
        let available = number(&disk, "TotalDataAvailable");
        let state = facts.value("ActivationState").and_then(Value::as_string);
        Ok(Self {
            locked: facts.value("PasswordProtected").and_then(Value::as_boolean),
            activated: state.map(|state| state != "Unactivated"),
            set_up: truth(&setup, "SetupDone"),
            battery_percent: number(&battery, "BatteryCurrentCapacity").filter(|percent| *percent <= 100),
            powered: match (truth(&battery, "BatteryIsCharging"), truth(&battery, "ExternalConnected")) {
                (None, None) => None,
                (charging, connected) => Some(charging == Some(true) || connected == Some(true)),
            },
            bytes_free: number(&disk, "AmountDataAvailable").or(available),
            bytes_used: total.zip(available).and_then(|(total, available)| total.checked_sub(available)),
            bytes_capacity: total,
            encrypts: truth(&backup, "WillEncrypt") == Some(true),
            must_encrypt: truth(&backup, "RequiresEncryption") == Some(true),
            icloud_backup: truth(&backup, "CloudBackupEnabled"),
            last_icloud_backup: backup.get("LastCloudBackupDate").and_then(date),
        })
    }
}

fn number(values: &Dictionary, key: &str) -> Option<u64> {
    let value = values.get(key)?;
    value.as_unsigned_integer().or_else(|| value.as_signed_integer().and_then(|number| number.try_into().ok()))
}

/// A boolean, or a number in its place.
fn truth(values: &Dictionary, key: &str) -> Option<bool> {
    let value = values.get(key)?;
    value.as_boolean().or_else(|| value.as_unsigned_integer().map(|number| number != 0))
}

/// A property-list date, or seconds since 2001.
fn date(value: &Value) -> Option<DateTime<Utc>> {
    if let Some(date) = value.as_date() {
        return Some(std::time::SystemTime::from(date).into());
    }
    let seconds = value.as_signed_integer().or_else(|| value.as_real().map(|seconds| seconds as i64))?;
    // 0 is "never".
    DateTime::from_timestamp(seconds.checked_add(APPLE_EPOCH_SECONDS)?, 0).filter(|_| seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_in_several_forms() {
        let noon = DateTime::from_timestamp(1_795_435_200, 0).unwrap();
        let system: std::time::SystemTime = noon.into();
        let seconds = 1_795_435_200 - APPLE_EPOCH_SECONDS;
        for (value, expected) in [
            (Value::Date(system.into()), Some(noon)),
            (Value::from(seconds), Some(noon)),
            (Value::from(seconds as f64), Some(noon)),
            (Value::from(0_i64), None),
            (Value::from(i64::MAX), None),
            (Value::from("yesterday"), None),
        ] {
            assert_eq!(date(&value), expected, "{value:?}");
        }
    }
}
