//! Phones on the network. One is here when it has proved, in a session, to be a phone that this computer was paired
//! with; what it announces only says where to ask.

mod asking;
mod crowd;
mod here;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use backstay_shared::{health::Failure, ids::Udid};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

pub use self::asking::{candidates, reach};
use self::{
    asking::Asked,
    crowd::{ASKED_AT_A_TIME, Service},
    here::{Here, Sign},
};
use super::{
    announcement::{Announcement, Known},
    ear::{Ear, Heard},
    usbmuxd::Sighting,
};
use crate::{
    host::network::Networks,
    phone::{link::Muxer, wifi},
};

/// Between two tries at a phone that announces itself and can't be reached.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(60), Duration::from_secs(300)];

/// What stands in the way is told when so many tries in a row have failed.
const TOLD_FROM_FAILURE: usize = 3;

/// Before listening anew, where it could not begin or was flooded; and where there was no room for all.
const PAUSE_BETWEEN_EARS: Duration = Duration::from_secs(60);

/// Another network and a flood are noticed after so long.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Who is here is heard within this time of beginning to listen.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Why listening ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deaf {
    /// Nobody wants to know any more.
    Over,
    /// No phone may be on the network any more.
    Unwanted,
    /// What was heard before is told again to a new ear only.
    Anew,
    /// The system, or a flood.
    Broken,
}

/// Watches for ever, until nobody listens any more. `wakes` changes when the computer has slept.
pub async fn watch(muxer: Muxer, sightings: mpsc::Sender<Sighting>, mut wakes: watch::Receiver<u64>) {
    let mut changes = muxer.records().changes();
    let mut watcher = Watcher::new(muxer.clone(), sightings);
    loop {
        // Who has no phone to look for disturbs no network.
        while muxer.records().on_the_network().is_empty() {
            watcher.forget_all().await;
            if changes.changed().await.is_err() {
                return;
            }
        }
        match Ear::open() {
            Ok(ear) => {
                watcher.begin();
                match watcher.listen(&ear, &mut changes, &mut wakes).await {
                    Deaf::Over => return,
                    Deaf::Unwanted | Deaf::Anew => continue,
                    Deaf::Broken => tracing::warn!("what is announced on the network is too much"),
                }
            }
            Err(error) => {
                watcher.forget_all().await;
                tracing::warn!(%error, "nobody can be heard on the network");
            }
        }
        tokio::time::sleep(PAUSE_BETWEEN_EARS).await;
    }
}

struct Watcher {
    muxer: Muxer,
    sightings: mpsc::Sender<Sighting>,
    /// Those that may be on the network.
    known: Vec<Known>,
    /// Those that may be ours, by name.
    services: BTreeMap<String, Service>,
    here: BTreeMap<Udid, Here>,
    /// Whom a failure is told of, and under which name.
    troubled: BTreeMap<Udid, String>,
    asking: JoinSet<(String, Announcement, Asked)>,
    proving: JoinSet<(Udid, SocketAddr, Result<(), Failure>)>,
    /// Somebody was not taken in.
    crowded: bool,
    /// A phone was not heard any more: it will not be asked for in time, since what it announced last is remembered.
    forgetful: bool,
}

impl Watcher {
    fn new(muxer: Muxer, sightings: mpsc::Sender<Sighting>) -> Self {
        Self {
            muxer,
            sightings,
            known: Vec::new(),
            services: BTreeMap::new(),
            here: BTreeMap::new(),
            troubled: BTreeMap::new(),
            asking: JoinSet::new(),
            proving: JoinSet::new(),
            crowded: false,
            forgetful: false,
        }
    }

    /// With a new ear. Who is here stays here: it is heard again soon, or has to prove itself.
    fn begin(&mut self) {
        self.known = asking::known(self.muxer.records());
        (self.crowded, self.forgetful) = (false, false);
        self.services.values_mut().for_each(|service| service.heard = false);
    }

