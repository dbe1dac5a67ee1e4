//! macOS (a power assertion) and Windows (the execution state of a thread).

use super::{NotKeptAwake, WHO};
use crate::host::clock::ClockWatch;

/// While it is there the computer does not go to sleep by itself. Belongs to the thread that took it.
pub struct Block {
    _awake: keepawake::KeepAwake,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Block")
    }
}

impl Block {
    /// Keeps the computer awake from now on; the system shows why.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn take(why: &str) -> Result<Self, NotKeptAwake> {
        let awake = keepawake::Builder::default().idle(true).reason(why).app_name(WHO).create();
        awake.map(|awake| Self { _awake: awake }).map_err(|error| NotKeptAwake(error.to_string()))
    }
}

/// Nobody tells here; the clocks do, within a minute.
pub async fn tell_wakes(_clock: ClockWatch) {
    std::future::pending().await
}
