//! Why a phone is not reached over Wi-Fi: which of the conditions holds and which does not, in order.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backstay_shared::{
    health::{Failure, FailureId, WifiCheck, WifiCondition},
    ids::Udid,
};
use idevice::lockdown::LockdownClient;

use super::link::{Attached, Muxer, Session, Way};
use crate::{
    host::network::Networks,
    presence::{
        announcement::Announcement,
        bonjour,
        ear::{Ear, Heard},
    },
};

/// Where a phone keeps whether it may be reached over Wi-Fi.
pub const DOMAIN: &str = "com.apple.mobile.wireless_lockdown";

/// See [`DOMAIN`].
pub const ALLOWED_KEY: &str = "EnableWifiConnections";

/// Who is here answers within this time.
const LISTEN_SECONDS_MAX: Duration = Duration::from_secs(3);

/// Proves that a phone is the one that was paired; how long it took for the smallest question.
///
/// # Errors
/// When it can't be reached, or is another.
pub async fn prove(muxer: &Muxer, attached: &Attached) -> Result<Duration, Failure> {
    let mut session = Session::open_plainly(muxer, attached).await?;
    let udid = session.value(None, Some("UniqueDeviceID")).await?;
    if udid.as_ref().and_then(plist::Value::as_string) != Some(attached.udid.as_str()) {
        return Err(Failure::from(FailureId::DeviceDataRefused).text("it calls itself another iPhone"));
    }
    session.round_trip().await
}

/// True for what is wrong with the way to the phone, not with the phone.
pub const fn is_about_the_network(id: FailureId) -> bool {
    use FailureId::{HostOffline, WifiDifferentNetwork, WifiFirewallBlocked};
    matches!(id, HostOffline | WifiDifferentNetwork | WifiFirewallBlocked)
}

/// What was looked at. What was not, because something before it does not hold, is none.
#[derive(Debug, Default)]
pub struct Examination {
    network: bool,
    multicast: Option<bool>,
    paired: bool,
    allowed: Option<bool>,
    /// Where it announces itself, the nearest first; empty when it does not.
    announced: Option<Vec<SocketAddr>>,
    same_network: Option<bool>,
    port: Option<Result<(), Failure>>,
    /// How long it took for the smallest question.
    pub session: Option<Result<Duration, Failure>>,
    /// Where it answers.
    pub reached: Option<Attached>,
}

/// Looks at everything, in some seconds; a phone that is there ends it at once.
pub async fn examine(muxer: &Muxer, udid: &Udid) -> Examination {
    let networks = Networks::now();
    let last_seen = muxer.records().last_seen(udid);
    let mut seen = Examination {
        network: !networks.are_none(),
        paired: muxer.records().get(udid).is_some(),
        allowed: last_seen.allowed,
        ..Examination::default()
    };
    if !seen.network || !seen.paired {
        return seen;
    }
    let answered = Asking::everybody();
    let announced = listen(muxer, udid).await;
    seen.multicast = Some(announced.is_some() || answered.somebody_answers().await);
    // Unheard of, it may still be where it was last.
    let addresses = announced.clone().unwrap_or_else(|| last_seen.address.into_iter().collect());
    seen.announced = Some(announced.unwrap_or_default());
    let Some(nearest) = addresses.first() else { return seen };
    seen.same_network = Some(networks.hold(nearest));
    let attached = Attached::on_the_network(udid.clone(), *nearest);
    let port = muxer.port(&attached, LockdownClient::LOCKDOWND_PORT).await.map(drop);
    let is_open = port.is_ok();
    seen.port = Some(port);
    if is_open {
        let session = prove(muxer, &attached).await;
        seen.reached = session.is_ok().then_some(attached);
        seen.session = Some(session);
    }
    seen
}

impl Examination {
    /// Condition by condition.
    pub fn checks(&self) -> Vec<WifiCheck> {
        let is_there = |result: &Option<Result<(), Failure>>| result.as_ref().map(Result::is_ok);
        let announced = self.announced.as_ref().map(|addresses| !addresses.is_empty());
        let conditions = [
            (WifiCondition::Network, Some(self.network)),
            (WifiCondition::Multicast, self.multicast),
            // The record of who does not allow it is not kept.
            (WifiCondition::PairRecord, (self.paired || self.allowed == Some(true)).then_some(self.paired)),
            (WifiCondition::Allowed, self.allowed),
            (WifiCondition::Announced, announced),
            (WifiCondition::SameNetwork, self.same_network),
            (WifiCondition::Port, is_there(&self.port)),
            (WifiCondition::Session, self.session.as_ref().map(Result::is_ok)),
        ];
        let looked_at =
            |(condition, holds): (WifiCondition, Option<bool>)| Some(WifiCheck { condition, holds: holds? });
        conditions.into_iter().filter_map(looked_at).collect()
    }

