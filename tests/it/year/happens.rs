//! What the daemon makes of what happens.

use super::{CURE_AFTER, Year, life::Happening};
use backstay::phone::state::{Doing, Input};
use backstay_shared::health::{Condition, FailureId};

impl Year<'_> {
    /// True when the daemon hears of it at once.
    pub(super) fn happens(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Sleeps => {
                // While bytes move it is kept from sleeping, but for a lid that is closed by force.
                if self.run.is_none() || self.random.below(2) == 0 {
                    self.is_awake = false;
                }
                false
            }
            Happening::Wakes => {
                let slept = !std::mem::replace(&mut self.is_awake, true);
                // Not every system tells.
                let told = slept && self.random.below(3) > 0;
                if told {
                    self.wake_up();
                    let asks_the_phone = matches!(self.state.doing, Doing::WaitFor(_));
                    assert!(asks_the_phone || !self.could_start(), "told that it woke, and nothing started");
                }
                if slept && self.run.is_some() {
                    self.run_ends(Some(FailureId::HostAsleep));
                }
                self.sees_the_phone() || told
            }
            Happening::Comes | Happening::Goes => {
                self.is_here = happening == Happening::Comes;
                self.is_awake && self.sees_the_phone()
            }
            Happening::Unlocked => {
                self.is_unlocked = true;
                match self.state.doing {
                    Doing::WaitFor(Condition::UserPresent) if self.state.present && self.is_awake => {
                        self.cured_at = Some((self.time + CURE_AFTER, Condition::UserPresent));
                    }
                    Doing::WaitFor(Condition::DeviceUnlocked) if self.state.present => {
                        self.cured_at = Some((self.time + CURE_AFTER, Condition::DeviceUnlocked));
                    }
                    _ => {}
                }
                false
            }
            Happening::Locked => {
                self.is_unlocked = false;
                self.cured_at = None;
                false
            }
            Happening::Paused | Happening::Resumed => {
                self.is_paused = happening == Happening::Paused;
                if self.is_awake {
                    self.wake_up();
                    assert!(!matches!(self.state.doing, Doing::Queued(_)) || !self.is_paused, "it waits in a pause");
                }
                self.is_awake
            }
            Happening::OtherBegins | Happening::OtherEnds => {
                let begins = happening == Happening::OtherBegins;
                self.other = begins.then(|| (self.turns.wait(false, None), None));
                self.look_at_the_queue();
                self.counts.queued += usize::from(matches!(self.state.doing, Doing::Queued(_)));
                true
            }
            Happening::ClockSet { by } => {
                self.set_by += by;
                false
            }
        }
    }

    /// True when that is news.
    pub(super) fn sees_the_phone(&mut self) -> bool {
        match (self.is_here, self.state.present) {
            (true, false) => {
                let now = self.wall();
                self.by_connecting |= self.is_old_enough(now);
                self.act(Input::Attached { by_a_person: true });
                self.assert_nothing_waits_for_a_person();
            }
            (false, true) => {
                self.act(Input::Detached);
                self.run_ends(Some(FailureId::UsbDisconnected));
            }
            _ => return false,
        }
        true
    }

    /// Somebody has just plugged it in: whatever waited for that, for days maybe, goes on as soon as it may.
    fn assert_nothing_waits_for_a_person(&self) {
        use Condition::{DeviceReconnected, DeviceUnlocked, UserPresent};
        let waits = matches!(
            self.state.doing,
            Doing::WaitFor(DeviceReconnected | DeviceUnlocked | UserPresent) | Doing::GaveUp(_)
        );
        assert!(!waits, "plugged in, and still {:?} at {}", self.state, self.wall());
    }
}
