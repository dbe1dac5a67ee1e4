//! Apple's devices on the USB, as the kernel sees them: also one that talks to nobody.

use std::{fs, path::Path};

/// Where Linux lists them. Other systems have no such folder, and nothing is found there.
pub const SYSFS: &str = "/sys/bus/usb/devices";

/// Apple's vendor id.
const APPLE: &str = "05ac";

/// A device of Apple's that is or may be a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbDevice {
    /// Its UDID without the dash.
    pub serial: String,
    /// What it is up to.
    pub mode: Mode,
}

/// What a device is up to, by its product id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Started, as phones usually are.
    Normal,
    /// The screen with the cable and the computer.
    Recovery,
    /// A black screen.
    Dfu,
}

/// The phones and tablets below this folder. What can't be read is not there any more.
pub fn apple_devices(folder: &Path) -> Vec<UsbDevice> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let read = |folder: &Path, name: &str| {
        fs::read_to_string(folder.join(name)).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let mut found: Vec<UsbDevice> = entries
        .map(|entry| entry.path())
        .filter(|device| read(device, "idVendor") == APPLE)
        .filter_map(|device| {
            let product = u16::from_str_radix(&read(&device, "idProduct"), 16).ok()?;
            Some(UsbDevice { serial: read(&device, "serial"), mode: mode(product)? })
        })
        .collect();
    found.sort_by(|one, other| one.serial.cmp(&other.serial));
    found
}

/// Source: the udev rules of usbmuxd (1290 to 12af are phones, pods and pads) and irecovery.
const fn mode(product: u16) -> Option<Mode> {
    match product {
        0x1290..=0x12af => Some(Mode::Normal),
        0x1280..=0x1283 => Some(Mode::Recovery),
        0x1222 | 0x1227 => Some(Mode::Dfu),
        // Keyboards, displays, chargers.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_told_from_keyboards() {
        let folder = tempfile::tempdir().unwrap();
        for (name, vendor, product, serial) in [
            ("1-1", "05ac", "12a8", "00008120001A2D3E0C40201E"),
            ("1-2", "05ac", "1281", "SDOM:01 CPID:8120"),
            ("1-3", "05ac", "1227", "CPID:8120"),
            ("1-4", "05ac", "0250", "keyboard"),
            ("1-5", "18d1", "12a8", "another maker"),
            ("1-6", "05ac", "nonsense", ""),
        ] {
            let device = folder.path().join(name);
            fs::create_dir(&device).unwrap();
            for (file, content) in [("idVendor", vendor), ("idProduct", product), ("serial", serial)] {
                fs::write(device.join(file), format!("{content}\n")).unwrap();
            }
        }
        fs::create_dir(folder.path().join("1-0:1.0")).unwrap();
        let modes: Vec<Mode> = apple_devices(folder.path()).into_iter().map(|device| device.mode).collect();
        assert_eq!(modes, [Mode::Normal, Mode::Dfu, Mode::Recovery]);
        assert_eq!(apple_devices(&folder.path().join("no such folder")), []);
    }
}
