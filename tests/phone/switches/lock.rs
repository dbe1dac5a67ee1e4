//! Whether the phone is locked, and whether it was unlocked at all since it started.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::phone::{Event, Fault, Phone};

#[derive(Default)]
pub(super) struct LockSwitches {
    locked: AtomicBool,
    /// Not unlocked since the restart.
    sealed: AtomicBool,
    told: AtomicBool,
}

impl Phone {
    /// Locks the screen, or has the person unlock it, which also is the first unlock since a restart. While locked,
    /// `PasswordProtected` is true, and Pair and a StartService without the escrow bag are refused with it.
    pub fn set_locked(&self, locked: bool) {
        let lock = &self.switches().lock;
        lock.locked.store(locked, Ordering::SeqCst);
        if !locked {
            lock.sealed.store(false, Ordering::SeqCst);
        }
    }

    /// False as after a restart: the phone is locked, every StartService is refused with `EscrowLocked`, and a backup
    /// over a connection from before ends with 13.
    pub fn set_unlocked_since_restart(&self, unlocked: bool) {
        self.switches().lock.sealed.store(!unlocked, Ordering::SeqCst);
    }

    /// A computer asks whether it is locked.
    pub(crate) fn tell_lock(&self) {
        let locked = self.is_locked();
        if self.switches().lock.told.swap(locked, Ordering::SeqCst) != locked {
            self.tell(Event::LockTold { locked });
        }
    }

    /// True while the passcode is needed for anything private.
    pub fn is_locked(&self) -> bool {
        let locked = self.switches().lock.locked.load(Ordering::SeqCst);
        locked || !self.was_unlocked_since_restart() || matches!(self.fault(), Some(Fault::Locked))
    }

    /// False between a restart and the first unlock.
    pub fn was_unlocked_since_restart(&self) -> bool {
        !self.switches().lock.sealed.load(Ordering::SeqCst)
    }
}
