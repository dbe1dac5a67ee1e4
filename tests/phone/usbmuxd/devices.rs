//! Which phones are plugged in, under which device numbers.

use std::sync::Mutex;

use plist::{Dictionary, Value};
use tokio::sync::watch;

use crate::phone::{Connection, Phone};

/// `sockaddr_in` of 192.0.2.7 as macOS and netmuxd write it: length, family, port, address, nothing.
const SOCKET_ADDRESS: [u8; 16] = [16, 2, 0, 0, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0];

/// One phone on its cable, or on Wi-Fi.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) id: u32,
    /// [`Phone::link`] when it was attached.
    pub(super) link: u64,
    pub(super) phone: Phone,
    connection: Connection,
}

impl Device {
    /// Waits while its link is dead; false if it is gone.
    pub(super) async fn answers(&self) -> bool {
        let mut link = self.phone.link();
        tokio::select! {
            _ = link.wait_for(|link| *link != self.link) => false,
            () = self.phone.thawed() => true,
        }
    }

    /// The `Attached` message.
    pub(super) fn attached(&self) -> Dictionary {
        let id = u64::from(self.id);
        let udid = self.phone.udid();
        let mut properties =
            Dictionary::from_iter([("DeviceID", Value::from(id)), ("SerialNumber", Value::from(udid))]);
        properties.extend(match self.connection {
            Connection::Usb => Dictionary::from_iter([
                ("ConnectionSpeed", Value::from(480_000_000_u64)),
                ("ConnectionType", Value::from("USB")),
                ("LocationID", Value::from(0x2_0000 + id)),
                ("ProductID", Value::from(4776_u64)),
                ("USBSerialNumber", Value::from(udid.replace('-', ""))),
            ]),
            Connection::Network => {
                let service = format!("{}@fe80::1._apple-mobdev2._tcp.local.", self.phone.spec().wifi_mac);
                Dictionary::from_iter([
                    ("ConnectionType", Value::from("Network")),
                    ("EscapedFullServiceName", Value::from(service)),
                    ("InterfaceIndex", Value::from(2_u64)),
                    ("NetworkAddress", Value::Data(SOCKET_ADDRESS.to_vec())),
                ])
            }
        });
        Dictionary::from_iter([
            ("MessageType", Value::from("Attached")),
            ("DeviceID", Value::from(id)),
            ("Properties", Value::from(properties)),
        ])
    }
}

/// Every phone whose cable ends here.
#[derive(Default)]
pub(super) struct Devices {
    registered: Mutex<Registered>,
    present: watch::Sender<Vec<Device>>,
}

#[derive(Default)]
struct Registered {
    phones: Vec<Phone>,
    last_id: u32,
}

impl Devices {
    pub(super) fn add(&self, phone: &Phone) {
        if let Ok(mut registered) = self.registered.lock() {
            registered.phones.push(phone.clone());
        }
        self.refresh();
    }

    /// Brings the list up to date with the cables; whoever reads the list calls this first, so that a phone is listed
    /// as soon as `plug_in` has returned.
    pub(super) fn refresh(&self) {
        let Ok(mut registered) = self.registered.lock() else { return };
        let Registered { phones, last_id } = &mut *registered;
        self.present.send_if_modified(|present| {
            let before = present.len();
            present.retain(|device| *device.phone.link().borrow() == device.link);
            let mut modified = present.len() != before;
            for phone in phones.iter() {
                let link = *phone.link().borrow();
                if link != 0 && !present.iter().any(|device| device.phone.udid() == phone.udid()) {
                    *last_id += 1;
                    present.push(Device { id: *last_id, link, phone: phone.clone(), connection: phone.connection() });
                    modified = true;
                }
            }
            modified
        });
    }

    /// usbmuxd went away and with it its numbers.
    pub(super) fn forget_ids(&self) {
        if let Ok(mut registered) = self.registered.lock() {
            registered.last_id = 0;
        }
        self.present.send_replace(Vec::new());
    }

    pub(super) fn present(&self) -> Vec<Device> {
        self.refresh();
        self.present.borrow().clone()
    }

    pub(super) fn by_id(&self, id: u64) -> Option<Device> {
        self.present().into_iter().find(|device| u64::from(device.id) == id)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Vec<Device>> {
        self.refresh();
        self.present.subscribe()
    }
}
