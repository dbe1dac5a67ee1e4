//! Whether a phone that says nothing is still there. A phone may be silent for minutes while it looks for what changed;
//! lockdownd answers all the while, and over Wi-Fi its heart beats.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use idevice::lockdown::LockdownClient;
use tokio::sync::watch;

use super::{
    heartbeat::Pulse,
    link::{Attached, Muxer},
};

/// Between two questions, and before the first.
const EVERY: Duration = Duration::from_secs(2);

/// A phone that is there answers in milliseconds.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(4);

/// One answer may be lost to a busy phone or a stalled disk here.
const MISSES_MAX: u32 = 2;

/// Ends, with the seconds, when neither a byte came nor a question was answered: 14 s after the link died at most, the
/// interval in which the last byte came included. Over Wi-Fi also when nothing comes and the phone's heart has stopped.
pub async fn lost(
    muxer: Muxer,
    attached: Attached,
    bytes_seen: Arc<AtomicU64>,
    pulse: Option<watch::Receiver<Pulse>>,
) -> u64 {
    let mut misses = 0;
    let mut seen = bytes_seen.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(EVERY).await;
        let now = bytes_seen.load(Ordering::Relaxed);
        let moving = std::mem::replace(&mut seen, now) != now;
        let pulse = pulse.as_ref().map(|pulse| *pulse.borrow());
        match pulse {
            // What still comes says more than a heart.
            Some(Pulse::Asleep) if !moving => return EVERY.as_secs(),
            Some(Pulse::Silent(seconds)) if !moving => return seconds,
            _ => {}
        }
        if moving || answers(&muxer, &attached).await {
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
async fn answers(muxer: &Muxer, attached: &Attached) -> bool {
    let asking = async {
        match muxer.port(attached, LockdownClient::LOCKDOWND_PORT).await {
            // lockdownd's first and simplest request; it needs no trust.
            Ok(socket) => {
                drop(LockdownClient::new(socket).get_value(Some("ProductVersion"), None).await);
                true
            }
            // usbmuxd tells who goes; on a network nobody does.
            Err(_) => attached.is_muxed(),
        }
    };
    tokio::time::timeout(ANSWER_SECONDS_MAX, asking).await.unwrap_or(false)
}
