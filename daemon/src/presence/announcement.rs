//! What a phone announces on the network, and whose phone that is. Everything in it is an assertion of whoever sent it:
//! it says whom to ask, a session says who it is.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use backstay_shared::ids::Udid;
use idevice::{lockdown::LockdownClient, mdns::txt_record_matches, pairing_file::PairingFile};
use mdns_sd::{ResolvedService, ScopedIp};

use crate::host::network::Networks;

/// A phone has a handful; somebody with its name may add his own.
const ADDRESSES_MAX: usize = 32;

/// One for each computer that a phone trusts, and for each of its users.
const TAGS_MAX: usize = 64;

/// One announcement of `_apple-mobdev2._tcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The whole name of the service: `MAC@address._apple-mobdev2._tcp.local.` until iOS 26.4.
    pub name: String,
    /// Where its lockdownd is, the nearest first.
    pub addresses: Vec<SocketAddr>,
    identifier: Option<Vec<u8>>,
    tags: Vec<Vec<u8>>,
}

/// What is compared of a pair record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    udid: Udid,
    mac: Option<[u8; 6]>,
    host_id: String,
}

impl Known {
    /// Of a pair record.
    pub fn new(udid: Udid, record: &PairingFile) -> Self {
        Self { udid, mac: mac(&record.wifi_mac_address), host_id: record.host_id.clone() }
    }
}

/// Whose an announcement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// It says that it is this phone.
    Of(Udid),
    /// It names itself, and is none that this computer was ever paired with.
    Strange,
    /// It does not say: a private Wi-Fi address, and no tags.
    Unsaid,
}

impl Announcement {
    /// Reads what was resolved. The port that it names is not lockdownd's.
    pub fn new(service: &ResolvedService, networks: &Networks) -> Self {
        let mut addresses: Vec<SocketAddr> = service.get_addresses().iter().filter_map(address).collect();
        // One that needs no router first; of those IPv4, which has no scopes to get wrong.
        addresses.sort_by_key(|address| (!networks.hold(address), address.is_ipv6(), *address));
        addresses.truncate(ADDRESSES_MAX);
        let is_tag = |key: &str| {
            let key = key.to_ascii_lowercase();
            key == "authtag" || key.starts_with("authtag#")
        };
        let properties = service.get_properties();
        let tags = properties.iter().filter(|property| is_tag(property.key())).filter_map(|property| property.val());
        Self {
            name: service.get_fullname().to_owned(),
            addresses,
            identifier: properties.get_property_val("identifier").flatten().map(<[u8]>::to_vec),
            tags: tags.take(TAGS_MAX).map(<[u8]>::to_vec).collect(),
        }
    }

    /// One without addresses, that says who it is by its name or not at all.
    #[cfg(test)]
    pub(super) fn called(before: &str) -> Self {
        let name = format!("{before}@fe80::1._apple-mobdev2._tcp.local.");
        Self { name, addresses: Vec::new(), identifier: None, tags: Vec::new() }
    }

    /// Holds it against the phones that this computer was paired with.
    pub fn whose(&self, known: &[Known]) -> Whose {
        let announced = self.name.split_once('@').and_then(|(before, _)| mac(before));
        let by_mac = known.iter().find(|known| announced.is_some() && known.mac == announced);
        if let Some(known) = by_mac {
            return Whose::Of(known.udid.clone());
        }
        if self.identifier.is_some() && !self.tags.is_empty() {
            let by_tag = known.iter().find(|known| self.has_tag_of(known));
            // A phone has a tag for each computer that it trusts.
            return by_tag.map_or(Whose::Strange, |known| Whose::Of(known.udid.clone()));
        }
        match announced {
            Some(mac) if !is_private(mac) => Whose::Strange,
            _ => Whose::Unsaid,
        }
    }

    /// True when it shows that it knows the name that this computer has towards that phone.
    pub fn has_tag_of(&self, known: &Known) -> bool {
        let tags: Vec<&[u8]> = self.tags.iter().map(Vec::as_slice).collect();
        let is_of = |identifier: &Vec<u8>| txt_record_matches(known.host_id.as_bytes(), identifier, &tags);
        self.identifier.as_ref().is_some_and(is_of)
    }
}

fn address(announced: &ScopedIp) -> Option<SocketAddr> {
    let ip = announced.to_ip_addr();
    if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() {
        return None;
    }
    let port = LockdownClient::LOCKDOWND_PORT;
    Some(match (announced, ip) {
        (ScopedIp::V6(scoped), IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
            SocketAddrV6::new(ip, port, 0, scoped.scope_id().index).into()
        }
        _ => SocketAddr::new(ip, port),
    })
}

/// `a0:b1:...`, with or without leading zeros.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    bytes.try_into().ok()
}

/// An address that the phone made up, for this network alone.
const fn is_private(mac: [u8; 6]) -> bool {
    mac[0] & 2 != 0
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use idevice::mdns::derive_auth_tag;

    use super::*;

    const HOST_ID: &str = "6E2F9A3C-0000-4000-8000-1234567890AB";

    fn known() -> [Known; 2] {
        let known = |udid: &str, mac_text: &str, host_id: &str| Known {
            udid: udid.parse().unwrap(),
            mac: mac(mac_text),
            host_id: host_id.into(),
        };
        [
            known("00008120-000000000000000A", "a0:b1:c2:0:e4:f5", "OTHER"),
            known("00008120-000000000000000B", "", HOST_ID),
        ]
    }

    fn announcement(before: &str, tags: &[&str]) -> Announcement {
        Announcement {
            name: format!("{before}@fe80::1._apple-mobdev2._tcp.local."),
            addresses: Vec::new(),
            identifier: (!tags.is_empty()).then(|| b"identifier-of-today".to_vec()),
            tags: tags.iter().map(|tag| tag.as_bytes().to_vec()).collect(),
        }
    }

    #[test]
    fn every_kind_of_announcement_is_told() {
        let tag = STANDARD.encode(derive_auth_tag(HOST_ID.as_bytes(), b"identifier-of-today"));
        let yesterday = STANDARD.encode(derive_auth_tag(HOST_ID.as_bytes(), b"identifier-of-yesterday"));
        let [first, second] = known().map(|known| Whose::Of(known.udid));
        for (before, tags, whose) in [
            ("A0:B1:C2:00:E4:F5", vec![], first.clone()),
            ("a0:b1:c2:00:e4:f5", vec![&*yesterday], first),
            ("7a:00:11:22:33:44", vec!["AAAA", &*tag], second.clone()),
            ("0f1e2d3c", vec![&*tag], second),
            ("7a:00:11:22:33:44", vec![&*yesterday], Whose::Strange),
            ("78:00:11:22:33:44", vec![], Whose::Strange),
            ("7a:00:11:22:33:44", vec![], Whose::Unsaid),
            ("0f1e2d3c", vec![], Whose::Unsaid),
            ("", vec![], Whose::Unsaid),
        ] {
            assert_eq!(announcement(before, &tags).whose(&known()), whose, "{before} {tags:?}");
        }
    }
}
