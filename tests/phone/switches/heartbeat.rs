//! The phone's sign of life on Wi-Fi.

use std::time::Duration;

use tokio::sync::watch;

use crate::phone::Phone;

/// What com.apple.mobile.heartbeat does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// Says Marco at each interval.
    Beats {
        /// As a phone on Wi-Fi tells it: whole seconds.
        interval: Duration,
    },
    /// Says nothing more, though the connection stays.
    Stops,
    /// Says SleepyTime and closes.
    Sleeps,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::Beats { interval: Duration::from_secs(10) }
    }
}

#[derive(Default)]
pub(super) struct HeartbeatSwitches(watch::Sender<Heartbeat>);

impl Phone {
    /// Changes the heartbeat, also on connections that are open.
    pub fn set_heartbeat(&self, heartbeat: Heartbeat) {
        self.switches().heartbeat.0.send_replace(heartbeat);
    }

    pub(crate) fn heartbeat(&self) -> watch::Receiver<Heartbeat> {
        self.switches().heartbeat.0.subscribe()
    }
}
