//! One phone, however many links lead to it.

use std::collections::BTreeMap;

use backstay_shared::ids::Udid;

use super::usbmuxd::Sighting;
use crate::phone::link::{Attached, Way};

/// The links that are up, by where they lead through.
#[derive(Debug, Default)]
pub struct Roster {
    links: BTreeMap<Way, Attached>,
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
            Sighting::ServiceUp | Sighting::NotReached(..) => Vec::new(),
            Sighting::ServiceDown(_) => {
                let gone = self.links.values().filter(|attached| attached.is_muxed());
                let mut before: Vec<_> =
                    gone.map(|attached| (attached.udid.clone(), self.best(&attached.udid))).collect();
                before.sort_by(|one, other| one.0.cmp(&other.0));
                before.dedup_by(|one, other| one.0 == other.0);
                self.links.retain(|_, attached| !attached.is_muxed());
                before.into_iter().flat_map(|(udid, before)| self.changed(udid, before)).collect()
            }
            Sighting::Attached(attached) => {
                let before = self.best(&attached.udid);
                let had_it = self.links.get(&attached.way).filter(|other| other.udid != attached.udid);
                // Who had an address that is another's now is not there.
                let other = had_it.map(|other| (other.udid.clone(), self.best(&other.udid)));
                self.links.insert(attached.way, attached.clone());
                let other = other.into_iter().flat_map(|(udid, before)| self.changed(udid, before));
                other.chain(self.changed(attached.udid.clone(), before)).collect()
            }
            Sighting::Detached(way) => {
                let Some(udid) = self.links.get(way).map(|attached| attached.udid.clone()) else {
                    return Vec::new();
                };
                let before = self.best(&udid);
                self.links.remove(way);
                self.changed(udid, before)
            }
        }
    }

    /// USB wins; then the link that has proved itself, of which there is one at a time; of those that usbmuxd has the
    /// newer one.
    fn best(&self, udid: &Udid) -> Option<Attached> {
        let links = self.links.values().filter(|attached| attached.udid == *udid);
        links.max_by_key(|attached| (attached.usb, attached.way)).cloned()
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

    fn udid() -> Udid {
        "00008120-001A2D3E0C40201E".parse().unwrap()
    }

    fn link(device_id: u32, usb: bool) -> Attached {
        Attached { way: Way::Muxed(device_id), udid: udid(), usb }
    }

    fn direct(address: &str) -> Attached {
        Attached::on_the_network(udid(), address.parse().unwrap())
    }

    fn now(changes: Vec<Change>) -> Vec<Option<Attached>> {
        changes.into_iter().map(|change| change.attached).collect()
    }

    #[test]
    fn a_phone_on_both_links_is_one_phone() {
        let mut roster = Roster::default();
        assert_eq!(now(roster.apply(&Sighting::Attached(link(1, false)))), [Some(link(1, false))]);
        assert_eq!(now(roster.apply(&Sighting::Attached(link(2, true)))), [Some(link(2, true))], "USB wins");
        assert_eq!(now(roster.apply(&Sighting::Attached(link(3, false)))), [], "Wi-Fi does not take over");
        assert_eq!(now(roster.apply(&Sighting::Detached(Way::Muxed(2)))), [Some(link(3, false))]);
        assert_eq!(now(roster.apply(&Sighting::Detached(Way::Muxed(99)))), []);
        let down = Sighting::ServiceDown(FailureId::UsbmuxdNotRunning.into());
        assert_eq!(now(roster.apply(&down)), [None], "one phone went, though on two links");
    }

    /// The address of one that left without a word is another's now.
    #[test]
    fn an_address_changes_hands() {
        let mut roster = Roster::default();
        let first = direct("192.168.1.7:62078");
        let second = Attached { udid: "00008120-001A2D3E0C40201F".parse().unwrap(), ..first.clone() };
        assert_eq!(roster.apply(&Sighting::Attached(first.clone())).len(), 1);
        let changes = roster.apply(&Sighting::Attached(second.clone()));
        let told: Vec<_> = changes.iter().map(|change| (&change.udid, change.attached.is_some())).collect();
        assert_eq!(told, [(&first.udid, false), (&second.udid, true)]);
        assert_eq!(
            now(roster.apply(&Sighting::Attached(link(1, true)))),
            [Some(link(1, true))],
            "it comes on its cable"
        );
        assert_eq!(now(roster.apply(&Sighting::Detached(Way::Muxed(1)))), [None], "and has no other link");
    }

    /// Debian's usbmuxd ends with the last phone on USB; who is on Wi-Fi stays.
    #[test]
    fn a_phone_on_wifi_does_without_usbmuxd() {
        let mut roster = Roster::default();
        let (before, after) = (direct("192.168.1.7:62078"), direct("192.168.1.8:62078"));
        assert_eq!(now(roster.apply(&Sighting::Attached(before.clone()))), [Some(before.clone())]);
        assert_eq!(now(roster.apply(&Sighting::Attached(link(1, true)))), [Some(link(1, true))]);
        let down = || Sighting::ServiceDown(FailureId::UsbmuxdNotRunning.into());
        assert_eq!(now(roster.apply(&down())), [Some(before.clone())], "from the cable to Wi-Fi");
        assert_eq!(now(roster.apply(&down())), []);
        assert_eq!(now(roster.apply(&Sighting::Detached(before.way))), [None]);
        assert_eq!(now(roster.apply(&Sighting::Attached(after.clone()))), [Some(after)], "with another address");
    }
}
