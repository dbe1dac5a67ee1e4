//! Notifications on Linux: one connection of our own for as long as the session lasts, subscribed before the first
//! `Notify`. GNOME sends a click only to the connection that showed the notification and withdraws it with that
//! connection; the waiting of notify-rust loses clicks.
//!
//! Everything happens in one task: a signal that overtakes the reply to `Notify` waits in its stream until the id is known.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, info, warn};
use zbus::{Connection, names::UniqueName, proxy, zvariant::Value};

use super::{About, Button, Change, Key, Notice, escape};
use crate::{desktop::command::Command, health::Severity};

/// A notification service that takes longer hangs.
const REPLY_MAX: Duration = Duration::from_secs(5);
/// Between tries to reach the session's bus. They grow rarer: a computer without a desktop will never have one.
const BUS_PAUSES: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(60));
/// Between tries to show what could not be shown; a service that appears is noticed at once.
const SERVICE_PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(480));
/// What a click on the notification itself is called, by the specification.
const DEFAULT: &str = "default";
/// Draws a button for that, too, where others take a click anywhere for it.
const DRAWS_DEFAULT: &str = "Xfce Notify Daemon";
/// The service closes it by itself after a while.
const FLEETING: i32 = -1;
/// It stays until it is cured or put away.
const LASTING: i32 = 0;

#[proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    #[expect(clippy::too_many_arguments, reason = "the specification has them")]
    fn notify(
        &self,
        app: &str,
        replaces: u32,
        icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        timeout_ms: i32,
    ) -> zbus::Result<u32>;
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;
    /// Name, vendor, version, and version of the specification.
    fn get_server_information(&self) -> zbus::Result<(String, String, String, String)>;
    fn close_notification(&self, id: u32) -> zbus::Result<()>;
    #[zbus(signal)]
    fn action_invoked(&self, id: u32, action: String) -> zbus::Result<()>;
    #[zbus(signal)]
    fn notification_closed(&self, id: u32, reason: u32) -> zbus::Result<()>;
}

/// Carries changes out until their sender is gone, across restarts of the bus and of the notification service.
pub(super) async fn run(mut changes: mpsc::Receiver<Change>, commands: mpsc::Sender<Command>, patience: Duration) {
    let mut desk = Desk { patience, not_before: None, waiting: BTreeMap::new(), shown: BTreeMap::new(), commands };
    let mut next_pause = BUS_PAUSES.0;
    loop {
        // Nothing to show, nobody to ask.
        while desk.waiting.is_empty() {
            match changes.recv().await {
                Some(change) => desk.note(change),
                None => return,
            }
        }
        match timeout(REPLY_MAX, Session::open()).await {
            Ok(Ok(session)) => {
                next_pause = BUS_PAUSES.0;
                if desk.serve(session, &mut changes).await.is_ok() {
                    return;
                }
                desk.shown.clear();
            }
            Ok(Err(error)) => debug!(%error, "no session bus"),
            Err(_elapsed) => debug!("the session bus does not answer"),
        }
        let pause = sleep(next_pause);
        next_pause = (next_pause * 2).min(BUS_PAUSES.1);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                change = changes.recv() => match change {
                    Some(change) => desk.note(change),
                    None => return,
                },
            }
        }
    }
}

struct BusLost;

struct Session {
    proxy: NotificationsProxy<'static>,
    pressed: ActionInvokedStream,
    closed: NotificationClosedStream,
    owners: zbus::proxy::OwnerChangedStream<'static>,
}

impl Session {
    async fn open() -> zbus::Result<Self> {
        let proxy = NotificationsProxy::new(&Connection::session().await?).await?;
        let (pressed, closed) = (proxy.receive_action_invoked().await?, proxy.receive_notification_closed().await?);
        let owners = proxy.inner().receive_owner_changed().await?;
        Ok(Self { proxy, pressed, closed, owners })
    }
}

/// What is to be on the screen and what is.
struct Desk {
    /// A desktop that has just begun is given so long to bring somebody else who shows notifications.
    patience: Duration,
    not_before: Option<Instant>,
    /// To be shown, and not yet.
    waiting: BTreeMap<Key, Notice>,
    shown: BTreeMap<Key, Shown>,
    commands: mpsc::Sender<Command>,
}

struct Shown {
    id: u32,
    buttons: Vec<(Button, Command)>,
}

