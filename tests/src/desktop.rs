//! A desktop for tests: a private bus, the status bar and the notification service on it.
//!
//! Needs `dbus-daemon` (Debian package of that name), no screen; [`Screen`] makes one. Every test has a bus of its own.

mod desk;
mod logind;
mod notification_host;
mod overheard;
mod panel_menu;
mod picture;
mod screen;
mod secret_service;
mod tray_host;
mod user_manager;

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use zbus::connection;

pub use desk::{Desk, Opened};
pub use logind::Logind;
pub use notification_host::{Noted, Notification, NotificationHost};
pub use overheard::Overheard;
pub use panel_menu::PanelMenu;
pub use picture::{Area, Picture};
pub use screen::{Look, Screen};
pub use secret_service::SecretService;
pub use tray_host::{Changes, MenuLine, Pixmap, TrayHost};
pub use user_manager::UserManager;

/// How long anything is waited for.
const WAIT: Duration = Duration::from_secs(10);

/// No service folders, so that no installed service is started by accident.
const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=FOLDER/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"#;

/// A message bus that nobody else uses; ends when dropped.
pub struct PrivateBus {
    address: String,
    daemon: Child,
    folder: TempDir,
}

impl PrivateBus {
    /// Starts it.
    ///
    /// # Panics
    /// When `dbus-daemon` is not installed.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        // Also for programs that a test runs as another user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join("bus.conf"), BUS_CONFIG.replace("FOLDER", path)).unwrap();
        Self { address: format!("unix:path={path}/bus"), daemon: dbus_daemon(&folder), folder }
    }

    /// Ends it as a crash would, and everybody's connection with it.
    pub fn stop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
        std::fs::remove_file(self.folder.path().join("bus")).unwrap();
    }

    /// Starts it again at the same address after [`Self::stop`].
    pub fn restart(&mut self) {
        self.daemon = dbus_daemon(&self.folder);
    }

    /// For `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn builder(&self) -> connection::Builder<'_> {
        connection::Builder::address(self.address()).unwrap()
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

/// Returns when it listens.
fn dbus_daemon(folder: &TempDir) -> Child {
    let mut daemon = Command::new("dbus-daemon")
        .arg(format!("--config-file={}", folder.path().join("bus.conf").display()))
        .args(["--nofork", "--print-address=1"])
        .stdout(Stdio::piped())
        // As root in a container it complains about limits that do not matter here.
        .stderr(Stdio::null())
        .spawn()
        .expect("dbus-daemon starts; it is in the package dbus-daemon");
    let mut address = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
    assert!(address.starts_with("unix:"), "dbus-daemon did not start");
    daemon
}