    /// The first thing that stands in the way; none when the phone is reached.
    pub fn failure(&self) -> Option<Failure> {
        let announced = self.announced.as_ref().is_some_and(|addresses| !addresses.is_empty());
        let elsewhere = self.same_network == Some(false);
        let failure = match (&self.port, &self.session) {
            _ if !self.network => FailureId::HostOffline.into(),
            _ if !self.paired && self.allowed != Some(true) => FailureId::WifiBackupOff.into(),
            _ if !self.paired => FailureId::TrustPending.into(),
            (_, Some(Ok(_))) if announced => return None,
            // It is there, and what it announces is not.
            (_, Some(Ok(_))) => Failure::from(FailureId::WifiFirewallBlocked)
                .text("its announcements (mDNS, UDP 5353) do not arrive, a connection does"),
            (_, Some(Err(failure))) if announced => failure.clone(),
            _ if self.allowed == Some(false) => FailureId::WifiBackupOff.into(),
            _ if elsewhere => FailureId::WifiDifferentNetwork.into(),
            (Some(Err(failure)), _) if announced => Failure { id: FailureId::WifiFirewallBlocked, ..failure.clone() },
            _ => FailureId::WifiDeviceNotFound.into(),
        };
        Some(self.with_evidence(failure))
    }

    /// What a connection that broke means, seen from here.
    fn after_a_loss(&self, before: SocketAddr, failure: Failure) -> Failure {
        use FailureId::{WifiDeviceNotFound, WifiHeartbeatLost, WifiLost};
        let moved = self.announced.as_ref().and_then(|addresses| addresses.first()).filter(|now| **now != before);
        if let Some(now) = moved {
            let text = format!("its address was {} and is {}", before.ip(), now.ip());
            return self.with_evidence(Failure { id: WifiLost, ..failure }.text(text));
        }
        match self.failure() {
            // It is still there, so that it was the phone that ended the conversation.
            None => failure,
            Some(_) if self.reached.is_some() => failure,
            Some(cause) if cause.id == WifiDeviceNotFound && failure.id == WifiHeartbeatLost && self.port_is_open() => {
                failure
            }
            Some(cause) if cause.id == WifiDeviceNotFound => self.with_evidence(Failure { id: WifiLost, ..failure }),
            Some(cause) => {
                let text = cause.evidence.text.clone();
                let mut told = Failure { id: cause.id, ..failure };
                told.evidence.text = text.or(told.evidence.text);
                self.with_evidence(told)
            }
        }
    }

    fn port_is_open(&self) -> bool {
        matches!(self.port, Some(Ok(())))
    }

    fn with_evidence(&self, mut failure: Failure) -> Failure {
        failure.evidence.wifi = self.checks();
        failure
    }
}

/// Names a failure that says that the way to a phone on the network broke by what can be seen of the network now.
pub async fn told_apart(muxer: &Muxer, attached: &Attached, failure: Failure) -> Failure {
    match attached.way {
        Way::Direct(address) => examine(muxer, &attached.udid).await.after_a_loss(address, failure),
        Way::Muxed(_) => failure,
    }
}

/// Phones on the network that this computer was paired with, `except` some. Looks for some seconds, or until all are there.
pub async fn found(muxer: &Muxer, except: &[Udid]) -> Vec<Attached> {
    let wanted: Vec<Udid> =
        muxer.records().on_the_network().into_iter().filter(|udid| !except.contains(udid)).collect();
    let looking = wanted.iter().map(|udid| async move { examine(muxer, udid).await.reached });
    futures_util::future::join_all(looking).await.into_iter().flatten().collect()
}

