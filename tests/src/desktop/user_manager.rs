//! A login session of an ordinary user: a real `systemd --user`, whatever runs this machine.
//!
//! It lives in mount, process and control groups of its own, which needs root, and runs as a user without privileges.
//! All of it ends with the test, however that ends: the first process of its space reads from a pipe of the test.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::timeout;

use super::PrivateBus;
use crate::{
    binaries::binary,
    world::{PATIENCE, eventually, text},
};

/// Nobody: it owns nothing on the machine.
const USER: u32 = 65534;

const SYSTEMD: [&str; 2] = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];

/// What the session sees in place of the machine's own: systemd in charge, and the test's bus. systemd goes onto a bus
/// when units of these names run.
const SPACE: &str = r#"
mount -t tmpfs tmpfs /run/systemd
mkdir /run/systemd/system
mount -t tmpfs tmpfs /etc/systemd/user
cd /etc/systemd/user
printf '[Socket]\nListenStream=%%t/stands-for-the-bus\n' > dbus.socket
printf '[Unit]\nRequires=dbus.socket\nAfter=dbus.socket\n[Service]\nExecStart=sleep infinity\n' > dbus.service
mkdir default.target.wants
ln -s ../dbus.service default.target.wants
echo ready
# As the first process the shell also buries the orphans.
cat
exit
"#;

/// A desktop as session units describe one: what starts it starts the autostart entries.
const DESKTOP: &str = "[Unit]\nDescription=A desktop\nBindsTo=graphical-session.target\n\
    Wants=xdg-desktop-autostart.target\nBefore=xdg-desktop-autostart.target\n";

/// A user's session, ended when dropped.
pub struct UserManager {
    folder: TempDir,
    space: Child,
    /// The first process of the space.
    first: String,
    groups: Vec<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    manager: Option<Child>,
}

impl UserManager {
    /// Makes a place for the session, with both executables in it; nobody has logged in yet.
    ///
    /// # Errors
    /// With what this machine lacks for it.
    ///
    /// # Panics
    /// When it should work and does not.
    pub fn prepare(bus: &PrivateBus) -> Result<Self, String> {
        missing()?;
        let folder = tempfile::tempdir().unwrap();
        let groups = groups(&folder)?;
        fs::create_dir_all("/run/systemd").unwrap();
        fs::create_dir_all("/etc/systemd/user").unwrap();
        let mut space = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--mount-proc", "--propagation=private", "sh", "-ec", SPACE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(space.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "the space for the session could not be made");
        let parent = space.id();
        let first = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap().trim().to_owned();
        for name in ["home", "run", "bin"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            chown(folder.path().join(name), Some(USER), Some(USER)).unwrap();
        }
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(folder.path(), 0o755);
        mode(&folder.path().join("run"), 0o700);
        let bin = folder.path().join("bin");
        for name in ["backstay", "backstay-tray"] {
            fs::copy(binary(name), bin.join(name)).unwrap();
        }
        let (home, run) = (folder.path().join("home"), folder.path().join("run"));
        let path: &OsStr = "/usr/bin:/bin:/usr/sbin:/sbin".as_ref();
        let environment: Vec<(&str, &OsStr)> = vec![
            ("HOME", home.as_ref()),
            ("XDG_RUNTIME_DIR", run.as_ref()),
            ("DBUS_SESSION_BUS_ADDRESS", bus.address().as_ref()),
            ("PATH", path),
            // Nothing of what this machine starts for its own users.
            ("XDG_CONFIG_DIRS", "/nonexistent".as_ref()),
            ("XDG_CURRENT_DESKTOP", "XFCE".as_ref()),
            ("HTTPS_PROXY", "http://127.0.0.1:9".as_ref()),
        ];
        let environment = environment.iter().map(|(name, value)| (name.into(), (*value).to_owned())).collect();
        Ok(Self { folder, space, first, groups, environment, manager: None })
    }

