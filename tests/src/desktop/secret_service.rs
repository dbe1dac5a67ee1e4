//! A real password store (gnome-keyring) on a private bus.
//!
//! Needs `gnome-keyring-daemon` (Debian package `gnome-keyring`).

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
};

use zbus::{Connection, fdo::DBusProxy, names::BusName, zvariant::ObjectPath};

use super::PrivateBus;
use crate::world::eventually;

/// The name under which desktops have their password store.
const NAME: &str = "org.freedesktop.secrets";

/// A password store that is unlocked; ends when dropped.
pub struct SecretService {
    daemon: Child,
    connection: Connection,
}

impl SecretService {
    /// Starts it on this bus, with its files below `home`.
    ///
    /// # Panics
    /// When gnome-keyring is not installed.
    pub async fn start(bus: &PrivateBus, home: &Path) -> Self {
        let mut daemon = Command::new("gnome-keyring-daemon")
            .args(["--unlock", "--components=secrets", "--foreground"])
            .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home)
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon starts; it is in the package gnome-keyring");
        // Unlocked with this, as at a login.
        daemon.stdin.take().unwrap().write_all(b"login").unwrap();
        let connection = bus.builder().build().await.unwrap();
        let bus = DBusProxy::new(&connection).await.unwrap();
        eventually("the password store is on the bus", async || {
            let name = BusName::try_from(NAME).unwrap();
            bus.name_has_owner(name).await.unwrap().then_some(())
        })
        .await;
        Self { daemon, connection }
    }

    /// Locks it; nobody is there to answer its question for the password.
    pub async fn lock(&self) {
        let login = ObjectPath::try_from("/org/freedesktop/secrets/collection/login").unwrap();
        let (service, path) = ("org.freedesktop.Secret.Service", "/org/freedesktop/secrets");
        let answer =
            self.connection.call_method(Some(NAME), path, Some(service), "Lock", &(vec![login],)).await.unwrap();
        let (locked, _prompt): (Vec<zbus::zvariant::OwnedObjectPath>, zbus::zvariant::OwnedObjectPath) =
            answer.body().deserialize().unwrap();
        assert_eq!(locked.len(), 1, "locked without a question");
    }
}

impl Drop for SecretService {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}