/// Where a phone announces itself.
async fn listen(muxer: &Muxer, udid: &Udid) -> Option<Vec<SocketAddr>> {
    let ear = Ear::open().ok()?;
    let listening = async {
        let mut unsaid: Vec<Announcement> = Vec::new();
        loop {
            let Heard::Here(announcement) = ear.next().await? else { continue };
            if announcement.addresses.is_empty() {
                continue;
            }
            match bonjour::candidates(muxer, &announcement, &BTreeSet::new()) {
                (whose, _) if whose == crate::presence::announcement::Whose::Of(udid.clone()) => {
                    return Some(announcement.addresses);
                }
                (_, candidates) if candidates.contains(udid) && unsaid.len() < 8 => {
                    // Only the right record opens a session.
                    if bonjour::reach(muxer, udid, &announcement.addresses).await.is_ok() {
                        return Some(announcement.addresses);
                    }
                    unsaid.push(announcement);
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(LISTEN_SECONDS_MAX, listening).await.ok().flatten()
}

/// Whether another device in the network answers a question by multicast, whatever it is; ends when nobody waits for it.
struct Asking {
    over: Arc<AtomicBool>,
    answered: tokio::task::JoinHandle<bool>,
}

impl Asking {
    fn everybody() -> Self {
        let over = Arc::<AtomicBool>::default();
        let ends = over.clone();
        Self { over, answered: tokio::task::spawn_blocking(move || ask_everybody(&ends).unwrap_or(false)) }
    }

    async fn somebody_answers(mut self) -> bool {
        (&mut self.answered).await.unwrap_or(false)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// "Which kinds of services are there?", asked from a port of our own, so that the answers come here (RFC 6762, 6.7).
const QUESTION: &[u8] = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\0\x01";

fn ask_everybody(over: &AtomicBool) -> std::io::Result<bool> {
    let networks = Networks::now();
    let mut sockets = Vec::new();
    for own in networks.addresses() {
        let IpAddr::V4(own) = own else { continue };
        let socket = UdpSocket::bind((own, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        socket.set_multicast_ttl_v4(255)?;
        // An interface without multicast takes no question.
        if socket.send_to(QUESTION, ("224.0.0.251", 5353)).is_ok() {
            sockets.push(socket);
        }
    }
    let began = std::time::Instant::now();
    let mut answer = [0; 512];
    while !sockets.is_empty() && began.elapsed() < LISTEN_SECONDS_MAX && !over.load(Ordering::Relaxed) {
        for socket in &sockets {
            if let Ok((_, from)) = socket.recv_from(&mut answer)
                && !networks.are_own(&from.ip())
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.168.1.7:62078";

    fn seen() -> Examination {
        Examination {
            network: true,
            multicast: Some(true),
            paired: true,
            allowed: Some(true),
            announced: Some(vec![HERE.parse().unwrap()]),
            same_network: Some(true),
            port: Some(Ok(())),
            session: Some(Ok(Duration::from_millis(3))),
            ..Examination::default()
        }
    }

    fn refused() -> Option<Result<(), Failure>> {
        Some(Err(Failure::from(FailureId::WifiFirewallBlocked).text("connection refused")))
    }

    fn unheard() -> Examination {
        Examination { announced: Some(Vec::new()), same_network: None, port: None, session: None, ..seen() }
    }

    #[test]
    fn the_first_condition_that_does_not_hold_is_told() {
        use FailureId::{HostOffline, WifiBackupOff, WifiDeviceNotFound, WifiDifferentNetwork, WifiFirewallBlocked};
        for (seen, told, after_a_loss) in [
            (seen(), None, FailureId::SessionLost),
            (Examination { network: false, ..unheard() }, Some(HostOffline), HostOffline),
            (Examination { allowed: Some(false), ..unheard() }, Some(WifiBackupOff), WifiBackupOff),
            (unheard(), Some(WifiDeviceNotFound), FailureId::WifiLost),
            (
                Examination { same_network: Some(false), port: refused(), ..unheard() },
                Some(WifiDifferentNetwork),
                WifiDifferentNetwork,
            ),
            (Examination { port: refused(), session: None, ..seen() }, Some(WifiFirewallBlocked), WifiFirewallBlocked),
            (Examination { announced: Some(Vec::new()), ..seen() }, Some(WifiFirewallBlocked), WifiFirewallBlocked),
        ] {
            assert_eq!(seen.failure().map(|failure| failure.id), told, "{:?}", seen.checks());
            let lost = seen.after_a_loss(HERE.parse().unwrap(), FailureId::SessionLost.into());
            assert_eq!(lost.id, after_a_loss, "{:?}", seen.checks());
        }
    }

    #[test]
    fn an_address_that_changed_is_named() {
        let lost = seen().after_a_loss("192.168.1.9:62078".parse().unwrap(), FailureId::WifiHeartbeatLost.into());
        assert_eq!(lost.id, FailureId::WifiLost);
        assert_eq!(lost.evidence.text.as_deref(), Some("its address was 192.168.1.9 and is 192.168.1.7"));
    }
}
