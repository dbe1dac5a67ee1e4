//! The one place where the overview is kept. Actors put their part in, subscribers get all of it.

use std::sync::Arc;

use backstay_shared::{
    health::FailureId,
    ids::Udid,
    overview::{Overview, PhoneOverview, Problem},
};
use tokio::sync::watch;

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
pub struct Board(watch::Sender<Shown>);

impl Board {
    /// Begins with this.
    pub fn new(overview: Overview) -> Self {
        Self(watch::Sender::new(Shown { sequence: 1, overview: Arc::new(overview) }))
    }

    /// The overview now and at every change, with nothing lost in between.
    pub fn subscribe(&self) -> watch::Receiver<Shown> {
        self.0.subscribe()
    }

    /// The overview now.
    pub fn shown(&self) -> Shown {
        self.0.borrow().clone()
    }

    /// Puts a phone in or replaces what was said of it. Phones are sorted by name.
    pub fn put_phone(&self, phone: PhoneOverview) {
        self.change(|overview| {
            match overview.phones.iter_mut().find(|known| known.udid == phone.udid) {
                Some(known) if *known == phone => return false,
                Some(known) => *known = phone,
                None => overview.phones.push(phone),
            }
            overview.phones.sort_by(|one, other| (&one.name, &one.udid).cmp(&(&other.name, &other.udid)));
            true
        });
    }

    /// What is said of a phone.
    pub fn phone(&self, udid: &Udid) -> Option<PhoneOverview> {
        self.0.borrow().overview.phones.iter().find(|phone| phone.udid == *udid).cloned()
    }

    /// Tells a problem of the computer; one that is told already stays as it was, with its "since".
    pub fn raise(&self, problem: Problem) {
        self.change(|overview| {
            let told = overview.problems.iter().any(|known| known.id == problem.id);
            if !told {
                overview.problems.push(problem);
            }
            !told
        });
    }

    /// A problem of the computer is gone.
    pub fn clear(&self, id: FailureId) {
        self.change(|overview| {
            let before = overview.problems.len();
            overview.problems.retain(|problem| problem.id != id);
            overview.problems.len() != before
        });
    }

    fn change(&self, change: impl FnOnce(&mut Overview) -> bool) {
        self.0.send_if_modified(|shown| {
            let changed = change(Arc::make_mut(&mut shown.overview));
            shown.sequence += u64::from(changed);
            changed
        });
    }
}
