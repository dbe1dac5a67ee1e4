//! Those who announce themselves: a few of them may be ours, and nobody can make the others cost more than a little.

use std::collections::BTreeSet;

use backstay_shared::ids::Udid;
use tokio::time::Instant;

use super::{Watcher, asking, here::Sign};
use crate::presence::announcement::{Announcement, Whose};

/// Those that may be ours; what is more than that is somebody's mischief.
pub(super) const SERVICES_MAX: usize = 128;

/// So many are asked at a time.
pub(super) const ASKED_AT_A_TIME: usize = 4;

/// Somebody who announces himself.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) announcement: Announcement,
    /// It names one of ours.
    pub(super) says_so: bool,
    /// Since this ear listens.
    pub(super) heard: bool,
    /// Tries that failed.
    pub(super) failed: usize,
    /// None when nothing is to be tried any more.
    pub(super) next_try: Option<Instant>,
    pub(super) asking: bool,
}

impl Watcher {
    pub(super) async fn take(&mut self, announcement: Announcement) {
        let name = announcement.name.clone();
        if let Some(known) = self.services.get_mut(&name) {
            known.heard = true;
            if known.announcement == announcement {
                return;
            }
        }
        let says_so = match announcement.whose(&self.known) {
            Whose::Of(_) => true,
            Whose::Unsaid => false,
            Whose::Strange => return self.gone(&name).await,
        };
        let known = self.services.get(&name);
        let asking = known.is_some_and(|known| known.asking);
        if known.is_none() && !self.make_room(says_so).await {
            tracing::debug!(name, "too many announce themselves");
            self.crowded = true;
            return;
        }
        tracing::debug!(name, addresses = ?announcement.addresses, "heard");
        let service = Service { announcement, says_so, heard: true, failed: 0, next_try: Some(Instant::now()), asking };
        self.services.insert(name, service);
    }

    /// Room for one more, who `says_so`: of those that have not proved themselves the least likely one makes it.
    pub(super) async fn make_room(&mut self, says_so: bool) -> bool {
        if self.services.len() < SERVICES_MAX {
            return true;
        }
        let idle = self.services.iter().filter(|(name, service)| !service.asking && self.phone_called(name).is_none());
        let worst = idle.max_by_key(|(_, service)| (!service.says_so, service.failed));
        let worst = worst.filter(|(_, worst)| worst.failed > 0 || says_so && !worst.says_so);
        let Some(name) = worst.map(|(name, _)| name.clone()) else { return false };
        self.crowded = true;
        self.gone(&name).await;
        true
    }

    /// At once those that have not proved themselves and are such.
    pub(super) fn ask_again(&mut self, such: impl Fn(&Service) -> bool) {
        let waiting: Vec<String> =
            self.services.keys().filter(|name| self.phone_called(name).is_none()).cloned().collect();
        for name in waiting {
            if let Some(service) = self.services.get_mut(&name).filter(|service| such(service)) {
                service.next_try = Some(Instant::now());
            }
        }
    }

    /// Who says that he is one of ours comes before the others, once; then whoever waits longest.
    pub(super) fn ask_who_is_due(&mut self) {
        let now = Instant::now();
        let idle = self.services.iter().filter(|(_, service)| !service.asking);
        let due = idle.filter_map(|(name, service)| {
            let at = service.next_try.filter(|at| *at <= now)?;
            Some((!service.says_so || service.failed > 0, at, name.clone()))
        });
        let mut due: Vec<_> = due.collect();
        due.sort();
        for (_, _, name) in due.into_iter().take(ASKED_AT_A_TIME.saturating_sub(self.asking.len())) {
            let elsewhere =
                self.here.iter().filter(|(_, here)| matches!(&here.sign, Sign::Announced(of) if *of != name));
            let elsewhere: BTreeSet<Udid> = elsewhere.map(|(udid, _)| udid.clone()).collect();
            let Some(service) = self.services.get_mut(&name) else { continue };
            (service.asking, service.next_try) = (true, None);
            let (muxer, announcement) = (self.muxer.clone(), service.announcement.clone());
            self.asking.spawn(async move {
                let asked = asking::ask(&muxer, &announcement, &elsewhere).await;
                (name, announcement, asked)
            });
        }
    }
}
