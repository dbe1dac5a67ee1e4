//! The phone restarts.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::value_of;
use crate::phone::{Event, Phone};

#[derive(Default)]
pub(super) struct RestartSwitches {
    comes_back: AtomicBool,
    refusal: Mutex<Option<String>>,
}

impl Phone {
    /// Restarts, as a computer asks for through diagnostics_relay: the phone goes away and is not unlocked since, until
    /// [`Self::set_locked`] says so. It comes back when plugged in.
    pub fn restart(&self) {
        self.power_off();
        self.tell(Event::Restarted);
        if self.switches().restart.comes_back.load(Ordering::SeqCst) {
            self.attach(self.connection());
        }
    }

    /// Goes away until plugged in, and is not unlocked since.
    pub(crate) fn power_off(&self) {
        self.set_unlocked_since_restart(false);
        self.unstick();
        self.unplug();
    }

    /// Lets the phone come back by itself at once after a restart, as it is attached now.
    pub fn set_comes_back_after_restart(&self, comes_back: bool) {
        self.switches().restart.comes_back.store(comes_back, Ordering::SeqCst);
    }

    /// Answers `Restart` and `Shutdown` with this `Status`, for example `Failure`, in place of obeying.
    pub fn refuse_restart(&self, status: Option<&str>) {
        *value_of(&self.switches().restart.refusal) = status.map(str::to_owned);
    }

    pub(crate) fn restart_refusal(&self) -> Option<String> {
        value_of(&self.switches().restart.refusal).clone()
    }
}
