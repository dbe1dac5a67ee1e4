//! The values that a phone has of itself.

use plist::{Dictionary, Value};

use crate::phone::Phone;

/// What a computer that is not trusted may read, as `ideviceinfo --simple` shows it.
pub(super) const PUBLIC: &[&str] = &[
    "BluetoothAddress",
    "BoardId",
    "BuildVersion",
    "CPUArchitecture",
    "ChipID",
    "DeviceClass",
    "DeviceColor",
    "DeviceName",
    "DevicePublicKey",
    "DieID",
    "HardwareModel",
    "HasSiDP",
    "HumanReadableProductVersionString",
    "PartitionType",
    "ProductName",
    "ProductType",
    "ProductVersion",
    "ProductionSOC",
    "ProtocolVersion",
    "PairRecordProtocolVersion",
    "SupportedDeviceFamilies",
    "TelephonyCapability",
    "UniqueChipID",
    "UniqueDeviceID",
    "WiFiAddress",
];

/// What a trusted computer may set in the global domain.
pub(super) const SETTABLE: &[&str] = &["DeviceName", "TimeZone", "TimeIntervalSince1970", "Uses24HourClock"];

/// The room that iOS itself takes of the data volume.
const BYTES_OF_THE_SYSTEM: u64 = 1 << 30;

/// Every value of a domain; an unknown one is empty.
pub(super) fn of_domain(phone: &Phone, domain: &str) -> Dictionary {
    match domain {
        "" => global(phone),
        "com.apple.disk_usage" | "com.apple.disk_usage.factory" => disk_usage(phone),
        "com.apple.mobile.battery" => battery(phone),
        "com.apple.mobile.backup" => dictionary([
            ("CloudBackupEnabled", Value::from(false)),
            ("RequiresEncryption", Value::from(false)),
            ("Version", Value::from("3.2")),
            ("WillEncrypt", Value::from(phone.encryption().is_some())),
        ]),
        "com.apple.mobile.iTunes" => dictionary([
            ("MinITunesVersion", Value::from("12.12")),
            ("SupportsLiveDeviceRestore", Value::from(true)),
            ("iTunesSetupComplete", Value::from(true)),
        ]),
        "com.apple.iTunes" => dictionary([("DBVersion", Value::from(5_u64))]),
        "com.apple.mobile.wireless_lockdown" => {
            let instance = format!("{}@fe80::1", phone.spec().wifi_mac);
            dictionary([
                ("BonjourFullServiceName", Value::from(format!("{instance}._apple-mobdev2._tcp.local."))),
                ("EnableWifiConnections", Value::from(false)),
                ("EnableWifiDebugging", Value::from(false)),
                ("InstanceName", Value::from(instance)),
                ("SupportsWifi", Value::from(true)),
                ("SupportsWifiSyncing", Value::from(true)),
                ("WirelessBuddyID", Value::from("")),
            ])
        }
        "com.apple.international" => dictionary([
            ("Language", Value::from("en")),
            ("Locale", Value::from("en_US")),
            ("Keyboard", Value::from("en_US")),
        ]),
        "com.apple.mobile.data_sync" => dictionary(["Bookmarks", "Calendars", "Contacts", "Notes"].map(|kind| {
            let sources =
                dictionary([("AccountNames", Value::Array(Vec::new())), ("Sources", Value::Array(Vec::new()))]);
            (kind, Value::Dictionary(sources))
        })),
        "com.apple.purplebuddy" => dictionary([
            ("SetupDone", Value::from(true)),
            ("SetupFinishedAllSteps", Value::from(true)),
            ("SetupState", Value::from("SetupUsingAssistant")),
        ]),
        "com.apple.fmip" => dictionary([("IsAssociated", Value::from(true))]),
        _ => Dictionary::new(),
    }
}

fn dictionary<const N: usize>(values: [(&str, Value); N]) -> Dictionary {
    Dictionary::from_iter(values)
}

/// Digits that follow from the phone's UDID, for its many numbers.
fn digits(phone: &Phone, salt: u64, count: usize) -> String {
    let number = chip_id(phone).wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("{number:020}{:020}", number.rotate_left(29))[..count].to_owned()
}

/// `UniqueChipID` is the part of a UDID behind its dash.
fn chip_id(phone: &Phone) -> u64 {
    let udid = phone.udid();
    let digits = udid.rsplit('-').next().unwrap_or(udid);
    u64::from_str_radix(&digits[digits.len().saturating_sub(16)..], 16).unwrap_or_default()
}

fn mac_with(mac: &str, last: &str) -> String {
    format!("{}:{last}", mac.rsplit_once(':').map_or(mac, |(head, _)| head))
}

