//! A small world: a usbmuxd with phones, a home folder, a backup root, and the programs run in it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use backstay_shared::{
    client::Client,
    overview::{Overview, PhoneOverview},
    protocol::{Reply, Request},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    binaries::binary,
    oracle,
    phone::{
        Phone, PhoneSpec,
        dataset::{DataSetSpec, Mutation},
        usbmuxd::Usbmuxd,
    },
};

/// Generous: foreign clients alone take seconds to start.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Everything a test needs, in folders of its own.
pub struct World {
    pub phone: Phone,
    pub usbmuxd: Usbmuxd,
    pub folder: TempDir,
    /// The private D-Bus, where a test has one.
    pub bus: Option<String>,
    /// The machine that programs run on, where it is not this one.
    #[cfg(target_os = "linux")]
    pub machine: Option<crate::network::Namespace>,
    /// The private D-Bus of the system, where a test has one.
    pub system_bus: Option<String>,
    /// Programs run here obey the modes of files also where root runs the tests.
    pub bound_by_permissions: bool,
}

impl World {
    /// One phone with this data, trusted and plugged in.
    pub async fn new(data: DataSetSpec) -> Self {
        let world = Self::unpaired(data).await;
        world.phone.pair_with(&world.usbmuxd).unwrap();
        world.phone.plug_in();
        world
    }

    /// One phone that is not plugged in and trusts nobody.
    pub async fn unpaired(data: DataSetSpec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["muxd", "home", "runtime", "backups"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let usbmuxd = Usbmuxd::start(&folder.path().join("muxd")).await.unwrap();
        let phone = Phone::new(PhoneSpec::numbered(1, data));
        usbmuxd.add(&phone);
        Self {
            phone,
            usbmuxd,
            folder,
            bus: None,
            system_bus: None,
            #[cfg(target_os = "linux")]
            machine: None,
            bound_by_permissions: false,
        }
    }

    /// The folder that holds the backups.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    /// The phone's latest backup.
    pub fn latest(&self) -> PathBuf {
        self.root().join(self.phone.udid())
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("runtime/backstay/daemon.sock")
    }

    /// A program in this world, killed when it is dropped.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let program = program.as_ref();
        #[cfg(target_os = "linux")]
        let machine = self.machine.as_ref().map(|machine| machine.name().to_owned());
        #[cfg(not(target_os = "linux"))]
        let machine: Option<String> = None;
        let mut command = if let Some(machine) = machine {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &machine]).arg(program);
            command
        } else if self.bound_by_permissions {
            let mut command = Command::new("setpriv");
            command.arg("--bounding-set=-dac_override,-dac_read_search").arg(program);
            command
        } else {
            Command::new(program)
        };
        let home = self.folder.path().join("home");
        command
            .env("USBMUXD_SOCKET_ADDRESS", self.usbmuxd.address())
            .env("XDG_RUNTIME_DIR", self.folder.path().join("runtime"))
            .env("HOME", home)
            // Tests ask nobody outside: whatever is not on this computer is refused at once.
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            // The computer that runs the tests is not kept awake, and its sleep is nobody's.
            .env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", self.folder.path().join("no-system-bus").display()))
            .env_remove("INVOCATION_ID")
            .kill_on_drop(true);
        if let Some(bus) = &self.system_bus {
            command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        }
        if let Some(bus) = &self.bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", bus);
        }
        command
    }

    /// Writes the settings.
    pub fn configure(&self, text: &str) {
        let folder = self.folder.path().join("home/.config/backstay");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), text).unwrap();
    }

    /// Runs `backstay` to its end.
    pub async fn backstay(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(binary("backstay"));
        let needs_no_daemon = ["--once", "daemon", "history", "verify", "prune", "extract", "restore", "encryption"];
        if arguments.iter().any(|argument| needs_no_daemon.contains(argument)) && !arguments.contains(&"--root") {
            command.arg("--root").arg(self.root());
        }
        command.args(arguments);
        timeout(PATIENCE, command.output()).await.expect("backstay hangs").unwrap()
    }

    /// `backstay backup --once --json`; the exit code and the last object.
    pub async fn back_up_once(&self) -> (i32, Value) {
        let output = self.backstay(&["backup", "--once", "--json"]).await;
        let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
        let object = serde_json::from_str(&last).unwrap_or_else(|_| panic!("no object: {}", text(&output)));
        (output.status.code().expect("killed"), object)
    }

    /// Starts the daemon and waits until it answers.
    pub async fn daemon(&self) -> Daemon {
        let root = self.root();
        self.daemon_with(&["--root".as_ref(), root.as_os_str()]).await
    }

    /// Starts the daemon with these arguments and waits until it answers.
    pub async fn daemon_with(&self, arguments: &[&OsStr]) -> Daemon {
        self.daemon_in(&[], arguments).await
    }

    /// Starts the daemon with these variables and arguments and waits until it answers.
    pub async fn daemon_in(&self, variables: &[(&str, &str)], arguments: &[&OsStr]) -> Daemon {
        let mut command = self.command(binary("backstay"));
        command
            .envs(variables.iter().copied())
            .args(arguments)
            .arg("daemon")
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        if std::env::var_os("BACKSTAY_TEST_LOG").is_some() {
            command.stderr(Stdio::inherit()).env("BACKSTAY_LOG", "backstay=debug,warn");
        } else {
            command.stderr(Stdio::null());
        }
        let daemon = Daemon { child: command.spawn().unwrap(), socket: self.socket() };
        eventually("the daemon answers", async || daemon.overview().await.is_some().then_some(())).await;
        daemon
    }

    /// Judges the latest backup by the phone's data, byte by byte.
    pub fn judge(&self) {
        oracle::check_backup(&self.latest(), &self.phone.data()).unwrap();
    }

    /// The phone's owner used it.
    pub fn change(&self) {
        self.phone.mutate(Mutation::Change { count: 20 });
        self.phone.mutate(Mutation::Add { count: 30, size: 5000 });
        self.phone.mutate(Mutation::Remove { count: 40 });
    }
}

