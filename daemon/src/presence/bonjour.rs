//! Phones on the network. One is here when it has proved, in a session, to be a phone that this computer was paired
//! with; what it announces only says where to ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
};
use chrono::Utc;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    announcement::{Announcement, Known, Whose},
    ear::{Ear, Heard},
    usbmuxd::Sighting,
};
use crate::{
    host::network::Networks,
    phone::{
        link::{Attached, Muxer, Way},
        wifi,
    },
};

/// A whole office announces itself; what is more than that is somebody's mischief.
const SERVICES_MAX: usize = 128;

/// So many are asked at a time.
const ASKED_AT_A_TIME: usize = 4;

/// Between two tries at a phone that announces itself and can't be reached.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(60), Duration::from_secs(300)];

/// What stands in the way is told when so many tries in a row have failed.
const TOLD_FROM_FAILURE: usize = 3;

/// Before listening anew, where it could not begin or was flooded.
const PAUSE_BETWEEN_EARS: Duration = Duration::from_secs(60);

/// Another network is noticed after so long.
const NETWORKS_EVERY: Duration = Duration::from_secs(10);

/// Why listening ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deaf {
    /// Nobody wants to know any more.
    Over,
    /// This computer is in other networks than before.
    Elsewhere,
    /// The system, or a flood.
    Broken,
}

/// Watches for ever, until nobody listens any more.
pub async fn watch(muxer: Muxer, sightings: mpsc::Sender<Sighting>) {
    let mut changes = muxer.records().changes();
    loop {
        // Who has no phone to look for disturbs no network.
        while muxer.records().on_the_network().is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
        }
        match Ear::open() {
            Ok(ear) => {
                let mut watcher = Watcher::new(muxer.clone(), sightings.clone());
                let deaf = watcher.listen(&ear).await;
                watcher.forget_all().await;
                match deaf {
                    Deaf::Over => return,
                    Deaf::Elsewhere => continue,
                    Deaf::Broken => {}
                }
            }
            Err(error) => tracing::warn!(%error, "nobody can be heard on the network"),
        }
        tokio::time::sleep(PAUSE_BETWEEN_EARS).await;
    }
}

/// Somebody who announces himself.
#[derive(Debug)]
struct Service {
    announcement: Announcement,
    /// Tries that failed.
    failed: usize,
    /// None when nothing is to be tried any more.
    next_try: Option<Instant>,
    asking: bool,
}

/// What asking came to.
enum Asked {
    Here(Attached),
    /// None of ours, as far as it can be known.
    Stranger,
    /// It may be ours; which one, if that is known.
    NotReached(Option<Udid>, Failure),
}

struct Watcher {
    muxer: Muxer,
    sightings: mpsc::Sender<Sighting>,
    services: BTreeMap<String, Service>,
    /// Where each phone is that has proved itself, and under which name.
    here: BTreeMap<Udid, (String, SocketAddr)>,
    /// Who it was that did not say, for the life of this daemon.
    remembered: BTreeMap<String, Udid>,
    /// Whom a failure is told of, and under which name.
    troubled: BTreeMap<Udid, String>,
    asking: JoinSet<(String, Announcement, Asked)>,
}

impl Watcher {
    fn new(muxer: Muxer, sightings: mpsc::Sender<Sighting>) -> Self {
        Self {
            muxer,
            sightings,
            services: BTreeMap::new(),
            here: BTreeMap::new(),
            remembered: BTreeMap::new(),
            troubled: BTreeMap::new(),
            asking: JoinSet::new(),
        }
    }

