//! Apple devices on the USB bus that usbmuxd does not show: a phone in recovery or DFU mode.

use std::{fs, path::Path};

/// Where Linux tells of USB devices. Elsewhere there is no such folder, and nothing is found.
pub const DEVICES: &str = "/sys/bus/usb/devices";

const APPLE: &str = "05ac";

/// A phone that waits for a computer to restore it, by its product id; the words are for a person.
///
/// Source: `irecovery`'s list of device modes.
pub fn phone_in_recovery(devices: &Path) -> Option<&'static str> {
    let entries = fs::read_dir(devices).ok()?.flatten();
    entries.into_iter().find_map(|entry| {
        let value = |name| fs::read_to_string(entry.path().join(name)).unwrap_or_default().trim().to_lowercase();
        match value("idProduct").as_str() {
            _ if value("idVendor") != APPLE => None,
            "1280" | "1281" | "1282" | "1283" => Some("recovery mode"),
            "1227" => Some("DFU mode"),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_in_recovery_is_told_from_others() {
        for (vendor, product, mode) in [
            ("05ac", "1281", Some("recovery mode")),
            ("05AC", "1227", Some("DFU mode")),
            ("05ac", "12a8", None),
            ("1d6b", "1281", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let device = folder.path().join("1-1");
            fs::create_dir(&device).unwrap();
            fs::create_dir(folder.path().join("usb1")).unwrap();
            fs::write(device.join("idVendor"), format!("{vendor}\n")).unwrap();
            fs::write(device.join("idProduct"), format!("{product}\n")).unwrap();
            assert_eq!(phone_in_recovery(folder.path()), mode, "{vendor}:{product}");
        }
        assert_eq!(phone_in_recovery("/nowhere".as_ref()), None);
    }
}
