//! How a phone is: locked, charged, full, set up, encrypting. Read before every backup and when it comes.

use std::time::Duration;

use backstay_shared::health::Failure;
use chrono::Utc;
use plist::{Dictionary, Value};

use super::{facts::Facts, link::Session, wifi};
use crate::watch::icloud::{self, IcloudBackup};

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
    /// `EnableWifiConnections`: it may be backed up over Wi-Fi.
    pub wifi_allowed: Option<bool>,
    /// Over a network: how long the smallest question took, at the quickest of some times.
    pub round_trip: Option<Duration>,
    /// iCloud Backup.
    pub icloud: IcloudBackup,
}

/// Radio sleeps between two packets, so that one answer says little.
const ROUND_TRIPS: u32 = 3;

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
        let backup = domain(icloud::DOMAIN).await?;
        let setup = domain("com.apple.purplebuddy").await?;
        let wifi_allowed = truth(&domain(wifi::DOMAIN).await?, wifi::ALLOWED_KEY);
        if let Some(allowed) = wifi_allowed {
            session.allows_wifi(allowed);
        }
        let total = number(&disk, "TotalDataCapacity");
        let available = number(&disk, "TotalDataAvailable");
        let state = facts.value("ActivationState").and_then(Value::as_string);
        Ok(Self {
            locked: facts.value("PasswordProtected").and_then(Value::as_boolean),
            activated: state.map(|state| state != "Unactivated"),
            set_up: truth(&setup, "SetupDone"),
            battery_percent: number(&battery, "BatteryCurrentCapacity").filter(|percent| *percent <= 100),
            powered: is_powered(&battery),
            bytes_free: number(&disk, "AmountDataAvailable").or(available),
            bytes_used: total.zip(available).and_then(|(total, available)| total.checked_sub(available)),
            bytes_capacity: total,
            encrypts: truth(&backup, "WillEncrypt") == Some(true),
            must_encrypt: truth(&backup, "RequiresEncryption") == Some(true),
            wifi_allowed,
            round_trip: None,
            icloud: IcloudBackup::new(backup.get(icloud::ENABLED_KEY), backup.get(icloud::LAST_KEY), Utc::now()),
        })
    }

    /// Only whether it is locked, and whether it has power.
    ///
    /// # Errors
    /// When the phone does not answer.
    pub async fn of_the_lock(session: &mut Session) -> Result<Self, Failure> {
        let locked = session.value(None, Some("PasswordProtected")).await?.and_then(|value| value.as_boolean());
        let battery = session.value(Some("com.apple.mobile.battery"), None).await?.and_then(Value::into_dictionary);
        Ok(Self { locked, powered: is_powered(&battery.unwrap_or_default()), ..Self::default() })
    }

    /// Measures the link to a phone on a network.
    ///
    /// # Errors
    /// When the phone does not answer.
    pub async fn measure(&mut self, session: &mut Session) -> Result<(), Failure> {
        for _ in 0..ROUND_TRIPS {
            let took = session.round_trip().await?;
            self.round_trip = Some(self.round_trip.map_or(took, |before| before.min(took)));
        }
        Ok(())
    }
}

fn is_powered(battery: &Dictionary) -> Option<bool> {
    match (truth(battery, "BatteryIsCharging"), truth(battery, "ExternalConnected")) {
        (None, None) => None,
        (charging, connected) => Some(charging == Some(true) || connected == Some(true)),
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