    async fn listen(&mut self, ear: &Ear) -> Deaf {
        let networks = own_addresses();
        let mut look = tokio::time::interval(NETWORKS_EVERY);
        let mut changes = self.muxer.records().changes();
        loop {
            self.ask_who_is_due();
            let idle = self.services.values().filter(|service| !service.asking);
            let next = idle.filter_map(|service| service.next_try).min();
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = ear.next() => match heard {
                    Some(Heard::Here(announcement)) => self.take(announcement),
                    Some(Heard::Gone(name)) => self.gone(&name).await,
                    None => return Deaf::Broken,
                },
                Some(asked) = self.asking.join_next() => if let Ok((name, announcement, asked)) = asked {
                    self.learn(name, &announcement, asked).await;
                },
                // Who was a stranger may be one of ours now.
                Ok(()) = changes.changed() => self.ask_all(),
                () = due => {}
                _ = look.tick() => if own_addresses() != networks {
                    return Deaf::Elsewhere;
                },
                () = self.sightings.closed() => return Deaf::Over,
            }
        }
    }

    fn take(&mut self, announcement: Announcement) {
        let known = self.services.get(&announcement.name);
        if known.is_some_and(|known| known.announcement == announcement) {
            return;
        }
        if known.is_none() && self.services.len() >= SERVICES_MAX {
            tracing::debug!(name = announcement.name, "too many announce themselves");
            return;
        }
        tracing::debug!(name = announcement.name, addresses = ?announcement.addresses, "heard");
        let asking = known.is_some_and(|known| known.asking);
        let service = Service { announcement: announcement.clone(), failed: 0, next_try: Some(Instant::now()), asking };
        self.services.insert(announcement.name, service);
    }

    fn ask_all(&mut self) {
        for service in self.services.values_mut() {
            (service.failed, service.next_try) = (0, Some(Instant::now()));
        }
    }

    fn ask_who_is_due(&mut self) {
        let now = Instant::now();
        let due = self.services.values().filter(|service| service.next_try.is_some_and(|at| at <= now));
        let due: Vec<Announcement> =
            due.filter(|service| !service.asking).map(|service| service.announcement.clone()).collect();
        for announcement in due {
            let Some(service) = self.services.get_mut(&announcement.name) else { continue };
            if self.asking.len() >= ASKED_AT_A_TIME {
                service.next_try = Some(now + Duration::from_secs(1));
                continue;
            }
            (service.asking, service.next_try) = (true, None);
            let muxer = self.muxer.clone();
            let remembered = self.remembered.get(&announcement.name).cloned();
            let elsewhere = self.here.iter().filter(|(_, (name, _))| *name != announcement.name);
            let elsewhere: BTreeSet<Udid> = elsewhere.map(|(udid, _)| udid.clone()).collect();
            self.asking.spawn(async move {
                let asked = ask(&muxer, &announcement, remembered, &elsewhere).await;
                (announcement.name.clone(), announcement, asked)
            });
        }
    }

    async fn learn(&mut self, name: String, announcement: &Announcement, asked: Asked) {
        let Some(service) = self.services.get_mut(&name) else { return };
        service.asking = false;
        if service.announcement != *announcement {
            // It has changed since: it is asked anew.
            return;
        }
        match asked {
            Asked::Here(attached) => {
                let (udid, Way::Direct(address)) = (attached.udid.clone(), attached.way) else { return };
                self.muxer.records().note(&udid, |seen| {
                    (seen.address, seen.name, seen.at) = (Some(address), Some(name.clone()), Some(Utc::now()));
                });
                self.remembered.insert(name.clone(), udid.clone());
                self.untroubled(&udid).await;
                let before = self.here.insert(udid.clone(), (name, address));
                if before.as_ref().is_some_and(|(_, before)| *before == address) {
                    return;
                }
                if let Some((_, before)) = before {
                    self.tell(Sighting::Detached(Way::Direct(before))).await;
                }
                tracing::info!(%udid, %address, "found on Wi-Fi");
                self.tell(Sighting::Attached(attached)).await;
            }
            Asked::Stranger => tracing::debug!(name, "is none of ours"),
            Asked::NotReached(udid, failure) => {
                let pause = PAUSES.get(service.failed).or(PAUSES.last()).copied().unwrap_or_default();
                service.failed += 1;
                let lasts = service.failed >= TOLD_FROM_FAILURE;
                service.next_try = Some(Instant::now() + pause);
                tracing::debug!(name, %failure, "announces itself and can't be reached");
                let Some(udid) = udid else { return };
                // It was here and has moved to where it can't be reached.
                if self.here.get(&udid).is_some_and(|(of, _)| *of == name)
                    && let Some((_, address)) = self.here.remove(&udid)
                {
                    self.tell(Sighting::Detached(Way::Direct(address))).await;
                }
                // A connection or two may be lost on the way.
                if lasts && !self.here.contains_key(&udid) && wifi::is_about_the_network(failure.id) {
                    self.troubled.insert(udid.clone(), name);
                    self.tell(Sighting::NotReached(udid, Some(failure))).await;
                }
            }
        }
    }

    async fn gone(&mut self, name: &str) {
        tracing::debug!(name, "announces itself no more");
        self.services.remove(name);
        let phone =
            self.here.iter().find(|(_, (of, _))| of == name).map(|(udid, (_, address))| (udid.clone(), *address));
        if let Some((udid, address)) = phone {
            tracing::info!(%udid, "gone from Wi-Fi");
            self.here.remove(&udid);
            self.tell(Sighting::Detached(Way::Direct(address))).await;
        }
        // Who is not here any more is in no trouble.
        let troubled = self.troubled.iter().find(|(_, of)| *of == name).map(|(udid, _)| udid.clone());
        if let Some(udid) = troubled {
            self.untroubled(&udid).await;
        }
    }

    async fn untroubled(&mut self, udid: &Udid) {
        if self.troubled.remove(udid).is_some() {
            self.tell(Sighting::NotReached(udid.clone(), None)).await;
        }
    }

    async fn forget_all(&mut self) {
        for udid in self.troubled.keys().cloned().collect::<Vec<_>>() {
            self.untroubled(&udid).await;
        }
        for (_, (_, address)) in std::mem::take(&mut self.here) {
            self.tell(Sighting::Detached(Way::Direct(address))).await;
        }
    }

    async fn tell(&self, sighting: Sighting) {
        // Nobody may listen any more: then this ends, too.
        drop(self.sightings.send(sighting).await);
    }
}

