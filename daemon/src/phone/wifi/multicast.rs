//! Whether multicast DNS comes through: a question for everybody, which comes back to this computer, too.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::LISTEN_SECONDS_MAX;
use crate::host::network::Networks;

/// "Which kinds of services are there?" Everybody has an answer (RFC 6763, 9).
const QUESTION: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\0\x01";

const PORT: u16 = 5353;
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_IN_IPV6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// What was heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// From another device in the network, whatever it is.
    others: bool,
    /// From this computer.
    own: bool,
    /// Something was sent, or the system forbade it.
    asked: bool,
}

impl Heard {
    /// Whether another device answered; none where nobody could be asked.
    pub(super) const fn somebody(self) -> Option<bool> {
        if self.asked { Some(self.others) } else { None }
    }

    /// Something on this computer keeps multicast away from it.
    pub(super) const fn is_deaf(self) -> bool {
        self.asked && !self.others && !self.own
    }
}

/// Asking everybody; ends when nobody waits for it.
pub(super) struct Asking {
    over: Arc<AtomicBool>,
    heard: tokio::task::JoinHandle<Heard>,
}

impl Asking {
    pub(super) fn everybody() -> Self {
        let over = Arc::<AtomicBool>::default();
        let ends = over.clone();
        Self { over, heard: tokio::task::spawn_blocking(move || ask_everybody(&ends)) }
    }

    /// Until somebody answers, for some seconds at most.
    pub(super) async fn heard(mut self) -> Heard {
        (&mut self.heard).await.unwrap_or_default()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn ask_everybody(over: &AtomicBool) -> Heard {
    let networks = Networks::now();
    let mut heard = Heard::default();
    // A computer may have no IPv6, or no multicast on an interface.
    let asked = [ask(&networks, &mut heard), ask_in_ipv6(&networks, &mut heard)];
    let sockets: Vec<UdpSocket> = asked.into_iter().flatten().collect();
    let began = Instant::now();
    let mut message = [0; 512];
    while !sockets.is_empty() && began.elapsed() < LISTEN_SECONDS_MAX && !over.load(Ordering::Relaxed) {
        for socket in &sockets {
            let Ok((_, from)) = socket.recv_from(&mut message) else { continue };
            match networks.are_own(&from.ip()) {
                true => heard.own = true,
                false => return Heard { others: true, ..heard },
            }
        }
    }
    heard
}

fn ask(networks: &Networks, heard: &mut Heard) -> io::Result<UdpSocket> {
    let socket = on_the_port(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, PORT).into())?;
    socket.set_multicast_ttl_v4(255)?;
    for own in networks.addresses_v4() {
        let asked = socket.join_multicast_v4(&GROUP, &own).and_then(|()| socket.set_multicast_if_v4(&own));
        note(asked.and_then(|()| socket.send_to(QUESTION, &SocketAddr::from((GROUP, PORT)).into())), heard);
    }
    Ok(socket.into())
}

fn ask_in_ipv6(networks: &Networks, heard: &mut Heard) -> io::Result<UdpSocket> {
    let socket = on_the_port(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, PORT).into())?;
    socket.set_multicast_hops_v6(255)?;
    for index in networks.indexes_v6() {
        let asked = socket.join_multicast_v6(&GROUP_IN_IPV6, index).and_then(|()| socket.set_multicast_if_v6(index));
        note(asked.and_then(|()| socket.send_to(QUESTION, &SocketAddr::from((GROUP_IN_IPV6, PORT)).into())), heard);
    }
    Ok(socket.into())
}

/// From the port itself, as every responder asks: a firewall that lets multicast DNS through lets the answers through.
fn on_the_port(domain: Domain, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

/// An interface without multicast takes no question; a firewall says that it is forbidden.
fn note(sent: io::Result<usize>, heard: &mut Heard) {
    match sent {
        Ok(_) => heard.asked = true,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => heard.asked = true,
        Err(error) => tracing::debug!(%error, "an interface takes no multicast"),
    }
}
