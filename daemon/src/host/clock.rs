//! Whether the wall clock can be believed: it may be set, also by hours, while the computer runs or right after it woke.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

/// The clock moving by less against the time since boot is drift and correction.
const JUMP: Duration = Duration::from_secs(5 * 60);

/// A clock that was just set may be set again; nothing is started or called overdue meanwhile.
const SETTLES_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Watches it. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct ClockWatch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    last: Option<(DateTime<Utc>, Duration)>,
    settled_from: Option<DateTime<Utc>>,
}

impl ClockWatch {
    /// Looks now. Call it now and then; a sleep in between is no jump.
    pub fn look(&self) {
        if let Some(since_boot) = since_boot() {
            self.look_at(Utc::now(), since_boot);
        }
    }

    fn look_at(&self, now: DateTime<Utc>, since_boot: Duration) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((wall, boot)) = seen.last {
            let wall_moved = (now - wall).num_seconds();
            let really_moved = i64::try_from(since_boot.saturating_sub(boot).as_secs()).unwrap_or(i64::MAX);
            if wall_moved.abs_diff(really_moved) > JUMP.as_secs() {
                tracing::warn!(seconds = wall_moved - really_moved, "the clock was set");
                seen.settled_from = Some(now + SETTLES_WITHIN);
            }
        }
        seen.settled_from = seen.settled_from.filter(|from| *from > now);
        seen.last = Some((now, since_boot));
    }

    /// After the clock was set: from when on it is believed. None when it is.
    pub fn settled_from(&self) -> Option<DateTime<Utc>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).settled_from
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
            clock.look_at(start + chrono::Duration::seconds(wall), Duration::from_secs(boot));
            clock.settled_from().map(|from| (from - start).num_seconds())
        };
        assert_eq!(look(0, 1000), None);
        assert_eq!(look(60, 1060), None);
        assert_eq!(look(100_000, 101_000), None, "it slept");
        assert_eq!(look(4_000_000, 101_060), Some(4_000_300), "set forward");
        assert_eq!(look(4_000_060, 101_120), Some(4_000_300), "not yet");
        assert_eq!(look(4_000_301, 101_361), None, "settled");
        assert_eq!(look(0, 101_400), Some(300), "set back");
    }
}
