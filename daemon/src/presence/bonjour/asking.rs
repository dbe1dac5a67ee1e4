//! Finding out who it is that announces itself. It costs whoever is asked a connection, and tells him the name that this
//! computer has towards its phone; so who can't be ours is not asked.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
};

use crate::{
    host::network::Networks,
    phone::{
        link::{Attached, Muxer},
        pair_records::OwnRecords,
        wifi,
    },
    presence::announcement::{Announcement, Known, Whose},
};

/// A phone that is awake proves itself in less than a second. Who takes connections and stays silent holds up nobody for
/// longer, however many addresses he has.
pub(super) const ASK_SECONDS_MAX: Duration = Duration::from_secs(20);

/// What asking came to.
#[derive(Debug)]
pub(super) enum Asked {
    Here {
        attached: Attached,
        /// It has said who it is by a tag, as it will from now on.
        tagged: bool,
    },
    /// None of ours.
    Stranger,
    /// It may be ours; which one, if that is known.
    NotReached(Option<Udid>, Failure),
}

/// What is compared of those that may be on the network.
pub(super) fn known(records: &OwnRecords) -> Vec<Known> {
    let phones = records.on_the_network().into_iter();
    phones.filter_map(|udid| Some(Known::new(udid.clone(), &records.get(&udid)?))).collect()
}

/// Those of this computer's phones that an announcement may be, the likeliest first; `elsewhere` are those that are known
/// to be somebody else.
pub fn candidates(muxer: &Muxer, announcement: &Announcement, elsewhere: &BTreeSet<Udid>) -> (Whose, Vec<Udid>) {
    let records = muxer.records();
    let whose = announcement.whose(&known(records));
    let candidates = match &whose {
        Whose::Of(udid) => vec![udid.clone()],
        Whose::Strange => Vec::new(),
        Whose::Unsaid => {
            let phones = records.on_the_network().into_iter().filter(|udid| !elsewhere.contains(udid));
            let seen = phones.map(|udid| (records.last_seen(&udid), udid));
            // A phone that has tags never comes without.
            let mut phones: Vec<_> = seen.filter(|(seen, _)| !seen.tagged).collect();
            phones.sort_by_key(|(seen, _)| seen.name.as_ref() != Some(&announcement.name));
            phones.into_iter().map(|(_, udid)| udid).collect()
        }
    };
    (whose, candidates)
}

/// Finds out who it is.
pub(super) async fn ask(muxer: &Muxer, announcement: &Announcement, elsewhere: &BTreeSet<Udid>) -> Asked {
    let (whose, candidates) = candidates(muxer, announcement, elsewhere);
    let says_so = matches!(whose, Whose::Of(_));
    let tagged = known(muxer.records()).iter().any(|known| announcement.has_tag_of(known));
    let networks = Networks::now();
    let addresses = announcement.addresses.iter().copied();
    let addresses: Vec<SocketAddr> =
        addresses.filter(|address| tagged || networks.hold(address) || says_so && is_local(address.ip())).collect();
    if let (true, true, Some(udid)) = (says_so, addresses.is_empty(), candidates.first()) {
        let failure = Failure::from(FailureId::WifiDifferentNetwork).doing("connecting to the phone");
        return Asked::NotReached(Some(udid.clone()), failure);
    }
    let told = says_so.then(|| candidates.first().cloned()).flatten();
    let asking = async {
        let mut doubt = None;
        for udid in candidates {
            match reach(muxer, &udid, &addresses).await {
                Ok(attached) => return Asked::Here { attached, tagged },
                Err(failure) if says_so => return Asked::NotReached(Some(udid), failure),
                // Not this phone, it says.
                Err(failure) if failure.id == FailureId::PairingLost => {}
                // Not this phone, or none that has the time for a conversation.
                Err(failure) if failure.id == FailureId::SecureConnectionFailed => doubt = Some(failure),
                Err(failure) => return Asked::NotReached(None, failure),
            }
        }
        doubt.map_or(Asked::Stranger, |failure| Asked::NotReached(None, failure))
    };
    let silent = || Asked::NotReached(told, Failure::from(FailureId::SessionLost).text("it does not answer in time"));
    tokio::time::timeout(ASK_SECONDS_MAX, asking).await.unwrap_or_else(|_| silent())
}

/// Through a router nobody but the paired phone is asked, unless it leads to the next room: what is anywhere in the
/// internet was named by somebody who wants others to knock there.
const fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Reaches a phone at one of its addresses.
///
/// # Errors
/// What stands in the way at the nearest.
pub async fn reach(muxer: &Muxer, udid: &Udid, addresses: &[SocketAddr]) -> Result<Attached, Failure> {
    let mut first = None;
    // Where it was last is where it most likely is, whoever else announces himself with its name.
    let last = muxer.records().last_seen(udid).address;
    let mut addresses = addresses.to_vec();
    addresses.sort_by_key(|address| Some(*address) != last);
    for address in addresses {
        let attached = Attached::on_the_network(udid.clone(), address);
        match wifi::prove(muxer, &attached).await {
            Ok(_) => return Ok(attached),
            Err(failure) => {
                first.get_or_insert(failure);
            }
        }
    }
    Err(first.unwrap_or_else(|| FailureId::WifiDeviceNotFound.into()))
}
