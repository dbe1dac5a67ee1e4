//! What this computer knows of names and numbers: of its phones, its user and itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use backstay_shared::{ids::Udid, overview::Overview};
use plist::Dictionary;

use crate::{
    cli::Given,
    phone::{
        facts::{self, Facts},
        link::{Attached, Muxer, Session},
    },
    vault::{layout::Layout, phones, receipt},
};

/// A larger Info.plist is not looked into.
const INFO_BYTES_MAX: u64 = 64 << 20;

/// Values of a backup's Info.plist that name a phone or its owner.
const IN_INFO: [&str; 10] = [
    "Device Name",
    "Display Name",
    "Serial Number",
    "IMEI",
    "IMEI 2",
    "MEID",
    "ICCID",
    "Phone Number",
    "GUID",
    "Unique Identifier",
];

/// Values of lockdownd that do.
const OF_PHONE: [&str; 14] = [
    "SerialNumber",
    "MLBSerialNumber",
    "PhoneNumber",
    "InternationalMobileEquipmentIdentity",
    "InternationalMobileEquipmentIdentity2",
    "MobileEquipmentIdentifier",
    "IntegratedCircuitCardIdentity",
    "InternationalMobileSubscriberIdentity",
    "WiFiAddress",
    "BluetoothAddress",
    "EthernetAddress",
    "UniqueChipID",
    "WirelessBoardSerialNumber",
    "BasebandSerialNumber",
];

/// Every value, with what to call it.
pub async fn values(
    given: &Given,
    overview: Option<&Overview>,
    attached: &[Attached],
    muxer: Option<&Muxer>,
) -> Vec<(String, String)> {
    let mut phones: BTreeMap<Udid, BTreeSet<String>> = BTreeMap::new();
    for phone in phones::backed_up(&given.root).unwrap_or_default() {
        let names = phones.entry(phone.layout.udid().clone()).or_default();
        let receipts = receipt::all(&phone.layout).unwrap_or_default();
        names.extend(receipts.into_iter().map(|receipt| receipt.phone_name));
        names.extend(of_backup(&phone.layout));
    }
    for (udid, phone) in given.in_force().into_iter().flat_map(|config| &config.phones) {
        phones.entry(udid.clone()).or_default().extend(phone.name.iter().map(|name| name.0.clone()));
    }
    for phone in overview.into_iter().flat_map(|overview| &overview.phones) {
        phones.entry(phone.udid.clone()).or_default().insert(phone.name.clone());
    }
    for attached in attached {
        let names = phones.entry(attached.udid.clone()).or_default();
        if let Some(muxer) = muxer {
            names.extend(of_phone(muxer, attached).await);
        }
    }
    let mut values = of_user(given);
    for (index, (udid, names)) in phones.into_iter().enumerate() {
        let phone = format!("<phone-{}>", index + 1);
        values.push((udid.to_string(), format!("<phone-{}-id>", index + 1)));
        values.extend(names.into_iter().map(|name| (name, phone.clone())));
    }
    values
}

fn of_backup(layout: &Layout) -> Vec<String> {
    let file = layout.latest().join("Info.plist");
    let small = fs::metadata(&file).is_ok_and(|facts| facts.len() <= INFO_BYTES_MAX);
    let info: Option<Dictionary> = if small { plist::from_file(&file).ok() } else { None };
    let info = info.unwrap_or_default();
    IN_INFO.iter().filter_map(|key| info.get(key)).filter_map(printed).collect()
}

fn printed(value: &plist::Value) -> Option<String> {
    let number = || value.as_unsigned_integer().map(|number| number.to_string());
    value.as_string().map(str::to_owned).or_else(number)
}

async fn of_phone(muxer: &Muxer, attached: &Attached) -> Vec<String> {
    let mut values: Vec<String> =
        facts::introduce(muxer, attached).await.ok().and_then(|known| known.name).into_iter().collect();
    if let Ok(mut session) = Session::open(muxer, attached).await {
        if let Ok(facts) = Facts::read(&mut session, &attached.udid).await {
            values.push(facts.name.clone());
            values.extend(OF_PHONE.iter().filter_map(|key| facts.value(key)).filter_map(printed));
        }
        session.close().await;
    }
    values
}

/// The user, the computer, and the folders that carry their names.
fn of_user(given: &Given) -> Vec<(String, String)> {
    let mut values = Vec::new();
    let mut add = |value: Option<String>, name: &str| values.extend(value.map(|value| (value, name.to_owned())));
    let home = std::env::var("HOME").ok();
    add(Some(given.root.display().to_string()), "<backups>");
    add(given.paths.default_root.parent().map(|home| home.display().to_string()), "~");
    add(home, "~");
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    // Name, password, numbers, full name.
    let account = |line: &str| {
        user.as_ref().and_then(|user| line.strip_prefix(&format!("{user}:"))?.split(':').nth(3).map(str::to_owned))
    };
    let full_name = fs::read_to_string("/etc/passwd").ok().and_then(|text| text.lines().find_map(account));
    add(full_name.and_then(|name| name.split(',').next().map(str::to_owned)), "<user>");
    add(user, "<user>");
    let host = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|file| fs::read_to_string(file).ok());
    add(host.map(|host| host.trim().to_owned()), "<computer>");
    for (index, disk) in removable_disks().into_iter().enumerate() {
        values.push((disk, format!("<disk-{}>", index + 1)));
    }
    values
}

/// Where desktops put disks, under the names that people gave them.
fn removable_disks() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let place = |line: &str| Some(line.split(' ').nth(1)?.replace("\\040", " "));
    let removable =
        |place: &String| ["/media", "/run/media", "/mnt"].iter().any(|folder| Path::new(place).starts_with(folder));
    mounts.lines().filter_map(place).filter(removable).collect()
}