fn own_addresses() -> Vec<IpAddr> {
    let mut addresses = Networks::now().addresses();
    addresses.sort();
    addresses
}

/// Those of this computer's phones that an announcement may be, the likeliest first.
pub fn candidates(
    muxer: &Muxer,
    announcement: &Announcement,
    remembered: Option<Udid>,
    elsewhere: &BTreeSet<Udid>,
) -> (Whose, Vec<Udid>) {
    let records = muxer.records();
    let phones = records.on_the_network();
    let known: Vec<Known> =
        phones.iter().filter_map(|udid| Some(Known::new(udid.clone(), &records.get(udid)?))).collect();
    let whose = announcement.whose(&known);
    let candidates = match &whose {
        Whose::Of(udid) => vec![udid.clone()],
        Whose::Strange => Vec::new(),
        Whose::Unsaid => {
            let mut phones: Vec<Udid> = phones.into_iter().filter(|udid| !elsewhere.contains(udid)).collect();
            let last_under_this_name = |udid: &Udid| records.last_seen(udid).name.as_ref() == Some(&announcement.name);
            phones.sort_by_key(|udid| (Some(udid) != remembered.as_ref(), !last_under_this_name(udid)));
            phones
        }
    };
    (whose, candidates)
}

/// Finds out who it is.
async fn ask(
    muxer: &Muxer,
    announcement: &Announcement,
    remembered: Option<Udid>,
    elsewhere: &BTreeSet<Udid>,
) -> Asked {
    let (whose, candidates) = candidates(muxer, announcement, remembered, elsewhere);
    let says_so = matches!(whose, Whose::Of(_));
    let networks = Networks::now();
    // Who does not even say who he is, is not asked across a router.
    let addresses = announcement.addresses.iter().filter(|address| says_so || networks.hold(address));
    let addresses: Vec<SocketAddr> = addresses.copied().collect();
    for udid in candidates {
        match reach(muxer, &udid, &addresses).await {
            Ok(attached) => return Asked::Here(attached),
            Err(failure) if says_so => return Asked::NotReached(Some(udid), failure),
            // Not this phone: only the right record opens a session.
            Err(failure) if matches!(failure.id, FailureId::PairingLost | FailureId::SecureConnectionFailed) => {}
            Err(failure) => return Asked::NotReached(None, failure),
        }
    }
    Asked::Stranger
}

/// Reaches a phone at one of its addresses.
///
/// # Errors
/// What stands in the way at the nearest.
pub async fn reach(muxer: &Muxer, udid: &Udid, addresses: &[SocketAddr]) -> Result<Attached, Failure> {
    let mut first = None;
    for address in addresses {
        let attached = Attached::on_the_network(udid.clone(), *address);
        match wifi::prove(muxer, &attached).await {
            Ok(_) => return Ok(attached),
            Err(failure) => {
                first.get_or_insert(failure);
            }
        }
    }
    Err(first.unwrap_or_else(|| FailureId::WifiDeviceNotFound.into()))
}
