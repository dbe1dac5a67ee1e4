//! The one place where the overview is kept. Actors put their part in, subscribers get all of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
    overview::{Overview, Pause, PhoneOverview},
};
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use super::names;
use crate::health::{
    snoozes::Snoozes,
    tracker::{self, Tracker},
};

/// One state of the overview.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Counts up by one for every change.
    pub sequence: u64,
    /// All of it.
    pub overview: Arc<Overview>,
}

/// Clones are the same board. A watch channel: a slow reader misses states in between and never holds anybody up.
#[derive(Debug, Clone)]
pub struct Board {
    shown: watch::Sender<Shown>,
    computer: Arc<Mutex<Tracker>>,
    /// What the phones are called before they are told apart.
    names: Arc<Mutex<BTreeMap<Udid, String>>>,
    nudge: Arc<Notify>,
    snoozes: Snoozes,
}

impl Board {
    /// Begins with this.
    pub fn new(overview: Overview, snoozes: Snoozes) -> Self {
        let shown = Shown { sequence: 1, overview: Arc::new(overview) };
        let computer = Arc::new(Mutex::new(Tracker::new(snoozes.of(None))));
        Self { shown: watch::Sender::new(shown), computer, names: Arc::default(), nudge: Arc::default(), snoozes }
    }

    /// What people do not want to hear of.
    pub fn snoozes(&self) -> &Snoozes {
        &self.snoozes
    }

    /// The overview now and at every change, with nothing lost in between.
    pub fn subscribe(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// The overview now.
    pub fn shown(&self) -> Shown {
        self.shown.borrow().clone()
    }

    /// Puts a phone in or replaces what was said of it. Phones are sorted by name, and told apart where several have the
    /// same.
    pub fn put_phone(&self, phone: PhoneOverview) {
        self.names().insert(phone.udid.clone(), phone.name.clone());
        self.change(|overview| {
            match overview.phones.iter_mut().find(|known| known.udid == phone.udid) {
                Some(known) => *known = phone,
                None => overview.phones.push(phone),
            }
            for (udid, name) in self.called() {
                if let Some(known) = overview.phones.iter_mut().find(|known| known.udid == udid) {
                    known.name = name;
                }
            }
            overview.phones.sort_by(|one, other| (&one.name, &one.udid).cmp(&(&other.name, &other.udid)));
        });
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<Udid, String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self) -> Vec<(Udid, String)> {
        let (udids, names): (Vec<Udid>, Vec<(String, String)>) =
            self.names().iter().map(|(udid, name)| (udid.clone(), (name.clone(), udid.to_string()))).unzip();
        udids.into_iter().zip(names::told_apart(&names)).collect()
    }

    /// What is said of a phone.
    pub fn phone(&self, udid: &Udid) -> Option<PhoneOverview> {
        self.shown.borrow().overview.phones.iter().find(|phone| phone.udid == *udid).cloned()
    }

    /// What is wrong is known by now.
    pub fn settled(&self) {
        self.change(|overview| overview.settling = false);
    }

    /// A pause begins or ends.
    pub fn put_pause(&self, paused: Option<Pause>) {
        self.change(|overview| overview.paused = paused);
    }

    /// Quiet hours begin or end.
    pub fn put_quiet(&self, quiet: bool) {
        self.change(|overview| overview.notifications.quiet = quiet);
    }

    /// Something is wrong with the computer rather than with one phone.
    pub fn raise(&self, failure: &Failure) {
        if !self.has(failure.id) {
            tracing::warn!(%failure, "noticed");
        }
        self.track(|tracker, now| tracker.raise(failure, now));
    }

    /// It is not so any more.
    pub fn clear(&self, id: FailureId) {
        self.track(|tracker, _| tracker.clear(id));
    }

    /// Raised when it is so, cleared when not.
    pub fn set(&self, id: FailureId, failure: Option<Failure>) {
        self.track(|tracker, now| tracker.set(id, failure, now));
    }

    /// A person has heard of a problem of the computer. False when there is none.
    pub fn snooze(&self, id: FailureId, until: DateTime<Utc>) -> bool {
        self.track(|tracker, _| tracker.snooze(id, until))
    }

    /// True when it is told of the computer, or will be when it has lasted long enough.
    pub fn has(&self, id: FailureId) -> bool {
        self.computer.lock().unwrap_or_else(PoisonError::into_inner).has(id)
    }

    /// Tells for ever what has lasted long enough, and again what a person did not want to hear for a while.
    pub async fn keep_fresh(&self) {
        loop {
            let nudged = self.nudge.notified();
            let now = Utc::now();
            let next = self.computer.lock().unwrap_or_else(PoisonError::into_inner).next_change(now);
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep((at - now).to_std().unwrap_or_default()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => self.show_computer(),
                () = nudged => {}
            }
        }
    }

    fn show_computer(&self) {
        let tracker = self.computer.lock().unwrap_or_else(PoisonError::into_inner);
        let told = tracker.told(Utc::now());
        // Under the lock, so that an older state never replaces a newer one.
        self.change(|overview| overview.problems = told);
    }

    fn track<T>(&self, change: impl FnOnce(&mut Tracker, DateTime<Utc>) -> T) -> T {
        let now = Utc::now();
        let mut tracker = self.computer.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut tracker, now);
        self.snoozes.keep(None, tracker.snoozed());
        drop(tracker);
        self.show_computer();
        self.nudge.notify_one();
        answer
    }

    fn change(&self, change: impl FnOnce(&mut Overview)) {
        self.shown.send_if_modified(|shown| {
            let mut overview = Overview::clone(&shown.overview);
            change(&mut overview);
            tracker::put_behind(&mut overview);
            let changed = overview != *shown.overview;
            if changed {
                shown.overview = Arc::new(overview);
                shown.sequence += 1;
            }
            changed
        });
    }
}