/// A daemon under test; killed when it is dropped.
pub struct Daemon {
    pub child: Child,
    socket: PathBuf,
}

impl Daemon {
    /// What it shows now; none when it does not answer.
    pub async fn overview(&self) -> Option<Overview> {
        let mut client = Client::connect(&self.socket).await.ok()?;
        match client.request(Request::Overview).await.ok()? {
            Reply::Overview { overview, .. } => Some(*overview),
            _ => None,
        }
    }

    /// Waits until what it shows is as wanted; returns what `wanted` made of it.
    pub async fn shows<T>(&self, what: &str, wanted: impl Fn(&Overview) -> Option<T>) -> T {
        let mut client = Client::connect(&self.socket).await.expect("the daemon answers");
        client.send(Request::Subscribe).await.unwrap();
        let mut last = None;
        let found = timeout(PATIENCE, async {
            loop {
                let overview = client.overview().await.expect("the daemon goes on");
                if let Some(found) = wanted(&overview) {
                    return found;
                }
                last = Some(overview);
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("never: {what}; last shown: {last:#?}"),
        }
    }

    /// Waits until the only phone is as wanted.
    pub async fn phone_shows<T>(&self, what: &str, wanted: impl Fn(&PhoneOverview) -> Option<T>) -> T {
        self.shows(what, |overview| overview.phones.first().and_then(&wanted)).await
    }

    /// What it has used of the processor.
    pub fn processor_time(&self) -> Duration {
        processor_time(self.child.id().unwrap())
    }

    /// `kill -9`
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the daemon ends").unwrap();
        assert!(status.success(), "{status}");
    }
}

/// Asks again and again, for things that have no event; returns the answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// The last backup was so long ago.
pub fn age_receipts(world: &World, age: chrono::Duration) {
    let folder = world.root().join(".backstay").join(world.phone.udid()).join("receipts");
    let receipts: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!receipts.is_empty());
    for path in receipts {
        let mut receipt: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        receipt["verified_at"] = (chrono::Utc::now() - age).to_rfc3339().into();
        std::fs::write(&path, receipt.to_string()).unwrap();
    }
}

/// What a process has used of the processor.
pub fn processor_time(pid: u32) -> Duration {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // After the name in brackets: fields 14 and 15 of proc(5), in hundredths of a second.
    let fields: Vec<&str> = status.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Peak resident memory of the child, read from /proc while it runs.
pub async fn watch_memory(pid: u32) -> u64 {
    let mut peak = 0;
    while let Ok(status) = tokio::fs::read_to_string(format!("/proc/{pid}/status")).await {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(kib) = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok()) else { break };
        peak = peak.max(kib * 1024);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    peak
}

/// What a program printed.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Everything below a folder, to compare byte by byte.
pub fn frozen(folder: &Path) -> std::collections::BTreeMap<String, (u64, blake3::Hash)> {
    oracle::snapshot_tree(folder).unwrap()
}
