//! One phone, however many links lead to it.

use std::collections::BTreeMap;

use backstay_shared::ids::Udid;

use super::usbmuxd::Sighting;
use crate::phone::link::Attached;

/// The links that are up, by usbmuxd's number.
#[derive(Debug, Default)]
pub struct Roster {
    links: BTreeMap<u32, Attached>,
}

/// A phone came, changed its link, or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub udid: Udid,
    /// The best link to it now; none when it went.
    pub attached: Option<Attached>,
}

impl Roster {
    /// Takes in what was seen; says what it changes.
    pub fn apply(&mut self, sighting: &Sighting) -> Vec<Change> {
        match sighting {
            Sighting::ServiceUp => Vec::new(),
            Sighting::ServiceDown(_) => {
                let gone = std::mem::take(&mut self.links).into_values();
                let mut udids: Vec<Udid> = gone.map(|attached| attached.udid).collect();
                udids.sort();
                udids.dedup();
                udids.into_iter().map(|udid| Change { udid, attached: None }).collect()
            }
            Sighting::Attached(attached) => {
                let before = self.best(&attached.udid);
                self.links.insert(attached.device_id, attached.clone());
                self.changed(attached.udid.clone(), before)
            }
            Sighting::Detached(device_id) => {
                let Some(udid) = self.links.get(device_id).map(|attached| attached.udid.clone()) else {
                    return Vec::new();
                };
                let before = self.best(&udid);
                self.links.remove(device_id);
                self.changed(udid, before)
            }
        }
    }

    /// USB wins; of two of a kind the newer one.
    fn best(&self, udid: &Udid) -> Option<Attached> {
        let links = self.links.values().filter(|attached| attached.udid == *udid);
        links.max_by_key(|attached| (attached.usb, attached.device_id)).cloned()
    }

    fn changed(&self, udid: Udid, before: Option<Attached>) -> Vec<Change> {
        let attached = self.best(&udid);
        if attached == before { Vec::new() } else { vec![Change { udid, attached }] }
    }
}

#[cfg(test)]
mod tests {
    use backstay_shared::health::FailureId;

    use super::*;

    fn link(device_id: u32, usb: bool) -> Attached {
        Attached { device_id, udid: "00008120-001A2D3E0C40201E".parse().unwrap(), usb }
    }

    #[test]
    fn a_phone_on_both_links_is_one_phone() {
        let mut roster = Roster::default();
        let now = |changes: Vec<Change>| changes.into_iter().map(|change| change.attached).collect::<Vec<_>>();
        assert_eq!(now(roster.apply(&Sighting::Attached(link(1, false)))), [Some(link(1, false))]);
        assert_eq!(now(roster.apply(&Sighting::Attached(link(2, true)))), [Some(link(2, true))], "USB wins");
        assert_eq!(now(roster.apply(&Sighting::Attached(link(3, false)))), [], "Wi-Fi does not take over");
        assert_eq!(now(roster.apply(&Sighting::Detached(2))), [Some(link(3, false))]);
        assert_eq!(now(roster.apply(&Sighting::Detached(99))), []);
        let down = Sighting::ServiceDown(FailureId::UsbmuxdNotRunning.into());
        assert_eq!(now(roster.apply(&down)), [None], "one phone went, though on two links");
    }
}
