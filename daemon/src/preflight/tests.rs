//! What stands in the way, what is only worth knowing, and what a person may overrule.

use std::time::Duration;

use backstay_shared::{config::Config, health::FailureId};

use super::*;

const GB: u64 = 1_000_000_000;

fn healthy() -> Vitals {
    Vitals {
        locked: Some(false),
        activated: Some(true),
        set_up: Some(true),
        battery_percent: Some(80),
        powered: Some(true),
        bytes_free: Some(60 * GB),
        bytes_used: Some(190 * GB),
        bytes_capacity: Some(250 * GB),
        encrypts: true,
        ..Vitals::default()
    }
}

fn judged(vitals: &Vitals, config: &Config, occasion: Occasion, bytes_free: u64, expected: Option<u64>) -> Verdict {
    let facts = Facts::sample("26.1");
    let forecast = Forecast { bytes: expected.or(vitals.bytes_used), seconds: None, first: expected.is_none() };
    let (vitals, config, volume) = (vitals, &config.backup, "Backup Disk");
    judge(&Situation { facts: &facts, vitals, config, occasion, bytes_free, forecast: &forecast, volume })
}

fn ids(verdict: &Verdict) -> (Option<FailureId>, Vec<FailureId>) {
    (verdict.hindrances.first().map(|failure| failure.id), verdict.notices.iter().map(|notice| notice.id).collect())
}

#[test]
fn each_check_by_itself() {
    use FailureId::*;
    use Occasion::{Asked, PersonAtThePhone, Time};
    let phone = |change: fn(&mut Vitals)| {
        let mut vitals = healthy();
        change(&mut vitals);
        vitals
    };
    let low = phone(|vitals| (vitals.battery_percent, vitals.powered) = (Some(12), Some(false)));
    let locked = phone(|vitals| vitals.locked = Some(true));
    let far_away = phone(|vitals| vitals.round_trip = Some(Duration::from_millis(1400)));
    let near = phone(|vitals| vitals.round_trip = Some(Duration::from_millis(300)));
    let not_full = || phone(|vitals| vitals.bytes_free = Some(2 * GB));
    for (told, vitals, occasion, hindrance, notices) in [
        ("healthy", healthy(), Time, None, vec![]),
        ("knows nothing", Vitals { encrypts: true, ..Vitals::default() }, Time, None, vec![]),
        ("low battery", low.clone(), Time, Some(DeviceBatteryLow), vec![]),
        ("low battery, plugged in", phone(|vitals| vitals.battery_percent = Some(12)), Time, None, vec![]),
        ("low battery, asked", low, Asked, None, vec![]),
        ("locked at night", locked.clone(), Time, Some(DeviceLocked), vec![]),
        ("locked, just plugged in", locked.clone(), PersonAtThePhone, None, vec![]),
        ("locked, asked", locked, Asked, None, vec![]),
        ("hardly reached over Wi-Fi", far_away.clone(), Time, Some(WifiWeak), vec![]),
        ("hardly reached over Wi-Fi, asked", far_away, Asked, None, vec![]),
        ("reached over Wi-Fi", near, Time, None, vec![]),
        ("phone full", phone(|vitals| vitals.bytes_free = Some(GB / 4)), Asked, Some(DeviceStorageFull), vec![]),
        ("phone nearly full", not_full(), Time, None, vec![DeviceStorageLow]),
        ("welcome screens", phone(|vitals| vitals.set_up = Some(false)), Time, Some(DeviceSetupUnfinished), vec![]),
        ("not activated", phone(|vitals| vitals.activated = Some(false)), Asked, Some(DeviceNotActivated), vec![]),
        (
            "an organisation wants encryption",
            phone(|vitals| (vitals.encrypts, vitals.must_encrypt) = (false, true)),
            Asked,
            Some(EncryptionRequired),
            vec![],
        ),
        ("unencrypted", phone(|vitals| vitals.encrypts = false), Asked, None, vec![]),
    ] {
        let verdict = judged(&vitals, &Config::default(), occasion, 900 * GB, Some(GB));
        assert_eq!(ids(&verdict), (hindrance, notices), "{told}");
    }
    let mut powered = Config::default();
    powered.backup.only_when_charging = true;
    for (on_power, occasion, hindrance) in [
        (Some(false), Time, Some(DeviceNotCharging)),
        (Some(false), PersonAtThePhone, Some(DeviceNotCharging)),
        (Some(false), Asked, None),
        (Some(true), Time, None),
        (None, Time, None),
    ] {
        let vitals = Vitals { powered: on_power, ..healthy() };
        assert_eq!(ids(&judged(&vitals, &powered, occasion, 900 * GB, Some(GB))).0, hindrance, "{on_power:?}");
    }
    let mut strict = Config::default();
    strict.backup.require_encryption = true;
    let plain = phone(|vitals| vitals.encrypts = false);
    assert_eq!(ids(&judged(&plain, &strict, Asked, 900 * GB, None)).0, Some(BackupNotEncrypted));
}

#[test]
fn room_is_told_with_its_numbers() {
    use FailureId::{HostDiskFull, HostDiskLow};
    for (free, expected, hindrance, notices) in [
        (900 * GB, None, None, vec![]),
        (100 * GB, None, None, vec![HostDiskLow]),
        (100 * GB, Some(GB), None, vec![]),
        (2 * GB, Some(GB), None, vec![HostDiskLow]),
        (100_000_000, Some(GB), Some(HostDiskFull), vec![]),
        (0, None, Some(HostDiskFull), vec![]),
    ] {
        let verdict = judged(&healthy(), &Config::default(), Occasion::Time, free, expected);
        assert_eq!(ids(&verdict), (hindrance, notices), "{free} free, {expected:?} expected");
        for failure in verdict.hindrances.iter().chain(&verdict.notices) {
            assert_eq!(failure.evidence.bytes_free, Some(free));
            assert!(failure.evidence.bytes_missing().is_some(), "{failure}");
        }
    }
}
