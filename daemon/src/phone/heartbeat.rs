//! The sign of life on Wi-Fi: the phone says Marco, the computer Polo. Without it the phone ends the session.

use std::time::Duration;

use idevice::{HeartbeatError, IdeviceError, heartbeat::HeartbeatClient};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// So long the phone may be late.
const GRACE_SECONDS: u64 = 5;

/// Before the first Marco the interval is not known.
const FIRST_INTERVAL_SECONDS: u64 = 15;

/// The phone's own interval is believed within these.
const INTERVAL_SECONDS_MAX: u64 = 60;

/// A Polo is some bytes; a link that does not take them is dead.
const POLO_SECONDS_MAX: Duration = Duration::from_secs(10);

/// How the phone's heart is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// As it should be.
    Beating,
    /// No Marco for so many seconds, though the connection stands.
    Silent(u64),
    /// The phone said that it goes to sleep.
    Asleep,
    /// The connection ended without a word.
    Ended,
}

/// One sign of life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beat {
    /// How many there were with it.
    pub number: u64,
    /// Seconds within which the phone promised the next one.
    pub interval: u64,
}

/// Answers for as long as somebody keeps it.
#[derive(Debug)]
pub struct Heart {
    pulse: watch::Receiver<Pulse>,
    beats: watch::Receiver<Beat>,
    _beating: AbortOnDropHandle<()>,
}

impl Heart {
    /// Begins to answer.
    pub fn start(client: HeartbeatClient) -> Self {
        let (told, pulse) = watch::channel(Pulse::Beating);
        let (counted, beats) = watch::channel(Beat::default());
        let beating = tokio::spawn(async move {
            let last = beat(client, &told, &counted).await;
            tracing::debug!(?last, "the heartbeat is over");
            told.send_replace(last);
        });
        Self { pulse, beats, _beating: AbortOnDropHandle::new(beating) }
    }

    /// How it is from now on.
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.clone()
    }

    /// Each sign of life from now on.
    pub fn beats(&self) -> watch::Receiver<Beat> {
        self.beats.clone()
    }
}

async fn beat(mut client: HeartbeatClient, told: &watch::Sender<Pulse>, counted: &watch::Sender<Beat>) -> Pulse {
    let (mut interval, mut silent) = (FIRST_INTERVAL_SECONDS, 0);
    loop {
        let patience = interval + GRACE_SECONDS;
        match client.get_marco(patience).await {
            Ok(next) => {
                interval = next.clamp(1, INTERVAL_SECONDS_MAX);
                silent = 0;
                counted.send_modify(|beat| *beat = Beat { number: beat.number + 1, interval: next });
                if !matches!(tokio::time::timeout(POLO_SECONDS_MAX, client.send_polo()).await, Ok(Ok(()))) {
                    return Pulse::Ended;
                }
                told.send_if_modified(|pulse| std::mem::replace(pulse, Pulse::Beating) != Pulse::Beating);
            }
            Err(IdeviceError::Heartbeat(HeartbeatError::SleepyTime)) => return Pulse::Asleep,
            Err(IdeviceError::Heartbeat(HeartbeatError::Timeout)) => {
                silent += patience;
                told.send_replace(Pulse::Silent(silent));
            }
            Err(_) => return Pulse::Ended,
        }
    }
}
