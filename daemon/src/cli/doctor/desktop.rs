//! The desktop: its message bus, status bar, notifications and password store. Backups are made without the first three.

use super::finding::Finding;

#[cfg(target_os = "linux")]
pub use linux::Bus;

#[cfg(target_os = "linux")]
mod linux {
    use zbus::{
        Connection,
        fdo::DBusProxy,
        zvariant::{ObjectPath, OwnedObjectPath},
    };

    use super::{
        super::{
            finding::{CHECK_SECONDS_MAX, Check},
            system,
        },
        Finding,
    };

    const TRAY_HOST: &str = "org.kde.StatusNotifierWatcher";
    const NOTIFICATIONS: &str = "org.freedesktop.Notifications";
    const PASSWORD_STORE: &str = "org.freedesktop.secrets";

    /// The bus of the desktop session, or why there is none.
    pub struct Bus(Result<Connection, String>);

    /// A name on the bus.
    #[derive(PartialEq, Eq)]
    enum Service {
        Running,
        /// The bus starts it for the first that asks.
        Startable,
        Absent,
    }

    impl Bus {
        /// Connects, not waiting for ever.
        pub async fn connect() -> Self {
            let connecting = tokio::time::timeout(CHECK_SECONDS_MAX, Connection::session()).await;
            Self(match connecting {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("it does not answer".into()),
            })
        }

        /// What is on it.
        pub async fn look(&self) -> Vec<Finding> {
            let connection = match &self.0 {
                Ok(connection) => connection,
                Err(error) => return without(error),
            };
            let mut findings = vec![Finding::ok(Check::SessionBus, "is there")];
            findings.push(match service(connection, TRAY_HOST).await {
                Service::Running | Service::Startable => Finding::ok(Check::Tray, "shows icons of programs"),
                Service::Absent => Finding::note(Check::Tray, "shows no icons of programs: backstay-tray stays unseen")
                    .mend("on GNOME install the extension AppIndicator: https://extensions.gnome.org/extension/615"),
            });
            findings.push(match service(connection, NOTIFICATIONS).await {
                Service::Running | Service::Startable => Finding::ok(Check::Notifications, "can be shown"),
                Service::Absent => Finding::note(Check::Notifications, "can't be shown: nothing takes them")
                    .mend(system::install("dunst")),
            });
            findings.push(match service(connection, PASSWORD_STORE).await {
                Service::Absent => no_store(),
                Service::Startable => Finding::ok(Check::PasswordStore, "is there"),
                Service::Running if is_locked(connection).await == Some(true) => {
                    Finding::note(Check::PasswordStore, "is locked, and the password of encrypted backups in it")
                        .mend("unlock it, for example in Passwords and Keys (seahorse)")
                        .failure(backstay_shared::health::FailureId::KeyringUnavailable)
                }
                Service::Running => Finding::ok(Check::PasswordStore, "is there and open"),
            });
            findings
        }

        /// Whether it can be asked without a person being asked to unlock it.
        pub async fn password_store_is_open(&self) -> bool {
            let Ok(connection) = &self.0 else { return false };
            let open = async {
                service(connection, PASSWORD_STORE).await == Service::Running
                    && is_locked(connection).await == Some(false)
            };
            tokio::time::timeout(CHECK_SECONDS_MAX, open).await.unwrap_or(false)
        }
    }

    fn without(error: &str) -> Vec<Finding> {
        let nothing = |check| Finding::note(check, "not known without a D-Bus session");
        vec![
            Finding::note(Check::SessionBus, format!("is not there ({error})"))
                .mend(format!("log in to a desktop; without one: {}", system::install("dbus-user-session"))),
            nothing(Check::Tray).mend("needs a desktop; without one: backstay status --watch"),
            nothing(Check::Notifications).mend("needs a desktop; without one: backstay status --watch"),
            no_store(),
        ]
    }

    fn no_store() -> Finding {
        Finding::note(Check::PasswordStore, "none is there to keep the password of encrypted backups")
            .mend(format!(
                "{}, then log in again; without a desktop: backstay backup --once --password-stdin",
                system::install("gnome-keyring")
            ))
            .failure(backstay_shared::health::FailureId::KeyringUnavailable)
    }

    async fn service(connection: &Connection, name: &'static str) -> Service {
        let Ok(bus) = DBusProxy::new(connection).await else { return Service::Absent };
        let names = |names: zbus::fdo::Result<Vec<zbus::names::OwnedBusName>>| {
            names.unwrap_or_default().iter().any(|known| known.as_str() == name)
        };
        if names(bus.list_names().await) {
            Service::Running
        } else if names(bus.list_activatable_names().await) {
            Service::Startable
        } else {
            Service::Absent
        }
    }

    /// The store in which new passwords go. Source: the Secret Service API of freedesktop.org.
    async fn is_locked(connection: &Connection) -> Option<bool> {
        let service = zbus::Proxy::new(
            connection,
            PASSWORD_STORE,
            ObjectPath::from_static_str("/org/freedesktop/secrets").ok()?,
            "org.freedesktop.Secret.Service",
        );
        let collection: OwnedObjectPath = service.await.ok()?.call("ReadAlias", &("default",)).await.ok()?;
        if collection.as_str() == "/" {
            return None;
        }
        let collection =
            zbus::Proxy::new(connection, PASSWORD_STORE, collection, "org.freedesktop.Secret.Collection").await.ok()?;
        collection.get_property("Locked").await.ok()
    }
}

/// Elsewhere these are parts of the system.
#[cfg(not(target_os = "linux"))]
pub struct Bus;

#[cfg(not(target_os = "linux"))]
impl Bus {
    /// There is none.
    pub async fn connect() -> Self {
        Self
    }

    /// Nothing to say.
    pub async fn look(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// It is open while its owner is logged in.
    pub async fn password_store_is_open(&self) -> bool {
        true
    }
}
