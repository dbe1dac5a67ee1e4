//! Whether a phone that says nothing is still there. A phone may be silent for minutes while it looks for what changed;
//! lockdownd answers all the while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use idevice::lockdown::LockdownClient;

use super::link::Muxer;

/// Between two questions, and before the first.
const EVERY: Duration = Duration::from_secs(2);

/// A phone that is there answers in milliseconds.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(4);

/// One answer may be lost to a busy phone or a stalled disk here.
const MISSES_MAX: u32 = 2;

/// Ends, with the seconds, when neither a byte came nor a question was answered: 14 s after the link died at most, the
/// interval in which the last byte came included.
pub async fn lost(muxer: Muxer, device_id: u32, bytes_seen: Arc<AtomicU64>) -> u64 {
    let mut misses = 0;
    let mut seen = bytes_seen.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(EVERY).await;
        let now = bytes_seen.load(Ordering::Relaxed);
        let moving = std::mem::replace(&mut seen, now) != now;
        if moving || answers(&muxer, device_id).await {
            misses = 0;
            continue;
        }
        misses += 1;
        if misses >= MISSES_MAX && bytes_seen.load(Ordering::Relaxed) == seen {
            return u64::from(misses) * (EVERY + ANSWER_SECONDS_MAX).as_secs();
        }
    }
}

/// Any answer will do, a refusal too: somebody is there. A connection that breaks at once is told by the transfer itself.
async fn answers(muxer: &Muxer, device_id: u32) -> bool {
    let asking = async {
        let Ok(socket) = muxer.port(device_id, LockdownClient::LOCKDOWND_PORT).await else { return };
        // lockdownd's first and simplest request; it needs no trust.
        drop(LockdownClient::new(socket).get_value(Some("ProductVersion"), None).await);
    };
    tokio::time::timeout(ANSWER_SECONDS_MAX, asking).await.is_ok()
}
