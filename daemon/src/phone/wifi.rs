//! Why a phone is not reached over Wi-Fi: which of the conditions holds and which does not, in order.

mod listen;
mod multicast;

use std::{net::SocketAddr, time::Duration};

use backstay_shared::{
    health::{Failure, FailureId, WifiCheck, WifiCondition},
    ids::Udid,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use idevice::lockdown::LockdownClient;

use self::{listen::Found, multicast::Asking};
use super::link::{Attached, Muxer, Session, Way};
use crate::host::network::Networks;

/// Where a phone keeps whether it may be reached over Wi-Fi.
pub const DOMAIN: &str = "com.apple.mobile.wireless_lockdown";

/// See [`DOMAIN`].
pub const ALLOWED_KEY: &str = "EnableWifiConnections";

/// Who is here answers within this time.
const LISTEN_SECONDS_MAX: Duration = Duration::from_secs(3);

/// An examination has to come to its end, also with a phone that takes a connection and says nothing.
const PROOF_SECONDS_MAX: Duration = Duration::from_secs(4);

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

async fn prove_in_time(muxer: &Muxer, attached: &Attached) -> Result<Duration, Failure> {
    tokio::time::timeout(PROOF_SECONDS_MAX, prove(muxer, attached)).await.unwrap_or_else(|_| {
        let text = format!("no answer for {} s", PROOF_SECONDS_MAX.as_secs());
        Err(Failure::from(FailureId::SessionLost).doing("starting a session").text(text))
    })
}

/// True for what is wrong with the way to the phone, not with the phone.
pub const fn is_about_the_network(id: FailureId) -> bool {
    use FailureId::{HostOffline, WifiDifferentNetwork, WifiFirewallBlocked};
    matches!(id, HostOffline | WifiDifferentNetwork | WifiFirewallBlocked)
}

/// True for what another phone, or nobody's, answers.
pub const fn is_another(id: FailureId) -> bool {
    matches!(id, FailureId::PairingLost | FailureId::SecureConnectionFailed)
}

/// What was looked at. What was not, because something before it does not hold, is none.
#[derive(Debug, Default)]
pub struct Examination {
    network: bool,
    multicast: Option<bool>,
    /// Not even this computer's own questions come back to it, as every multicast does.
    deaf: bool,
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
    if networks.is_empty() || !seen.paired {
        return seen;
    }
    let answered = Asking::everybody();
    let found = listen::listen(muxer, udid, last_seen.name.as_deref(), &networks).await;
    if found == Found::Nothing {
        let answered = answered.heard().await;
        (seen.multicast, seen.deaf) = (answered.somebody(), answered.is_deaf());
    } else {
        // Two machines with a cable between them and nobody who gives them addresses are a network, too.
        (seen.network, seen.multicast) = (true, Some(true));
    }
    if !seen.network {
        return seen;
    }
    seen.announced = Some(Vec::new());
    if let Found::Itself(addresses) | Found::Likely(addresses) = &found {
        seen.probe(muxer, udid, &networks, addresses).await;
        let another = matches!(&seen.session, Some(Err(failure)) if is_another(failure.id));
        if matches!(found, Found::Itself(_)) || !another {
            seen.announced = Some(addresses.clone());
            return seen;
        }
    }
    // Unheard of, it may still be where it was last.
    (seen.same_network, seen.port, seen.session) = (None, None, None);
    let last: Vec<SocketAddr> = last_seen.address.into_iter().collect();
    seen.probe(muxer, udid, &networks, &last).await;
    seen
}

impl Examination {
    /// Looks at all of these at once; what is told of one that does not answer is how far it went where it went farthest.
    async fn probe(&mut self, muxer: &Muxer, udid: &Udid, networks: &Networks, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            return;
        }
        self.same_network = Some(addresses.iter().any(|address| networks.hold(address)));
        let mut looking: FuturesUnordered<_> = addresses
            .iter()
            .enumerate()
            .map(|(order, address)| async move {
                let attached = Attached::on_the_network(udid.clone(), *address);
                let port = muxer.port(&attached, LockdownClient::LOCKDOWND_PORT).await.map(drop);
                let session = if port.is_ok() { Some(prove_in_time(muxer, &attached).await) } else { None };
                (order, attached, port, session)
            })
            .collect();
        let mut farthest = None;
        while let Some((order, attached, port, session)) = looking.next().await {
            let rank = (session.is_none(), order);
            let reached = matches!(session, Some(Ok(_)));
            if reached || farthest.is_none_or(|before| rank < before) {
                farthest = Some(rank);
                (self.port, self.session) = (Some(port), session);
            }
            if reached {
                self.reached = Some(attached);
                return;
            }
        }
    }

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
            _ if self.deaf => Failure::from(FailureId::WifiFirewallBlocked)
                .text("multicast (mDNS, UDP 5353) does not even come back to this computer itself"),
            _ => FailureId::WifiDeviceNotFound.into(),
        };
        Some(self.with_evidence(failure))
    }

    /// What a connection that broke means, seen from here.
    fn after_a_loss(&self, before: SocketAddr, failure: Failure) -> Failure {
        use FailureId::{WifiDeviceNotFound, WifiHeartbeatLost, WifiLost};
        let moved = self.announced.as_ref().filter(|addresses| !addresses.contains(&before));
        if let Some(now) = moved.and_then(|addresses| addresses.first()) {
            let text = format!("its address was {} and is {}", before.ip(), now.ip());
            return self.with_evidence(Failure { id: WifiLost, ..failure }.text(text));
        }
        match self.failure() {
            // It is still there, so that it was the phone that ended the conversation.
            None => there_again(failure),
            Some(_) if self.reached.is_some() => there_again(failure),
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

/// What stood in the way to a phone that is reached now does not any more.
fn there_again(failure: Failure) -> Failure {
    if is_about_the_network(failure.id) { Failure { id: FailureId::WifiLost, ..failure } } else { failure }
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
            (Examination { multicast: Some(false), ..unheard() }, Some(WifiDeviceNotFound), FailureId::WifiLost),
            (
                Examination { multicast: Some(false), deaf: true, ..unheard() },
                Some(WifiFirewallBlocked),
                WifiFirewallBlocked,
            ),
        ] {
            assert_eq!(seen.failure().map(|failure| failure.id), told, "{:?}", seen.checks());
            let lost = seen.after_a_loss(HERE.parse().unwrap(), FailureId::SessionLost.into());
            assert_eq!(lost.id, after_a_loss, "{:?}", seen.checks());
        }
    }

    /// A phone that takes a while to wake lets one connection time out: that is no firewall.
    #[test]
    fn what_does_not_stand_in_the_way_any_more_is_not_told() {
        use FailureId::{HostOffline, WifiDifferentNetwork, WifiFirewallBlocked, WifiHeartbeatLost, WifiLost};
        let reached =
            Some(Attached::on_the_network("00008120-001A2D3E0C40201E".parse().unwrap(), HERE.parse().unwrap()));
        let announced = Examination { reached: reached.clone(), ..seen() };
        let unannounced = Examination { announced: Some(Vec::new()), reached, ..seen() };
        for seen in [announced, unannounced] {
            for (before, told) in [
                (WifiFirewallBlocked, WifiLost),
                (WifiDifferentNetwork, WifiLost),
                (HostOffline, WifiLost),
                (WifiHeartbeatLost, WifiHeartbeatLost),
                (FailureId::SessionLost, FailureId::SessionLost),
            ] {
                assert_eq!(seen.after_a_loss(HERE.parse().unwrap(), before.into()).id, told, "{before}");
            }
        }
    }

    #[test]
    fn an_address_that_changed_is_named() {
        let lost = seen().after_a_loss("192.168.1.9:62078".parse().unwrap(), FailureId::WifiHeartbeatLost.into());
        assert_eq!(lost.id, FailureId::WifiLost);
        assert_eq!(lost.evidence.text.as_deref(), Some("its address was 192.168.1.9 and is 192.168.1.7"));
    }
    /// The run may have gone over the second one.
    #[test]
    fn one_of_several_addresses_is_no_other_address() {
        let second = "192.168.1.9:62078".parse().unwrap();
        let announced = Some(vec![HERE.parse().unwrap(), second]);
        let seen = Examination { announced, port: refused(), session: None, ..seen() };
        assert_eq!(seen.after_a_loss(second, FailureId::SessionLost.into()).id, FailureId::WifiFirewallBlocked);
    }
}