    async fn listen(&mut self, ear: &Ear, changes: &mut watch::Receiver<()>, wakes: &mut watch::Receiver<u64>) -> Deaf {
        let began = Instant::now();
        let networks = own_addresses();
        let mut unheard_at = Some(began + HEARD_WITHIN);
        let mut look = tokio::time::interval(LOOK_EVERY);
        wakes.mark_unchanged();
        loop {
            self.ask_who_is_due();
            self.prove_who_is_due();
            let next = self.next_turn().into_iter().chain(unheard_at).min();
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = ear.next() => match heard {
                    Some(Heard::Here(announcement)) => self.take(announcement).await,
                    Some(Heard::Gone(name)) => self.gone(&name).await,
                    None => return Deaf::Broken,
                },
                Some(asked) = self.asking.join_next() => if let Ok((name, announcement, asked)) = asked {
                    self.learn(name, &announcement, asked).await;
                },
                Some(proved) = self.proving.join_next() => if let Ok((udid, address, proved)) = proved {
                    self.proved(&udid, address, proved).await;
                },
                Ok(()) = changes.changed() => if let Some(deaf) = self.wanted_now().await {
                    return deaf;
                },
                // Whatever was known is as old as the sleep was long.
                Ok(()) = wakes.changed() => return Deaf::Anew,
                () = due => if unheard_at.is_some_and(|at| at <= Instant::now()) {
                    unheard_at = None;
                    self.lose_the_unheard().await;
                },
                _ = look.tick() => {
                    if own_addresses() != networks {
                        self.ask_again(|_| true);
                        return Deaf::Anew;
                    }
                    if ear.is_flooded().await {
                        return Deaf::Broken;
                    }
                    if self.crowded && began.elapsed() > PAUSE_BETWEEN_EARS {
                        return Deaf::Anew;
                    }
                },
                () = self.sightings.closed() => return Deaf::Over,
            }
            if self.forgetful {
                return Deaf::Anew;
            }
        }
    }

    /// When somebody is to be asked or to prove himself next.
    fn next_turn(&self) -> Option<Instant> {
        let idle = self.services.values().filter(|service| !service.asking);
        let next_try = idle.filter_map(|service| service.next_try).min();
        let next_try = next_try.filter(|_| self.asking.len() < ASKED_AT_A_TIME);
        let proofs = self.here.values().filter_map(|here| match here.sign {
            Sign::Silent { next_proof, .. } => next_proof,
            Sign::Announced(_) => None,
        });
        proofs.chain(next_try).min()
    }

    async fn learn(&mut self, name: String, announcement: &Announcement, asked: Asked) {
        let Some(service) = self.services.get_mut(&name) else { return };
        service.asking = false;
        if service.announcement != *announcement {
            // It has changed since: it is asked anew.
            return;
        }
        match asked {
            Asked::Here { attached, tagged } => self.found(name, attached, tagged).await,
            Asked::Stranger => {
                tracing::debug!(name, "is none of ours");
                self.silence(&name);
            }
            Asked::NotReached(udid, failure) => {
                let pause = PAUSES.get(service.failed).or(PAUSES.last()).copied().unwrap_or_default();
                service.failed += 1;
                let lasts = service.failed >= TOLD_FROM_FAILURE;
                service.next_try = Some(Instant::now() + pause);
                tracing::debug!(name, %failure, "announces itself and can't be reached");
                let Some(udid) = udid else { return self.silence(&name) };
                // It was here and has moved to where it can't be reached.
                if self.phone_called(&name).as_ref() == Some(&udid) {
                    self.detach(&udid).await;
                }
                // A connection or two may be lost on the way.
                if lasts && !self.here.contains_key(&udid) && wifi::is_about_the_network(failure.id) {
                    self.troubled.insert(udid.clone(), name);
                    self.tell(Sighting::NotReached(udid, Some(failure))).await;
                }
            }
        }
    }

    /// Nobody announces himself by this name any more.
    async fn gone(&mut self, name: &str) {
        if self.services.remove(name).is_none() {
            return;
        }
        tracing::debug!(name, "announces itself no more");
        self.silence(name);
        // Who is not here any more is in no trouble.
        let troubled = self.troubled.iter().find(|(_, of)| *of == name).map(|(udid, _)| udid.clone());
        if let Some(udid) = troubled {
            self.untroubled(&udid).await;
        }
    }

    async fn lose_the_unheard(&mut self) {
        let unheard = self.services.iter().filter(|(_, service)| !service.heard);
        for name in unheard.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.gone(&name).await;
        }
    }

    /// What was allowed or known may have changed.
    async fn wanted_now(&mut self) -> Option<Deaf> {
        let wanted = self.muxer.records().on_the_network();
        if wanted.is_empty() {
            return Some(Deaf::Unwanted);
        }
        let unwanted = |udids: Vec<&Udid>| -> Vec<Udid> {
            udids.into_iter().filter(|udid| !wanted.contains(udid)).cloned().collect()
        };
        for udid in unwanted(self.here.keys().collect()) {
            self.detach(&udid).await;
        }
        for udid in unwanted(self.troubled.keys().collect()) {
            self.untroubled(&udid).await;
        }
        self.ask_again(|_| true);
        // Who was a stranger may be one of ours now, and is not told again to this ear.
        (asking::known(self.muxer.records()) != self.known).then_some(Deaf::Anew)
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
        for udid in self.here.keys().cloned().collect::<Vec<_>>() {
            self.detach(&udid).await;
        }
        self.services.clear();
        self.asking.abort_all();
        self.proving.abort_all();
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
