//! What can be known before a restore begins: each thing that would make it fail, while nothing has changed yet.

use std::{fs, path::Path};

use backstay_shared::health::{Failure, FailureId};
use plist::{Dictionary, Value};

use super::is_true;
use crate::{
    phone::{facts::Facts, link::Session},
    transfer::{DiskError, value},
};

/// `Info.plist` lists every app with its icon and is some megabytes.
const INFO_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Below this a phone that is not charging may not get through.
const BATTERY_PERCENT_MIN: u64 = 20;

/// What a snapshot's `Info.plist` tells of the phone it is of.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// `Device Name`
    pub name: String,
    /// `Product Type`
    pub model: String,
    /// `Product Version`
    pub ios: String,
    /// `Applications`
    pub applications: Option<Dictionary>,
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// When it is missing or broken; no phone takes such a backup.
    pub fn read(tree: &Path) -> Result<Self, Failure> {
        let path = tree.join("Info.plist");
        let broken = |text: String| Failure::from(FailureId::BackupDamaged).path(&path).text(text);
        let disk =
            |source| crate::health::diagnose::disk(&DiskError { operation: "reading", path: path.clone(), source });
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(broken("is missing".into())),
            Err(error) => return Err(disk(error)),
        };
        if size > INFO_BYTES_MAX {
            return Err(broken(format!("is too large: {size} bytes")));
        }
        let content = fs::read(&path).map_err(disk)?;
        // Bounds what a binary one unfolds to, which the plain reader does not.
        value::Value::parse(&content).map_err(|error| broken(error.to_string()))?;
        let info: Dictionary = plist::from_bytes(&content).map_err(|error| broken(error.to_string()))?;
        let text = |key: &str| {
            let text = info.get(key).and_then(Value::as_string).unwrap_or_default();
            text.chars().filter(|character| !character.is_control()).take(200).collect()
        };
        let applications = info.get("Applications").and_then(Value::as_dictionary);
        Ok(Self {
            name: text("Device Name"),
            model: text("Product Type"),
            ios: text("Product Version"),
            applications: applications.filter(|applications| !applications.is_empty()).cloned(),
        })
    }
}

/// Checks everything but the room.
///
/// # Errors
/// What would make the restore fail; or when the phone does not answer.
pub async fn check(session: &mut Session, facts: &Facts, source: &Source) -> Result<(), Failure> {
    if is_true(session.value(Some("com.apple.fmip"), Some("IsAssociated")).await?.as_ref()) {
        return Err(FailureId::FindMyBlocksRestore.into());
    }
    if is_older(&facts.ios, &source.ios) {
        let text = format!("the backup is of iOS {}, the iPhone has iOS {}", source.ios, facts.ios);
        return Err(Failure::from(FailureId::RestoreIosTooOld).text(text));
    }
    let battery = session.value(Some("com.apple.mobile.battery"), None).await?.and_then(Value::into_dictionary);
    let battery = battery.unwrap_or_default();
    let powered = is_true(battery.get("ExternalConnected")) || is_true(battery.get("BatteryIsCharging"));
    match battery.get("BatteryCurrentCapacity").and_then(Value::as_unsigned_integer) {
        Some(percent) if percent < BATTERY_PERCENT_MIN && !powered => {
            Err(Failure::from(FailureId::DeviceBatteryLow).text(format!("{percent} % left")))
        }
        _ => Ok(()),
    }
}

/// Checks the room. What is on the phone of its own backup is replaced, so there the whole of it counts; on another
/// phone only what is free does.
///
/// # Errors
/// `restore-iphone-too-small`; or when the phone does not answer.
pub async fn check_room(session: &mut Session, bytes: u64, onto_itself: bool) -> Result<(), Failure> {
    let usage = session.value(Some("com.apple.disk_usage"), None).await?.and_then(Value::into_dictionary);
    let usage = usage.unwrap_or_default();
    let keys: &[&str] = match onto_itself {
        true => &["TotalDataCapacity"],
        false => &["AmountRestoreAvailable", "TotalDataAvailable"],
    };
    let room = keys.iter().find_map(|key| usage.get(key).and_then(Value::as_unsigned_integer));
    match room {
        Some(room) if room < bytes => {
            let mut failure = Failure::from(FailureId::RestoreIphoneTooSmall);
            failure.evidence.bytes_needed = Some(bytes);
            failure.evidence.bytes_free = Some(room);
            Err(failure)
        }
        // A phone that does not tell refuses by itself.
        _ => Ok(()),
    }
}

/// Compares versions number by number; what is no version is not older.
fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u32>> { text.split('.').map(|part| part.parse().ok()).collect() };
    match (numbers(version), numbers(than)) {
        (Some(mut version), Some(mut than)) => {
            let length = version.len().max(than.len());
            version.resize(length, 0);
            than.resize(length, 0);
            version < than
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, than) in [("9.3.5", "18.5"), ("18.4.1", "18.5"), ("18.5", "18.5.1")] {
            assert!(is_older(version, than), "{version} {than}");
        }
        for (version, than) in [("18.5", "18.5"), ("18.5.0", "18.5"), ("18.10", "18.9"), ("", "18.5"), ("18.5", "?")] {
            assert!(!is_older(version, than), "{version} {than}");
        }
    }
}
