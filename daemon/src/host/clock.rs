//! Whether the wall clock can be believed: it may be set, also by hours, while the computer runs or right after it woke.
//! And whether the computer slept, since timers stand still meanwhile.

use std::{
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

/// The clock moving by less against the time since boot is drift and correction.
const JUMP: Duration = Duration::from_secs(5 * 60);

/// A clock that was just set may be set again; nothing is started or called overdue meanwhile.
const SETTLES_WITHIN: Duration = Duration::from_secs(5 * 60);

/// A shorter gap is a busy computer.
const SLEEP_MIN: Duration = Duration::from_secs(5);

/// Any moment of this process.
static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Watches it. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct ClockWatch {
    seen: Arc<Mutex<Seen>>,
    /// How often the computer woke.
    woke: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    last: Option<Reading>,
    /// By how many seconds it was set, all in all.
    set_by: i64,
    settled_from: Option<DateTime<Utc>>,
}

/// What the clocks of the computer say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: DateTime<Utc>,
    /// Time since boot, sleep included; none where no clock says so.
    pub since_boot: Option<Duration>,
    /// Time that does not pass while the computer sleeps, from any moment on.
    pub awake: Duration,
}

impl ClockWatch {
    /// Looks now. Call it now and then; a sleep in between is no jump.
    pub fn look(&self) {
        self.look_at(Reading { wall: Utc::now(), since_boot: since_boot(), awake: FIRST.elapsed() });
    }

    /// Looks when the clocks say this.
    pub fn look_at(&self, now: Reading) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slept = false;
        if let Some(last) = seen.last {
            let awake = now.awake.saturating_sub(last.awake);
            let wall_moved = (now.wall - last.wall).num_seconds();
            if let Some((now_booted, then)) = now.since_boot.zip(last.since_boot) {
                let really_moved = now_booted.saturating_sub(then);
                let seconds = wall_moved - i64::try_from(really_moved.as_secs()).unwrap_or(i64::MAX);
                if seconds.unsigned_abs() > JUMP.as_secs() {
                    tracing::warn!(seconds, "the clock was set");
                    seen.settled_from = Some(now.wall + SETTLES_WITHIN);
                    seen.set_by += seconds;
                }
                slept = really_moved.saturating_sub(awake) >= SLEEP_MIN;
            } else {
                // It slept or the clock was set: what is due may be another either way.
                slept = wall_moved.abs_diff(i64::try_from(awake.as_secs()).unwrap_or(i64::MAX)) >= SLEEP_MIN.as_secs();
            }
        }
        seen.settled_from = seen.settled_from.filter(|from| *from > now.wall);
        seen.last = Some(now);
        drop(seen);
        if slept {
            self.woke();
        }
    }

    /// By how much the clock was set, all in all: what waits for a moment waits for another one since.
    pub fn set_by(&self) -> TimeDelta {
        TimeDelta::seconds(self.seen.lock().unwrap_or_else(PoisonError::into_inner).set_by)
    }

    /// The computer has just woken, as the system or the clocks say.
    pub fn woke(&self) {
        self.woke.send_modify(|times| *times += 1);
    }

    /// Changes whenever the computer woke.
    pub fn wakes(&self) -> watch::Receiver<u64> {
        self.woke.subscribe()
    }

    /// After the clock was set: from when on it is believed. None when it is.
    pub fn settled_from(&self) -> Option<DateTime<Utc>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).settled_from
    }
}

/// Time since boot, sleep included.
#[cfg(target_os = "linux")]
pub fn since_boot() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

/// Without a clock that counts sleep nobody can tell a sleep from a clock that was set.
#[cfg(not(target_os = "linux"))]
pub fn since_boot() -> Option<Duration> {
    None
}

/// A moment from which on sleep is counted.
#[derive(Debug, Clone, Copy)]
pub struct Awake {
    awake: std::time::Instant,
    since_boot: Option<Duration>,
}

impl Awake {
    /// From now on.
    pub fn now() -> Self {
        Self { awake: std::time::Instant::now(), since_boot: since_boot() }
    }

    /// How long the computer has slept since; zero where it can't be known.
    pub fn slept(&self) -> Duration {
        let whole = since_boot().zip(self.since_boot).map(|(now, then)| now.saturating_sub(then));
        whole.map_or(Duration::ZERO, |whole| whole.saturating_sub(self.awake.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_no_jump_and_a_jump_settles() {
        let start = Utc::now();
        let clock = ClockWatch::default();
        let look = |wall: i64, boot: u64| {
            let wall = start + chrono::Duration::seconds(wall);
            let awake = Duration::from_secs(boot.min(1060));
            clock.look_at(Reading { wall, since_boot: Some(Duration::from_secs(boot)), awake });
            clock.settled_from().map(|from| (from - start).num_seconds())
        };
        assert_eq!(look(0, 1000), None);
        assert_eq!(look(60, 1060), None);
        assert_eq!(look(100_000, 101_000), None, "it slept");
        assert_eq!(look(4_000_000, 101_060), Some(4_000_300), "set forward");
        assert_eq!(look(4_000_060, 101_120), Some(4_000_300), "not yet");
        assert_eq!(look(4_000_301, 101_361), None, "settled");
        assert_eq!(look(0, 101_400), Some(300), "set back");
        assert_eq!(clock.set_by().num_seconds(), 3_899_940 - 4_000_340);
    }

    #[test]
    fn a_sleep_is_told() {
        for has_boot_clock in [true, false] {
            let clock = ClockWatch::default();
            let mut wakes = clock.wakes();
            let start = Utc::now();
            let mut look = |wall: u64, awake: u64| {
                clock.look_at(Reading {
                    wall: start + Duration::from_secs(wall),
                    since_boot: has_boot_clock.then_some(Duration::from_secs(wall)),
                    awake: Duration::from_secs(awake),
                });
                *wakes.borrow_and_update()
            };
            assert_eq!((look(0, 0), look(60, 60), look(124, 120)), (0, 0, 0), "{has_boot_clock}");
            assert_eq!((look(4000, 130), look(4060, 190)), (1, 1), "{has_boot_clock}");
        }
    }
}