fn global(phone: &Phone) -> Dictionary {
    let spec = phone.spec();
    let mut values = dictionary([
        ("ActivationState", Value::from("Activated")),
        ("BasebandVersion", Value::from("4.02.01")),
        ("BluetoothAddress", Value::from(mac_with(&spec.wifi_mac, "b1"))),
        ("BoardId", Value::from(12_u64)),
        ("BrickState", Value::from(false)),
        ("BuildVersion", Value::from(spec.build_version.as_str())),
        ("CPUArchitecture", Value::from("arm64e")),
        ("ChipID", Value::from(0x8120_u64)),
        ("DeviceClass", Value::from("iPhone")),
        ("DeviceColor", Value::from("1")),
        ("DeviceName", Value::from(phone.name())),
        ("DieID", Value::from(chip_id(phone) >> 8)),
        ("EthernetAddress", Value::from(mac_with(&spec.wifi_mac, "e1"))),
        ("FirmwareVersion", Value::from("iBoot-11881.122.1")),
        ("HardwareModel", Value::from("D73AP")),
        ("HasSiDP", Value::from(true)),
        ("HostAttached", Value::from(true)),
        ("HumanReadableProductVersionString", Value::from(spec.product_version.as_str())),
        ("IntegratedCircuitCardIdentity", Value::from(format!("89{}", digits(phone, 1, 17)))),
        ("InternationalMobileEquipmentIdentity", Value::from(format!("35{}", digits(phone, 2, 13)))),
        ("InternationalMobileEquipmentIdentity2", Value::from(format!("35{}", digits(phone, 5, 13)))),
        ("InternationalMobileSubscriberIdentity", Value::from(format!("001{}", digits(phone, 3, 12)))),
        ("MobileEquipmentIdentifier", Value::from(format!("35{}", digits(phone, 2, 12)))),
        ("MobileSubscriberCountryCode", Value::from("001")),
        ("ModelNumber", Value::from("MQ0G3")),
        ("PairRecordProtocolVersion", Value::from(4_u64)),
        ("PartitionType", Value::from("GUID_partition_scheme")),
        ("PhoneNumber", Value::from(format!("+1 (555) 0{}", digits(phone, 4, 6)))),
        ("ProductName", Value::from("iPhone OS")),
        ("ProductType", Value::from(spec.product_type.as_str())),
        ("ProductVersion", Value::from(spec.product_version.as_str())),
        ("ProductionSOC", Value::from(true)),
        ("ProtocolVersion", Value::from("2")),
        ("RegionInfo", Value::from("LL/A")),
        ("SIMStatus", Value::from("kCTSIMSupportSIMStatusReady")),
        ("SerialNumber", Value::from(spec.serial.as_str())),
        ("SupportedDeviceFamilies", Value::Array(vec![Value::from(1_u64)])),
        ("TelephonyCapability", Value::from(true)),
        ("TimeZone", Value::from("Europe/Berlin")),
        ("TimeZoneOffsetFromUTC", Value::from(3600.0)),
        ("TrustedHostAttached", Value::from(true)),
        ("UniqueChipID", Value::from(chip_id(phone))),
        ("UniqueDeviceID", Value::from(spec.udid.as_str())),
        ("Uses24HourClock", Value::from(true)),
        ("WiFiAddress", Value::from(spec.wifi_mac.as_str())),
    ]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    values.insert("TimeIntervalSince1970".into(), Value::from(now.as_secs_f64()));
    if let Some(key) = phone.trust().device_key().public_pem() {
        values.insert("DevicePublicKey".into(), Value::Data(key));
    }
    values
}

fn disk_usage(phone: &Phone) -> Dictionary {
    let capacity = phone.spec().total_data_capacity;
    let available = capacity.saturating_sub(BYTES_OF_THE_SYSTEM + phone.data().total_bytes());
    dictionary([
        ("AmountDataAvailable", Value::from(available)),
        ("AmountDataReserved", Value::from(200_u64 << 20)),
        ("AmountRestoreAvailable", Value::from(available)),
        ("CalculateDiskUsage", Value::from("OkilyDokily")),
        ("NANDInfo", Value::Data(vec![0; 16])),
        ("TotalDataAvailable", Value::from(available)),
        ("TotalDataCapacity", Value::from(capacity)),
        ("TotalDiskCapacity", Value::from(capacity + (12 << 30))),
        ("TotalSystemAvailable", Value::from(0_u64)),
        ("TotalSystemCapacity", Value::from(12_u64 << 30)),
    ])
}

fn battery(phone: &Phone) -> Dictionary {
    let (percent, charging) = (phone.spec().battery_percent, phone.spec().battery_charging);
    dictionary([
        ("BatteryCurrentCapacity", Value::from(u64::from(percent))),
        ("BatteryIsCharging", Value::from(charging && percent < 100)),
        ("ExternalChargeCapable", Value::from(charging)),
        ("ExternalConnected", Value::from(charging)),
        ("FullyCharged", Value::from(percent == 100)),
        ("GasGaugeCapability", Value::from(true)),
        ("HasBattery", Value::from(true)),
    ])
}
