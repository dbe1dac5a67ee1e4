//! `Status.plist` and `Manifest.plist`.

use std::{collections::BTreeSet, time::SystemTime};

use plist::{Dictionary, Value};

use super::keybag::{Keybag, random};
use crate::phone::{Phone, dataset::DataSet};

/// `Status.plist`; `snapshot_state` is `uploading`, `moving` or `finished`.
pub(super) fn status(uuid: &str, full: bool, snapshot_state: &str) -> Vec<u8> {
    let mut status = Dictionary::new();
    status.insert("UUID".into(), uuid.into());
    status.insert("IsFullBackup".into(), full.into());
    status.insert("Version".into(), "3.3".into());
    status.insert("BackupState".into(), "new".into());
    status.insert("Date".into(), now());
    status.insert("SnapshotState".into(), snapshot_state.into());
    binary(status)
}

/// True when this is the `Status.plist` of a backup that came to its end.
pub(super) fn is_finished(status: &[u8]) -> bool {
    dictionary(status).as_ref().is_some_and(says_finished)
}

/// The same, once it is read.
pub(super) fn says_finished(status: &Dictionary) -> bool {
    status.get("SnapshotState").and_then(Value::as_string) == Some("finished")
}

/// Reads a plist whose top is a dictionary.
pub(super) fn dictionary(bytes: &[u8]) -> Option<Dictionary> {
    plist::from_bytes::<Value>(bytes).ok()?.into_dictionary()
}

/// What `Manifest.plist` says about the encryption of a backup.
pub(super) struct Locked {
    pub(super) keybag: Vec<u8>,
    pub(super) manifest_key: Vec<u8>,
}

/// None when the backup is not encrypted.
pub(super) fn encryption(manifest: &Dictionary) -> Option<Locked> {
    if !manifest.get("IsEncrypted").and_then(Value::as_boolean).unwrap_or(false) {
        return None;
    }
    let data = |key: &str| manifest.get(key).and_then(Value::as_data).unwrap_or_default().to_owned();
    Some(Locked { keybag: data("BackupKeyBag"), manifest_key: data("ManifestKey") })
}

/// `Manifest.plist`; of an encrypted backup with its bag and the wrapped key of `Manifest.db`.
pub(super) fn manifest(phone: &Phone, data: &DataSet, encryption: Option<(&Keybag, Vec<u8>)>) -> Vec<u8> {
    let spec = phone.spec();
    let mut lockdown = Dictionary::new();
    lockdown.insert("BuildVersion".into(), spec.build_version.as_str().into());
    lockdown.insert("DeviceName".into(), phone.name().into());
    lockdown.insert("ProductType".into(), spec.product_type.as_str().into());
    lockdown.insert("ProductVersion".into(), spec.product_version.as_str().into());
    lockdown.insert("SerialNumber".into(), spec.serial.as_str().into());
    lockdown.insert("UniqueDeviceID".into(), spec.udid.as_str().into());

    let mut manifest = Dictionary::new();
    manifest.insert("IsEncrypted".into(), encryption.is_some().into());
    let keybag = match encryption {
        Some((keybag, manifest_key)) => {
            manifest.insert("ManifestKey".into(), Value::Data(manifest_key));
            keybag.bytes().to_owned()
        }
        None => empty_keybag(),
    };
    manifest.insert("BackupKeyBag".into(), Value::Data(keybag));
    manifest.insert("Version".into(), "10.0".into());
    manifest.insert("Date".into(), now());
    manifest.insert("SystemDomainsVersion".into(), "24.0".into());
    manifest.insert("WasPasscodeSet".into(), true.into());
    manifest.insert("Lockdown".into(), Value::Dictionary(lockdown));
    manifest.insert("Applications".into(), Value::Dictionary(applications(data)));
    binary(manifest)
}

fn applications(data: &DataSet) -> Dictionary {
    let domains: BTreeSet<&str> =
        data.entries().iter().filter_map(|entry| entry.domain.strip_prefix("AppDomain-")).collect();
    domains
        .into_iter()
        .map(|bundle| {
            let mut application = Dictionary::new();
            application.insert("CFBundleIdentifier".into(), bundle.into());
            application.insert("CFBundleVersion".into(), "1".into());
            application.insert("ContainerContentClass".into(), "Data/Application".into());
            (bundle.to_owned(), Value::Dictionary(application))
        })
        .collect()
}

/// A key bag by its form (tag, length, value), which has no keys since nothing is encrypted.
fn empty_keybag() -> Vec<u8> {
    let mut bag = Vec::new();
    let mut put = |tag: &str, value: &[u8]| {
        bag.extend_from_slice(tag.as_bytes());
        bag.extend_from_slice(&(value.len() as u32).to_be_bytes());
        bag.extend_from_slice(value);
    };
    put("VERS", &5_u32.to_be_bytes());
    put("TYPE", &1_u32.to_be_bytes());
    put("UUID", &random::<16>());
    put("WRAP", &0_u32.to_be_bytes());
    put("SALT", &random::<20>());
    put("ITER", &10_000_u32.to_be_bytes());
    bag
}

fn now() -> Value {
    Value::Date(SystemTime::now().into())
}

fn binary(dictionary: Dictionary) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory a dictionary of our own can't fail.
    drop(Value::Dictionary(dictionary).to_writer_binary(&mut bytes));
    bytes
}
