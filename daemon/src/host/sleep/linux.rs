//! logind, on the system bus. Where there is none, nothing is kept awake and the clocks tell of sleep.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};
use zbus::{Connection, proxy, zvariant::OwnedFd};

use super::{NotKeptAwake, WHO};
use crate::host::clock::ClockWatch;

/// A logind that takes longer hangs.
const REPLY_MAX: Duration = Duration::from_secs(5);

/// Between tries to reach the system bus. They grow rarer: a container will never have one.
const BUS_PAUSES: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(600));

#[proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1",
    gen_blocking = false
)]
trait Manager {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;
    #[zbus(signal)]
    fn prepare_for_sleep(&self, begins: bool) -> zbus::Result<()>;
}

/// While it is there the computer does not go to sleep. The system takes it back with the file, however this process ends.
#[derive(Debug)]
pub struct Block {
    _file: OwnedFd,
}

impl Block {
    /// Keeps the computer awake from now on; the system shows why.
    ///
    /// # Errors
    /// When the system does not do that for this user.
    pub async fn take(why: &str) -> Result<Self, NotKeptAwake> {
        let asking = async {
            let logind = ManagerProxy::new(&Connection::system().await?).await?;
            logind.inhibit("sleep", WHO, why, "block").await
        };
        match timeout(REPLY_MAX, asking).await {
            Ok(Ok(file)) => Ok(Self { _file: file }),
            Ok(Err(error)) => Err(NotKeptAwake(error.to_string())),
            Err(_) => Err(NotKeptAwake(format!("logind does not answer for {} s", REPLY_MAX.as_secs()))),
        }
    }
}

/// Tells for ever when the computer woke.
pub async fn tell_wakes(clock: ClockWatch) {
    let mut pause = BUS_PAUSES.0;
    loop {
        match tell_wakes_of_this_bus(&clock).await {
            Ok(()) => pause = BUS_PAUSES.0,
            Err(error) => tracing::debug!(%error, "nobody tells when the computer wakes; the clocks do"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(BUS_PAUSES.1);
    }
}

/// Until the bus ends. logind itself may come and go meanwhile.
async fn tell_wakes_of_this_bus(clock: &ClockWatch) -> zbus::Result<()> {
    let logind = ManagerProxy::new(&Connection::system().await?).await?;
    let mut signals = logind.receive_prepare_for_sleep().await?;
    tracing::debug!("logind tells when the computer wakes");
    while let Some(signal) = signals.next().await {
        if !signal.args()?.begins {
            tracing::info!("the computer woke");
            clock.woke();
        }
    }
    Ok(())
}
