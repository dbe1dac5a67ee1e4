//! A desktop session with the tray companion in it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use backstay_shared::overview::Overview;
use tempfile::TempDir;

use super::{PrivateBus, WAIT};
use crate::{binaries::binary, fake_daemon::FakeDaemon, world::processor_time};

/// A desktop session with the companion in it; each test has its own.
pub struct Desk {
    /// Its bus, for the doubles.
    pub bus: PrivateBus,
    folder: TempDir,
    companion: Option<Child>,
}

impl Desk {
    /// Without a companion yet.
    pub fn new() -> Self {
        Self { bus: PrivateBus::start(), folder: tempfile::tempdir().unwrap(), companion: None }
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the companion looks for the daemon.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("daemon.sock")
    }

    /// A fake daemon where the companion looks for it.
    pub fn daemon(&self, overview: Overview) -> FakeDaemon {
        FakeDaemon::start(&self.socket(), overview)
    }

    /// Starts the companion on this desktop.
    pub fn start(&mut self) {
        let address = self.bus.address().to_owned();
        self.start_on_bus(&address);
    }

    /// Starts the companion with another address for the bus.
    pub fn start_on_bus(&mut self, address: &str) {
        let mut command = Command::new(binary("backstay-tray"));
        command.arg("--socket").arg(self.socket());
        command.env("DBUS_SESSION_BUS_ADDRESS", address).env("BACKSTAY_LOG", "backstay_tray=debug").env("TZ", "UTC");
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        self.companion = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// The companion's log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until the log contains this text.
    pub async fn wait_for_log(&self, text: &str) {
        let logged = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT, logged).await.unwrap();
    }

    /// Whether the companion runs.
    pub fn is_running(&mut self) -> bool {
        self.companion.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// What the companion has used of the processor.
    pub fn processor_time(&self) -> Duration {
        processor_time(self.companion.as_ref().unwrap().id())
    }

    /// Waits until the companion has ended, and says how.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut companion = self.companion.take().unwrap();
        tokio::task::spawn_blocking(move || companion.wait().unwrap()).await.unwrap()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(companion) = &mut self.companion {
            companion.kill().unwrap();
            companion.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("the companion's log:\n{}", self.log());
        }
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}
