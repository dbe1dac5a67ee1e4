//! The front ends that show notifications; while there are none, the daemon does.

use tokio::sync::watch;

/// How many there are. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Takers(watch::Sender<usize>);

impl Takers {
    /// One more, for as long as what is returned lives.
    pub fn one_more(&self) -> Taker {
        self.0.send_modify(|count| *count += 1);
        Taker(self.clone())
    }

    /// Their number, now and at every change.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}

/// A front end that shows notifications, until it is dropped.
#[derive(Debug)]
pub struct Taker(Takers);

impl Drop for Taker {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
