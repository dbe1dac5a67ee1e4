//! The double of a notification service.
#![allow(missing_docs, reason = "the D-Bus macros add methods without any")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};
use zbus::{Connection, interface, object_server::SignalEmitter, zvariant::OwnedValue};

use super::PrivateBus;

/// Longer than the daemon takes to hear of changed settings, and waits for a tray.
const WAIT: Duration = Duration::from_secs(60);

/// What a notification service is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// To show this.
    Shown(Notification),
    /// To take the one with this id away.
    Closed(u32),
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id, given by the service.
    pub id: u32,
    /// The id of the one it replaces, or 0.
    pub replaces: u32,
    /// The title.
    pub summary: String,
    /// The text.
    pub body: String,
    /// Key and label of each button, one after the other.
    pub actions: Vec<String>,
    /// 0 low, 1 normal, 2 critical.
    pub urgency: u8,
}

/// The notification service.
pub struct NotificationHost {
    connection: Connection,
    noted: mpsc::UnboundedReceiver<Noted>,
    open: Arc<Mutex<Vec<u32>>>,
}

struct Service {
    noted: mpsc::UnboundedSender<Noted>,
    next_id: u32,
    open: Arc<Mutex<Vec<u32>>>,
    capabilities: Vec<String>,
}

const PATH: &str = "/org/freedesktop/Notifications";

#[interface(name = "org.freedesktop.Notifications")]
impl Service {
    #[expect(clippy::too_many_arguments, reason = "the specification has them")]
    fn notify(
        &mut self,
        _app: String,
        replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let mut open = self.open.lock().unwrap();
        let id = if open.contains(&replaces) {
            replaces
        } else {
            self.next_id += 1;
            open.push(self.next_id);
            self.next_id
        };
        let urgency = hints.get("urgency").and_then(|value| u8::try_from(value).ok()).unwrap_or(1);
        self.noted.send(Noted::Shown(Notification { id, replaces, summary, body, actions, urgency })).ok();
        id
    }

    async fn close_notification(&self, id: u32, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        let was_open = remove(&self.open, id);
        self.noted.send(Noted::Closed(id)).ok();
        if was_open {
            Self::notification_closed(&emitter, id, 3).await.unwrap();
        }
    }

    fn get_capabilities(&self) -> Vec<String> {
        self.capabilities.clone()
    }

    fn get_server_information(&self) -> (&str, &str, &str, &str) {
        ("double", "backstay", "1", "1.2")
    }

    #[zbus(signal)]
    async fn action_invoked(emitter: &SignalEmitter<'_>, id: u32, action: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn notification_closed(emitter: &SignalEmitter<'_>, id: u32, reason: u32) -> zbus::Result<()>;
}

fn remove(open: &Mutex<Vec<u32>>, id: u32) -> bool {
    let mut open = open.lock().unwrap();
    let before = open.len();
    open.retain(|other| *other != id);
    open.len() < before
}

impl NotificationHost {
    /// A service with buttons and markup, as GNOME and KDE have.
    pub async fn start(bus: &PrivateBus) -> Self {
        Self::with_capabilities(bus, &["actions", "body", "body-markup"]).await
    }

    /// A service that can do these things.
    pub async fn with_capabilities(bus: &PrivateBus, capabilities: &[&str]) -> Self {
        let (sender, noted) = mpsc::unbounded_channel();
        let open = Arc::new(Mutex::new(Vec::new()));
        let capabilities = capabilities.iter().map(|what| (*what).to_owned()).collect();
        let service = Service { noted: sender, next_id: 0, open: open.clone(), capabilities };
        let builder = bus.builder().serve_at(PATH, service).unwrap();
        let connection = builder.name("org.freedesktop.Notifications").unwrap().build().await.unwrap();
        Self { connection, noted, open }
    }

    /// Leaves the bus; what it showed is gone from the screen.
    pub async fn stop(self) {
        self.connection.close().await.unwrap();
    }

    /// The next thing it is asked to do.
    ///
    /// # Panics
    /// When nothing comes within a minute.
    pub async fn next(&mut self) -> Noted {
        timeout(WAIT, self.noted.recv()).await.expect("a notification within a minute").unwrap()
    }

    /// The next notification; those withdrawn before are skipped.
    ///
    /// # Panics
    /// When none comes within a minute.
    pub async fn shown(&mut self) -> Notification {
        loop {
            if let Noted::Shown(notification) = self.next().await {
                return notification;
            }
        }
    }

    /// What it was asked to do besides, and nobody has looked at yet.
    pub fn more(&mut self) -> Vec<Noted> {
        std::iter::from_fn(|| self.noted.try_recv().ok()).collect()
    }

    /// The ids of the notifications on the screen.
    pub fn open(&self) -> Vec<u32> {
        self.open.lock().unwrap().clone()
    }

    /// Presses a button, which takes the notification away too.
    pub async fn press(&self, id: u32, action: &str) {
        let service = self.connection.object_server().interface::<_, Service>(PATH).await.unwrap();
        let emitter = service.signal_emitter();
        Service::action_invoked(emitter, id, action).await.unwrap();
        self.dismiss(id).await;
    }

    /// Puts a notification away.
    pub async fn dismiss(&self, id: u32) {
        remove(&self.open, id);
        let service = self.connection.object_server().interface::<_, Service>(PATH).await.unwrap();
        Service::notification_closed(service.signal_emitter(), id, 2).await.unwrap();
    }
}
