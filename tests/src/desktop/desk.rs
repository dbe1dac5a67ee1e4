//! A desktop session with the tray companion in it.

use std::{
    cell::Cell,
    os::unix::fs::PermissionsExt,
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
    /// Where the companion finds the programs that open files; as on this computer when none.
    programs: Option<PathBuf>,
}

/// What the desktop was asked to open.
pub struct Opened {
    record: PathBuf,
    seen: Cell<usize>,
}

impl Opened {
    /// The next thing to be opened.
    ///
    /// # Panics
    /// When nothing is within ten seconds.
    pub async fn next(&self) -> PathBuf {
        let opened = async {
            loop {
                let text = std::fs::read_to_string(&self.record).unwrap_or_default();
                // A line that is not written to its end does not count yet.
                if let Some(line) =
                    text.split_inclusive('\n').nth(self.seen.get()).and_then(|line| line.strip_suffix('\n'))
                {
                    self.seen.set(self.seen.get() + 1);
                    return PathBuf::from(line);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT, opened).await.expect("something is opened within ten seconds")
    }
}

impl Desk {
    /// Without a companion yet.
    pub fn new() -> Self {
        Self { bus: PrivateBus::start(), folder: tempfile::tempdir().unwrap(), companion: None, programs: None }
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

    /// From now on nothing is opened but written down.
    pub fn record_what_is_opened(&mut self) -> Opened {
        let record = self.folder.path().join("opened");
        let programs = self.programs_of_ours();
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n", record.display());
        let opener = programs.join("xdg-open");
        std::fs::write(&opener, script).unwrap();
        std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
        Opened { record, seen: Cell::new(0) }
    }

    /// From now on there is no program that opens anything.
    pub fn open_nothing(&mut self) {
        self.programs_of_ours();
    }

    fn programs_of_ours(&mut self) -> PathBuf {
        let programs = self.folder.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        // The shell for the script, and nothing else.
        std::os::unix::fs::symlink("/bin/sh", programs.join("sh")).unwrap();
        self.programs = Some(programs.clone());
        programs
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
        command
            .env("DBUS_SESSION_BUS_ADDRESS", address)
            .env("BACKSTAY_LOG", "backstay_tray=debug,backstay_shared=debug")
            .env("TZ", "UTC");
        // Nothing of this computer's own is seen or touched.
        let home = self.folder.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", self.folder.path()).env("HTTPS_PROXY", "http://127.0.0.1:9");
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME").env_remove("XDG_DATA_HOME");
        if let Some(programs) = &self.programs {
            command.env("PATH", programs);
        }
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        self.companion = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// The companion that runs, so that another can be started beside it.
    pub fn take(&mut self) -> Child {
        self.companion.take().unwrap()
    }

    /// This one is the companion again.
    pub fn put_back(&mut self, companion: Child) {
        self.companion = Some(companion);
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
