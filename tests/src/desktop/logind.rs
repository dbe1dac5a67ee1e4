//! The double of logind, on a bus that stands for the system's: it keeps the computer awake while somebody holds the file
//! that it gave, as the real one does, and tells of sleep.
#![allow(missing_docs, reason = "the D-Bus macros add methods without any")]

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{Arc, Mutex},
};

use tokio::{io::AsyncReadExt, sync::watch, time::timeout};
use zbus::{Connection, fdo, interface, object_server::SignalEmitter, zvariant};

use super::PrivateBus;
use crate::world::{PATIENCE, eventually};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";

/// logind.
pub struct Logind {
    connection: Connection,
    asked: Arc<Mutex<Vec<[String; 4]>>>,
    held: watch::Receiver<usize>,
}

struct Manager {
    asked: Arc<Mutex<Vec<[String; 4]>>>,
    held: watch::Sender<usize>,
    refuses: bool,
}

#[interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    async fn inhibit(&self, what: String, who: String, why: String, mode: String) -> fdo::Result<zvariant::OwnedFd> {
        self.asked.lock().unwrap().push([what, who, why, mode]);
        if self.refuses {
            return Err(fdo::Error::AccessDenied("not for you".into()));
        }
        let (given, kept) = UnixStream::pair().unwrap();
        kept.set_nonblocking(true).unwrap();
        let mut kept = tokio::net::UnixStream::from_std(kept).unwrap();
        self.held.send_modify(|held| *held += 1);
        let held = self.held.clone();
        tokio::spawn(async move {
            // The end comes when the last copy of the other one is closed.
            let ended: io::Result<usize> = kept.read(&mut [0]).await;
            assert_eq!(ended.unwrap(), 0, "nobody writes into it");
            held.send_modify(|held| *held -= 1);
        });
        Ok(OwnedFd::from(given).into())
    }

    #[zbus(signal)]
    async fn prepare_for_sleep(emitter: &SignalEmitter<'_>, begins: bool) -> zbus::Result<()>;
}

impl Logind {
    /// Starts it on this bus.
    pub async fn start(bus: &PrivateBus) -> Self {
        Self::with(bus, false).await
    }

    /// Starts one that keeps nobody's computer awake.
    pub async fn refusing(bus: &PrivateBus) -> Self {
        Self::with(bus, true).await
    }

    async fn with(bus: &PrivateBus, refuses: bool) -> Self {
        let (sender, held) = watch::channel(0);
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let manager = Manager { asked: asked.clone(), held: sender, refuses };
        let builder = bus.builder().serve_at(PATH, manager).unwrap().name(NAME).unwrap();
        Self { connection: builder.build().await.unwrap(), asked, held }
    }

    /// What it was asked for so far: what is kept off, by whom, why, and how.
    pub fn asked(&self) -> Vec<[String; 4]> {
        self.asked.lock().unwrap().clone()
    }

    /// How often the computer is kept awake now.
    pub fn held(&self) -> usize {
        *self.held.borrow()
    }

    /// Waits until it is kept awake so often.
    pub async fn is_held(&self, times: usize) {
        let mut held = self.held.clone();
        let waiting = timeout(PATIENCE, held.wait_for(|held| *held == times)).await;
        drop(waiting.unwrap_or_else(|_| panic!("never held {times} times; asked: {:?}", self.asked())).unwrap());
    }

    /// Waits until somebody listens for its sleep.
    pub async fn is_heard(&self) {
        let rules = async || {
            let (bus, path, stats) =
                ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Debug.Stats");
            let reply =
                self.connection.call_method(Some(bus), path, Some(stats), "GetAllMatchRules", &()).await.unwrap();
            let rules: std::collections::HashMap<String, Vec<String>> = reply.body().deserialize().unwrap();
            rules.values().flatten().any(|rule| rule.contains("PrepareForSleep")).then_some(())
        };
        eventually("somebody listens for sleep", rules).await;
    }

    /// The computer goes to sleep or wakes.
    pub async fn tell_sleep(&self, begins: bool) {
        let emitter = SignalEmitter::new(&self.connection, PATH).unwrap();
        Manager::prepare_for_sleep(&emitter, begins).await.unwrap();
    }
}