    /// Sets a variable of the session.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.into(), value.into()));
    }

    /// A folder that everybody may enter.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The user's home.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The installed `backstay`.
    pub fn backstay(&self) -> PathBuf {
        self.folder.path().join("bin/backstay")
    }

    /// Makes a file or folder the user's.
    pub fn give(&self, path: &Path) {
        chown(path, Some(USER), Some(USER)).unwrap();
    }

    /// Writes a file as the user would.
    pub fn write(&self, path: &Path, text: &str) {
        let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        missing.into_iter().for_each(|folder| self.give(folder));
        fs::write(path, text).unwrap();
        self.give(path);
    }

    /// Puts a unit where the administrator's are.
    pub fn install_unit(&self, name: &str, text: &str) {
        let mut command = self.in_space();
        command.args(["sh", "-c", "printf %s \"$2\" > \"/etc/systemd/user/$1\"", "sh", name, text]);
        assert!(command.status().unwrap().success());
    }

    fn in_space(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--"]);
        command
    }

    fn as_user(&self, command: &mut Command) {
        let user = USER.to_string();
        command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
    }

    /// Logs in: systemd reads its units and starts `default.target`, and with it what login starts.
    pub async fn log_in(&mut self) {
        self.install_unit("desktop.target", DESKTOP);
        let mut command = self.in_space();
        let enter = self.groups.iter().map(|group| format!("echo $$ > {}/cgroup.procs\n", group.display()));
        let script = enter.collect::<String>() + "exec \"$@\"";
        command.args(["sh", "-ec", &script, "sh"]);
        self.as_user(&mut command);
        let systemd = SYSTEMD.iter().find(|path| Path::new(path).exists()).unwrap();
        let log = fs::File::create(self.folder.path().join("systemd.log")).unwrap();
        command.args([systemd, "--user"]).env_clear().envs(self.environment.iter().cloned());
        self.manager = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let socket = self.folder.path().join("run/systemd/private");
        eventually("the user's systemd answers", async || UnixStream::connect(&socket).ok().map(drop)).await;
        // Degraded is what a unit of this machine may make it; the test asks for its own units.
        drop(self.run(&["systemctl", "--user", "is-system-running", "--wait"]).await);
    }

    /// Starts the desktop, and so what its autostart entries name.
    pub async fn start_desktop(&self) {
        self.must(&["systemctl", "--user", "start", "desktop.target"]).await;
    }

    /// Logs out: everything of the session ends.
    pub async fn log_out(&mut self) {
        self.must(&["systemctl", "--user", "start", "--no-block", "exit.target"]).await;
        let mut manager = self.manager.take().unwrap();
        eventually("the user's systemd ends", async || manager.try_wait().unwrap()).await;
    }

    /// Runs a program in the session to its end, as the user.
    pub async fn run(&self, words: &[&str]) -> Output {
        let mut command = self.in_space();
        self.as_user(&mut command);
        command.args(words).env_clear().envs(self.environment.iter().cloned());
        let mut command = tokio::process::Command::from(command);
        command.current_dir(self.folder.path()).kill_on_drop(true).stdin(Stdio::null());
        timeout(PATIENCE, command.output()).await.unwrap_or_else(|_| panic!("{words:?} hangs")).unwrap()
    }

    /// The same, and it succeeds; returns what it printed.
    pub async fn must(&self, words: &[&str]) -> String {
        let output = self.run(words).await;
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A property of a unit.
    pub async fn property(&self, unit: &str, name: &str) -> String {
        self.must(&["systemctl", "--user", "show", "--value", &format!("--property={name}"), unit]).await
    }

    /// Waits until a property is so.
    pub async fn wait_for(&self, unit: &str, name: &str, value: &str) {
        let what = format!("{name} of {unit} is {value}");
        eventually(&what, async || (self.property(unit, name).await == value).then_some(())).await;
    }

    /// The process ids, as the session sees them, of everything that runs by this name.
    pub async fn processes(&self, name: &str) -> Vec<String> {
        let output = self.run(&["pgrep", "--exact", name]).await;
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for UserManager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let of_daemon = fs::read_dir(self.home().join(".local/state/backstay")).into_iter().flatten().flatten();
            for log in of_daemon.map(|entry| entry.path()).chain([self.folder.path().join("systemd.log")]) {
                let text = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("{}:\n{}", log.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
        // Its end of the pipe closes: the first process of the space ends, and takes all others with it.
        drop(self.space.stdin.take());
        drop(self.space.wait());
        drop(self.manager.as_mut().map(Child::wait));
        let began = Instant::now();
        for group in &self.groups {
            while !remove_group(group) && began.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Control groups go from the innermost outwards, as soon as nobody is in them. True when it is gone.
fn remove_group(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}

fn missing() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("this machine lacks root".into());
    }
    if !SYSTEMD.iter().any(|path| Path::new(path).exists()) {
        return Err("this machine lacks systemd".into());
    }
    let unshared = Command::new("unshare").args(["--mount", "--pid", "--fork", "--mount-proc", "true"]).output();
    match unshared {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("no process and mount space of its own: {}", text(&output).trim())),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// One control group in each hierarchy that systemd uses, owned by the user.
fn groups(folder: &TempDir) -> Result<Vec<PathBuf>, String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = match root.join("cgroup.controllers").exists() {
        true => vec![root.to_owned()],
        false => ["systemd", "unified"].map(|name| root.join(name)).into_iter().filter(|path| path.is_dir()).collect(),
    };
    let name = format!("backstay-test-{}", folder.path().file_name().unwrap().to_string_lossy());
    let mut groups = Vec::new();
    for hierarchy in hierarchies {
        let group = hierarchy.join(&name);
        fs::create_dir(&group).map_err(|error| format!("no control group of its own: {error}"))?;
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"] {
            let file = group.join(file);
            if file.exists() {
                chown(file, Some(USER), Some(USER)).unwrap();
            }
        }
        groups.push(group);
    }
    if groups.is_empty() {
        return Err("this machine lacks control groups".into());
    }
    Ok(groups)
}
