//! Watches over the tray icon on the Linux desktop's bus, since the icon's own service does not notice two things:
//! that the bus is gone, and that a status bar appeared just while the icon found none to register with, as it happens
//! when both start at login.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};
use zbus::{Connection, Proxy, fdo, fdo::DBusProxy, fdo::NameOwnerChangedStream, names::BusName};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
/// Between tries to reach the session's bus.
const BUS_PAUSE: Duration = Duration::from_secs(3);
/// When to look, after a status bar appeared, whether it has the icon.
const LOOK_AFTER: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(3)];
/// A bus or a status bar that takes longer hangs.
const REPLY_MAX: Duration = Duration::from_secs(5);

/// Runs for ever; calls `on_lost` when there is no bus, so that the icon on it is none either.
pub(crate) async fn run(on_lost: impl Fn()) {
    loop {
        match timeout(REPLY_MAX, Bus::open()).await {
            Ok(Ok(mut bus)) => {
                bus.follow().await;
                warn!("the session's bus is gone");
            }
            Ok(Err(error)) => debug!(%error, "no session bus"),
            Err(_elapsed) => debug!("the session bus does not answer"),
        }
        on_lost();
        sleep(BUS_PAUSE).await;
    }
}

struct Bus {
    dbus: DBusProxy<'static>,
    watcher: Proxy<'static>,
    owners: NameOwnerChangedStream,
}

impl Bus {
    async fn open() -> zbus::Result<Self> {
        let connection = Connection::session().await?;
        let dbus = DBusProxy::new(&connection).await?;
        let owners = dbus.receive_name_owner_changed_with_args(&[(0, WATCHER)]).await?;
        let watcher = zbus::proxy::Builder::new(&connection)
            .destination(WATCHER)?
            .path("/StatusNotifierWatcher")?
            .interface(WATCHER)?
            // Status bars do not all announce changes of their properties.
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        Ok(Self { dbus, watcher, owners })
    }

    /// Returns when the bus is gone.
    async fn follow(&mut self) {
        let looks = |now: Instant| LOOK_AFTER.map(|after| now + after).into_iter();
        let mut ahead = looks(Instant::now()).peekable();
        loop {
            let next = ahead.peek().copied();
            tokio::select! {
                owner = self.owners.next() => {
                    let Some(owner) = owner else { return };
                    if owner.args().is_ok_and(|arguments| arguments.new_owner().is_some()) {
                        debug!("a status bar appeared");
                        ahead = looks(Instant::now()).peekable();
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    ahead.next();
                    match timeout(REPLY_MAX, self.look()).await {
                        Ok(Ok(())) => {}
                        // A bus that went while it was being subscribed to ends no stream.
                        Ok(Err(fdo::Error::ZBus(zbus::Error::InputOutput(_)))) => return,
                        Ok(Err(error)) => debug!(%error, "no status bar"),
                        Err(_elapsed) => debug!("the status bar does not answer"),
                    }
                }
            }
        }
    }

    /// Registers the icon if the status bar does not have it.
    async fn look(&self) -> fdo::Result<()> {
        let registered: Vec<String> = self.watcher.get_property("RegisteredStatusNotifierItems").await?;
        let ours = format!("org.kde.StatusNotifierItem-{}-", std::process::id());
        for name in self.dbus.list_names().await?.into_iter().filter(|name| name.starts_with(&ours)) {
            let owner = self.dbus.get_name_owner(BusName::from(&name)).await?;
            let has_it = |item: &String| item.contains(name.as_str()) || item.starts_with(owner.as_str());
            if !registered.iter().any(has_it) {
                info!("the status bar has missed the icon; registering it again");
                let () = self.watcher.call("RegisterStatusNotifierItem", &name.as_str()).await?;
            }
        }
        Ok(())
    }
}
