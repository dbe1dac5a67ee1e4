//! The networks that this computer is in.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use if_addrs::{IfAddr, Interface};

/// The interfaces that carry something, at one moment.
#[derive(Debug, Default)]
pub struct Networks(Vec<Interface>);

impl Networks {
    /// Looks now. A system that does not tell has none.
    pub fn now() -> Self {
        let mut interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::debug!(%error, "the network interfaces can't be listed");
            Vec::new()
        });
        // Tunnels lead to nobody in the room, and containers and virtual machines are no others.
        interfaces.retain(|interface| {
            !interface.is_loopback()
                && !interface.is_p2p()
                && interface.is_oper_up()
                && !is_inside(SYSFS.as_ref(), &interface.name)
        });
        Self(interfaces)
    }

    /// True when no interface is up.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when it is in no network, or in one without anybody who gives addresses: one that it gave itself comes
    /// without any.
    pub fn are_none(&self) -> bool {
        self.0.iter().all(Interface::is_link_local)
    }

    /// True when the address is in a network that this computer is in too, so that nothing has to be asked for the way.
    pub fn hold(&self, address: &SocketAddr) -> bool {
        self.0.iter().any(|interface| match (address, &interface.addr) {
            (SocketAddr::V4(address), IfAddr::V4(own)) => {
                same_network(u32::from(*address.ip()).into(), u32::from(own.ip).into(), own.prefixlen, 32)
            }
            // Such an address says nothing without its interface.
            (SocketAddr::V6(address), IfAddr::V6(_)) if address.ip().is_unicast_link_local() => {
                interface.index == Some(address.scope_id())
            }
            (SocketAddr::V6(address), IfAddr::V6(own)) => {
                same_network(u128::from(*address.ip()), u128::from(own.ip), own.prefixlen, 128)
            }
            _ => false,
        })
    }

    /// This computer's own addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.0.iter().map(Interface::ip).collect()
    }

    /// Those of the older kind.
    pub fn addresses_v4(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.0.iter().filter_map(|interface| match interface.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }

    /// The numbers of the interfaces that have one of the newer kind.
    pub fn indexes_v6(&self) -> BTreeSet<u32> {
        self.0.iter().filter(|interface| interface.ip().is_ipv6()).filter_map(|interface| interface.index).collect()
    }

    /// True when it is this computer's own.
    pub fn are_own(&self, address: &IpAddr) -> bool {
        self.0.iter().any(|interface| interface.ip() == *address)
    }
}

/// Where Linux shows its interfaces; nothing is there elsewhere.
const SYSFS: &str = "/sys/class/net";

/// True for a bridge with no cable and no radio, which only containers or virtual machines of this computer are at, and
/// for every port of a bridge, which has no address that counts.
fn is_inside(sysfs: &Path, name: &str) -> bool {
    let interface = sysfs.join(name);
    let leads_outside = |port: &Path| {
        let below = std::fs::read_dir(port).into_iter().flatten().flatten();
        port.join("device").exists()
            || below.into_iter().any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"lower_"))
    };
    if interface.join("brport").exists() {
        return true;
    }
    let Ok(ports) = std::fs::read_dir(interface.join("brif")) else { return false };
    !ports.flatten().any(|port| leads_outside(&sysfs.join(port.file_name())))
}

fn same_network(one: u128, other: u128, prefix: u8, bits: u8) -> bool {
    let rest = u32::from(bits.saturating_sub(prefix));
    one.checked_shr(rest) == other.checked_shr(rest)
}

#[cfg(test)]
mod tests {
    use if_addrs::{IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;

    fn interface(addr: IfAddr) -> Interface {
        Interface { name: "wlan0".into(), addr, index: Some(3), oper_status: IfOperStatus::Up, is_p2p: false }
    }

    fn v4(ip: &str) -> Interface {
        let (ip, netmask) = (ip.parse().unwrap(), "255.255.255.0".parse().unwrap());
        interface(IfAddr::V4(Ifv4Addr { ip, netmask, prefixlen: 24, broadcast: None }))
    }

    fn v6(ip: &str) -> Interface {
        let (ip, netmask) = (ip.parse().unwrap(), "ffff:ffff:ffff:ffff::".parse().unwrap());
        interface(IfAddr::V6(Ifv6Addr { ip, netmask, prefixlen: 64, broadcast: None }))
    }

    #[test]
    fn who_is_in_the_same_network() {
        let networks = Networks(vec![v4("192.168.1.5"), v6("fe80::1"), v6("2001:db8::5")]);
        for (address, held) in [
            ("192.168.1.77:62078", true),
            ("192.168.2.77:62078", false),
            ("[2001:db8::77]:62078", true),
            ("[2001:db8:1::77]:62078", false),
            ("[fe80::77%3]:62078", true),
            ("[fe80::77%4]:62078", false),
        ] {
            assert_eq!(networks.hold(&address.parse().unwrap()), held, "{address}");
        }
        assert!(!networks.are_none());
        assert!(Networks(vec![v6("fe80::1"), v4("169.254.7.7")]).are_none());
    }

    /// What docker and libvirt make, beside a bridge that somebody put his cable in.
    #[test]
    fn a_bridge_without_a_cable_leads_to_nobody() {
        let sysfs = tempfile::tempdir().unwrap();
        for folder in [
            "wlan0/device",
            "docker0/brif/veth1a2b3c",
            "veth1a2b3c/brport",
            "virbr0/brif",
            "br0/brif/enp3s0",
            "enp3s0/device",
            "enp3s0/brport",
            "br1/brif/bond0.7",
            "bond0.7/lower_bond0",
            "eth0/statistics",
        ] {
            std::fs::create_dir_all(sysfs.path().join(folder)).unwrap();
        }
        for (name, inside) in [
            ("wlan0", false),
            ("docker0", true),
            ("veth1a2b3c", true),
            ("virbr0", true),
            ("br0", false),
            ("enp3s0", true),
            ("br1", false),
            ("eth0", false),
            ("gone", false),
        ] {
            assert_eq!(is_inside(sysfs.path(), name), inside, "{name}");
        }
    }
}
