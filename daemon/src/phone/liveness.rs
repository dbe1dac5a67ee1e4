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
use tokio::{sync::watch, time::Instant};

use super::{
    heartbeat::Pulse,
    link::{Attached, Muxer},
};

/// Between two questions, and before the first.
const EVERY: Duration = Duration::from_secs(2);

/// A phone that is there answers in milliseconds.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(4);

/// A cable has no bad moments; one answer may be lost to a busy phone or a stalled disk here.
const USB_SECONDS_MAX: Duration = Duration::from_secs(15);

/// A network has: gaps of 10 s and more pass, and the connections live on.
const WIFI_SECONDS_MAX: Duration = Duration::from_secs(60);

/// Each question has at least so long, and one alone is not enough: this computer may have stood still itself.
const ANSWER_SECONDS_MIN: Duration = Duration::from_secs(1);
const MISSES_MIN: u32 = 2;

/// Ends, with the seconds, when neither a byte moved nor a question was answered for so long. Over Wi-Fi also when nothing
/// moves and the phone's heart has stopped for so long.
pub async fn lost(
    muxer: Muxer,
    attached: Attached,
    bytes_seen: Arc<AtomicU64>,
    pulse: Option<watch::Receiver<Pulse>>,
) -> u64 {
    let patience = if attached.usb { USB_SECONDS_MAX } else { WIFI_SECONDS_MAX };
    let (mut alive_at, mut misses) = (Instant::now(), 0);
    let mut seen = bytes_seen.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(EVERY).await;
        let now = bytes_seen.load(Ordering::Relaxed);
        let moving = std::mem::replace(&mut seen, now) != now;
        let pulse = pulse.as_ref().map(|pulse| *pulse.borrow());
        match pulse {
            // What still comes says more than a heart.
            Some(Pulse::Asleep) if !moving => return EVERY.as_secs(),
            Some(Pulse::Silent(seconds)) if !moving && seconds >= patience.as_secs() => return seconds,
            _ => {}
        }
        let left = patience.saturating_sub(alive_at.elapsed()).clamp(ANSWER_SECONDS_MIN, ANSWER_SECONDS_MAX);
        if moving || answers(&muxer, &attached, left).await {
            (alive_at, misses) = (Instant::now(), 0);
            continue;
        }
        misses += 1;
        if misses >= MISSES_MIN && alive_at.elapsed() >= patience && bytes_seen.load(Ordering::Relaxed) == seen {
            return alive_at.elapsed().as_secs();
        }
    }
}

/// Any answer will do, a refusal too: somebody is there. A connection that breaks at once is told by the transfer itself.
async fn answers(muxer: &Muxer, attached: &Attached, within: Duration) -> bool {
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
    tokio::time::timeout(within, asking).await.unwrap_or(false)
}