impl Desk {
    async fn serve(&mut self, mut session: Session, changes: &mut mpsc::Receiver<Change>) -> Result<(), BusLost> {
        let mut next_pause = SERVICE_PAUSES.0;
        loop {
            self.show_waiting(&mut session).await?;
            if self.waiting.is_empty() {
                next_pause = SERVICE_PAUSES.0;
            }
            tokio::select! {
                // A press closes the notification: whoever looks at its closing first no longer knows what was pressed.
                biased;
                pressed = session.pressed.next() => {
                    let pressed = pressed.ok_or(BusLost)?;
                    if let Ok(arguments) = pressed.args() {
                        self.pressed(arguments.id, &arguments.action);
                    }
                }
                closed = session.closed.next() => {
                    let closed = closed.ok_or(BusLost)?;
                    if let Ok(arguments) = closed.args() {
                        self.shown.retain(|_, shown| shown.id != arguments.id);
                    }
                }
                owner = session.owners.next() => {
                    self.has_owner(&owner.ok_or(BusLost)?);
                }
                change = changes.recv() => match change {
                    Some(Change::Withdraw(key)) => {
                        self.withdraw(&session.proxy, &key).await;
                    }
                    Some(show) => self.note(show),
                    None => {
                        self.withdraw_all(&session.proxy).await;
                        return Ok(());
                    }
                },
                () = sleep_until(self.not_before.unwrap_or_else(Instant::now)), if self.not_before.is_some() => {
                    self.not_before = None;
                }
                () = sleep(next_pause), if !self.waiting.is_empty() => {
                    next_pause = (next_pause * 2).min(SERVICE_PAUSES.1);
                }
            }
        }
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Show(notice) => {
                self.waiting.insert(notice.key.clone(), notice);
            }
            Change::Withdraw(key) => {
                self.waiting.remove(&key);
                self.shown.remove(&key);
            }
        }
    }

    /// Shows what waits. What one of them meets holds up no other, unless the service hangs.
    async fn show_waiting(&mut self, session: &mut Session) -> Result<(), BusLost> {
        if self.waiting.is_empty() || self.not_before.is_some_and(|time| Instant::now() < time) {
            return Ok(());
        }
        let service = match timeout(REPLY_MAX, Service::ask(&session.proxy)).await {
            Ok(Ok(service)) => service,
            Ok(Err(zbus::Error::InputOutput(_))) => return Err(BusLost),
            Ok(Err(error)) => {
                info!(%error, "no notification yet");
                return Ok(());
            }
            Err(_elapsed) => {
                info!("no notification yet: the service does not answer");
                return Ok(());
            }
        };
        // The question may have started the service: what it knows of our notifications is older than those to come.
        while let Some(owner) = session.owners.next().now_or_never() {
            self.has_owner(&owner.ok_or(BusLost)?);
        }
        for (key, notice) in std::mem::take(&mut self.waiting) {
            let replaces = self.shown.get(&key).map_or(0, |shown| shown.id);
            match timeout(REPLY_MAX, service.show(&session.proxy, &notice, replaces)).await {
                Ok(Ok(id)) => {
                    debug!(id, %key, "shown");
                    self.shown.insert(key, Shown { id, buttons: notice.buttons });
                    continue;
                }
                Ok(Err(zbus::Error::InputOutput(_))) => {
                    self.waiting.insert(key, notice);
                    return Err(BusLost);
                }
                Ok(Err(error)) => info!(%error, "no notification yet"),
                Err(_elapsed) => info!("no notification yet: the service does not answer"),
            }
            self.waiting.insert(key, notice);
        }
        Ok(())
    }

    /// A new service counts from one again: an old id may be another program's notification.
    fn has_owner(&mut self, owner: &Option<UniqueName<'_>>) {
        debug!(?owner, "notification service");
        self.shown.clear();
        self.not_before = owner.as_ref().map(|_| Instant::now() + self.patience).filter(|_| !self.patience.is_zero());
    }

    async fn withdraw(&mut self, proxy: &NotificationsProxy<'_>, key: &Key) {
        self.waiting.remove(key);
        if let Some(shown) = self.shown.remove(key) {
            match timeout(REPLY_MAX, proxy.close_notification(shown.id)).await {
                Ok(Ok(())) => debug!(id = shown.id, %key, "withdrawn"),
                // Some services say so when the person was faster.
                Ok(Err(error)) => debug!(%error, "not withdrawn"),
                Err(_elapsed) => debug!("not withdrawn: the service does not answer"),
            }
        }
    }

    async fn withdraw_all(&mut self, proxy: &NotificationsProxy<'_>) {
        let keys: Vec<Key> = self.shown.keys().cloned().collect();
        for key in keys {
            self.withdraw(proxy, &key).await;
        }
    }

    fn pressed(&self, id: u32, action: &str) {
        let Some(shown) = self.shown.values().find(|shown| shown.id == id) else { return };
        let name = if action == DEFAULT { Button::WhatToDo.name() } else { action };
        if let Some((_, command)) = shown.buttons.iter().find(|(button, _)| button.name() == name) {
            // Never waits: whoever carries it out may be waiting for this task.
            if let Err(error) = self.commands.try_send(command.clone()) {
                warn!(%error, "the click was not carried out");
            }
        }
    }
}

/// What the notification service is like.
struct Service {
    capabilities: Vec<String>,
    draws_default: bool,
}

impl Service {
    async fn ask(proxy: &NotificationsProxy<'_>) -> zbus::Result<Self> {
        let capabilities = proxy.get_capabilities().await?;
        let draws_default = proxy.get_server_information().await?.0 == DRAWS_DEFAULT;
        Ok(Self { capabilities, draws_default })
    }

    fn can(&self, what: &str) -> bool {
        self.capabilities.iter().any(|capability| capability == what)
    }

    async fn show(&self, proxy: &NotificationsProxy<'_>, notice: &Notice, replaces: u32) -> zbus::Result<u32> {
        let mut body = notice.body.clone();
        let mut actions = Vec::new();
        if self.can("actions") {
            if !self.draws_default && notice.buttons.iter().any(|(button, _)| *button == Button::WhatToDo) {
                actions.extend([DEFAULT, Button::WhatToDo.label()]);
            }
            actions.extend(notice.buttons.iter().flat_map(|(button, _)| [button.name(), button.label()]));
        } else if !notice.buttons.is_empty() {
            body.push_str("\nThe Backstay menu has more.");
        }
        if self.can("body-markup") {
            body = escape(&body);
        }
        let (icon, urgency) = match notice.severity {
            Severity::Error => ("dialog-error", 2_u8),
            Severity::Warning => ("dialog-warning", 1),
            Severity::Info => ("dialog-information", 1),
        };
        let hints = HashMap::from([
            ("urgency", Value::U8(urgency)),
            ("category", Value::from("device")),
            ("desktop-entry", Value::from("backstay-tray")),
        ]);
        let time = match notice.key.about {
            About::Problem(_) | About::Refusal => LASTING,
            About::Answer | About::Success => FLEETING,
        };
        proxy.notify("Backstay", replaces, icon, &notice.summary, &body, &actions, hints, time).await
    }
}
