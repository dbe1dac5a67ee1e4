//! Start at login: a real `systemd --user`, a plain desktop without systemd, and what the service manager hears.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    process::Output,
    time::Duration,
};

use backstay_tests::{
    binaries::binary,
    desktop::{PrivateBus, TrayHost, UserManager},
    phone::{Phone, PhoneSpec, dataset::DataSetSpec, usbmuxd::Usbmuxd},
    world::{World, eventually, text},
};
use serde_json::Value;
use tokio::process::Command;

const UNIT: &str = "backstay.service";

/// A session, or the end of a test that can't have one here.
macro_rules! session {
    ($bus:expr) => {
        match UserManager::prepare($bus) {
            Ok(session) => session,
            Err(why) => {
                println!("NOT RUN: {why}");
                return;
            }
        }
    };
}

async fn login(session: &UserManager, arguments: &[&str]) -> Output {
    let backstay = session.backstay();
    let words: Vec<&str> = [backstay.to_str().unwrap(), "login"].iter().chain(arguments).copied().collect();
    session.run(&words).await
}

async fn must(session: &UserManager, action: &str) -> String {
    let output = login(session, &[action]).await;
    assert!(output.status.success(), "{action}: {}", text(&output));
    text(&output)
}

async fn status(session: &UserManager) -> (i32, Value) {
    let output = login(session, &["status", "--json"]).await;
    let object = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    (output.status.code().unwrap(), object)
}

/// Every file and link below the user's settings, with its content.
fn settings(home: &Path) -> BTreeMap<String, String> {
    fn walk(folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap().file_type() {
                kind if kind.is_dir() => walk(&path, found),
                kind if kind.is_symlink() => {
                    found.insert(path.display().to_string(), fs::read_link(&path).unwrap().display().to_string());
                }
                _ => {
                    found.insert(path.display().to_string(), fs::read_to_string(&path).unwrap());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&home.join(".config"), &mut found);
    found
}

/// Waits until systemd has started it anew more often than this, and returns how often.
async fn restarts_beyond(session: &UserManager, before: u64) -> u64 {
    eventually("systemd starts it anew", async || {
        let restarts = session.property(UNIT, "NRestarts").await.parse().unwrap();
        (restarts > before).then_some(restarts)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_starts_it_watches_over_it_and_forgets_it() {
    let bus = PrivateBus::start();
    let mut session = session!(&bus);
    session.log_in().await;
    assert_eq!(login(&session, &["status"]).await.status.code(), Some(1));

    must(&session, "enable").await;
    for (name, value) in [("ActiveState", "active"), ("SubState", "running"), ("NRestarts", "0")] {
        assert_eq!(session.property(UNIT, name).await, value, "{name}");
    }
    session.wait_for(UNIT, "StatusText", "Not set up yet").await;
    let (first, process) = (settings(&session.home()), session.property(UNIT, "MainPID").await);
    assert_eq!(first.len(), 3, "a unit, the link that starts it, the companion's entry: {first:?}");
    let again = must(&session, "enable").await;
    assert!(again.contains("as before"), "{again}");
    assert_eq!((settings(&session.home()), session.property(UNIT, "MainPID").await), (first, process.clone()));
    let (code, object) = status(&session).await;
    assert_eq!(code, 0, "{object}");
    assert_eq!((&object["daemon"]["by"], &object["tray"]["by"]), (&"systemd".into(), &"autostart".into()), "{object}");
    assert_eq!(object["running"]["pid"].to_string(), process);

    // A person's own words for the same service, short enough for a test; a machine that is busy elsewhere may let the
    // daemon starve and so have it started once more.
    let own = session.home().join(".config/systemd/user/backstay.service.d/own.conf");
    session.write(&own, "[Service]\nRestartSec=100ms\nWatchdogSec=10s\n");
    session.must(&["systemctl", "--user", "daemon-reload"]).await;
    must(&session, "restart").await;
    session.must(&["systemctl", "--user", "kill", "--kill-whom=main", "--signal=KILL", UNIT]).await;
    let killed = restarts_beyond(&session, 0).await;
    session.wait_for(UNIT, "ActiveState", "active").await;
    // Alive, as far as a process table tells.
    session.must(&["systemctl", "--user", "kill", "--kill-whom=main", "--signal=STOP", UNIT]).await;
    restarts_beyond(&session, killed).await;
    session.wait_for(UNIT, "ActiveState", "active").await;
    assert_eq!(status(&session).await.0, 0);
    fs::remove_file(&own).unwrap();

    // Moved: noticed, and mended by doing it again.
    let moved = session.folder().join("bin/moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(session.backstay(), moved.join("backstay")).unwrap();
    let moved = moved.join("backstay");
    let output = session.run(&[moved.to_str().unwrap(), "login", "status"]).await;
    assert!(output.status.code() == Some(1) && text(&output).contains("is gone"), "{}", text(&output));
    // Forgotten, it is passed over at login.
    session.must(&["systemctl", "--user", "stop", UNIT]).await;
    session.must(&["systemctl", "--user", "start", UNIT]).await;
    for (name, value) in [("ActiveState", "inactive"), ("ConditionResult", "no")] {
        assert_eq!(session.property(UNIT, name).await, value, "{name}");
    }
    let output = session.run(&[moved.to_str().unwrap(), "login", "start"]).await;
    assert!(!output.status.success() && text(&output).contains("is gone"), "{}", text(&output));
    session.must(&[moved.to_str().unwrap(), "login", "enable"]).await;
    session.must(&[moved.to_str().unwrap(), "login", "status"]).await;
    assert!(session.property(UNIT, "ExecStart").await.contains("bin/moved/backstay"));
    fs::rename(moved, session.backstay()).unwrap();

    must(&session, "disable").await;
    assert_eq!(settings(&session.home()), BTreeMap::new());
    assert_eq!(session.processes("backstay").await, [""; 0]);
    assert_eq!(status(&session).await.0, 1);
    let told = must(&session, "disable").await;
    assert!(told.contains("daemon: does not start at login"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_gets_one_daemon_with_its_options_and_a_persons_unit_stays() {
    let bus = PrivateBus::start();
    let mut session = session!(&bus);
    session.log_in().await;

    // Not enabled, and started all the same: by systemd, which outlives whoever asked.
    must(&session, "start").await;
    assert_eq!(session.property(UNIT, "ActiveState").await, "active");
    let root = session.home().join("My \"Backups\" 100% $HOME");
    let output = login(&session, &["enable", "--root", root.to_str().unwrap()]).await;
    assert!(output.status.success(), "{}", text(&output));
    let process = session.property(UNIT, "MainPID").await;
    let words = session.must(&["cat", &format!("/proc/{process}/cmdline")]).await;
    assert_eq!(words.split('\0').nth(2), root.to_str(), "{words:?}");

    // A daemon of somebody else is left alone, and is no reason to try for ever.
    session.must(&["systemctl", "--user", "stop", UNIT]).await;
    let script = format!("{} daemon >/dev/null 2>&1 &", session.backstay().display());
    session.must(&["setsid", "sh", "-c", &script]).await;
    let running = async || status(&session).await.1["running"]["pid"].as_u64();
    let other = eventually("the other daemon runs", running).await;
    let told = must(&session, "enable").await;
    assert!(told.contains("not by systemd"), "{told}");
    assert!(!session.run(&["systemctl", "--user", "start", UNIT]).await.status.success());
    assert_eq!(session.property(UNIT, "ActiveState").await, "failed");
    assert_eq!(session.property(UNIT, "ExecMainStatus").await, "2");
    assert_eq!(session.property(UNIT, "NRestarts").await, "0");
    must(&session, "restart").await;
    assert_eq!(session.property(UNIT, "ActiveState").await, "active");
    assert_ne!(running().await, Some(other));
    must(&session, "disable").await;

    // A package's unit that starts this very executable needs none beside it.
    let packaged = include_str!("../../packaging/systemd/backstay.service");
    let packaged = packaged.replace("/usr/bin/backstay", session.backstay().to_str().unwrap());
    session.install_unit(UNIT, &packaged);
    let told = must(&session, "enable").await;
    assert!(told.contains("/etc/systemd/user/backstay.service"), "{told}");
    let made = settings(&session.home());
    assert!(!made.keys().any(|file| file.ends_with("user/backstay.service")), "{made:?}");
    assert_eq!(status(&session).await.0, 0);
    // With options it does, and without them no more.
    login(&session, &["enable", "--root", root.to_str().unwrap()]).await;
    assert!(settings(&session.home()).keys().any(|file| file.ends_with("user/backstay.service")));
    must(&session, "enable").await;
    assert_eq!(settings(&session.home()), made);
    must(&session, "disable").await;
    assert_eq!(settings(&session.home()), BTreeMap::new());

    // A person's own.
    let own = session.home().join(".config/systemd/user/backstay.service");
    let written =
        format!("[Service]\nExecStart={} daemon\n[Install]\nWantedBy=default.target\n", session.backstay().display());
    session.write(&own, &written);
    let entry = session.home().join(".config/autostart/backstay-tray.desktop");
    session.write(&entry, "[Desktop Entry]\nType=Application\nName=Mine\nExec=backstay-tray\nHidden=true\n");
    let before = settings(&session.home());
    let told = must(&session, "enable").await;
    assert_eq!(told.matches("is your own and stays as it is").count(), 2, "{told}");
    assert_eq!(session.property(UNIT, "ActiveState").await, "active");
    let (code, object) = status(&session).await;
    assert_eq!((code, &object["tray"]["at_login"]), (0, &Value::Bool(false)), "{object}");
    must(&session, "disable").await;
    assert_eq!(settings(&session.home()), before);
    assert_eq!(session.processes("backstay").await, [""; 0]);
}

/// From login on, with nobody at a terminal: the daemon backs up, the icon is there, and a hook may do what its owner may.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_starts_daemon_and_companion() {
    let bus = PrivateBus::start();
    let mut session = session!(&bus);
    let muxer = session.folder().join("muxd");
    fs::create_dir(&muxer).unwrap();
    let usbmuxd = Usbmuxd::start(&muxer).await.unwrap();
    for entry in fs::read_dir(&muxer).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::mixed(61, 100, 1_000_000)));
    usbmuxd.add(&phone);
    phone.pair_with(&usbmuxd).unwrap();
    session.set("USBMUXD_SOCKET_ADDRESS", &usbmuxd.address());
    let told = session.home().join("told");
    let script = format!(
        "(grep NoNewPrivs /proc/self/status; echo \"$BACKSTAY_EVENT $1 $OWN\") >> {} ; tail -f /dev/null > /dev/null 2>&1 &",
        told.display()
    );
    let hook = format!("[hooks]\non_success = [\"sh\", \"-c\", {script:?}, \"sh\", \"$HOME 100%\"]\n");
    session.write(&session.home().join(".config/backstay/config.toml"), &hook);
    let own = session.home().join(".config/systemd/user/backstay.service.d/own.conf");
    session.write(&own, "[Service]\nEnvironment=\"OWN=words of a person\"\n");

    session.log_in().await;
    must(&session, "enable").await;
    session.log_out().await;
    assert_eq!(session.processes("backstay").await, [""; 0]);

    session.log_in().await;
    session.start_desktop().await;
    assert_eq!(session.property(UNIT, "ActiveState").await, "active");
    let host = TrayHost::start(&bus).await;
    host.wait_for_text("No iPhone").await;
    phone.plug_in();
    host.wait_for_text("last backup").await;
    session.wait_for(UNIT, "StatusText", "All backed up").await;
    let (code, object) = status(&session).await;
    assert!(code == 0 && object["tray"]["at_login"] == true, "{object}");

    // The service denies itself much, and its owner's programs nothing.
    let daemon = session.property(UNIT, "MainPID").await;
    let kernel = session.must(&["grep", "-E", "^(NoNewPrivs|Seccomp):", &format!("/proc/{daemon}/status")]).await;
    assert_eq!(kernel, "NoNewPrivs:\t1\nSeccomp:\t2");
    let lines = eventually("the hook ran", async || {
        let text = fs::read_to_string(&told).ok()?;
        (text.lines().count() == 2).then_some(text)
    })
    .await;
    assert_eq!(lines, "NoNewPrivs:\t0\nsuccess $HOME 100% words of a person\n");
    eventually("and leaves a program running", async || (session.processes("tail").await.len() == 1).then_some(()))
        .await;

    let processes =
        async || (session.processes("backstay").await.len(), session.processes("backstay-tray").await.len());
    assert_eq!(processes().await, (1, 1));
    must(&session, "disable").await;
    assert_eq!(processes().await, (0, 0));
    // What a hook left running is its owner's: a file system that it mounted, for one.
    assert_eq!(session.processes("tail").await.len(), 1);
}

/// A desktop without systemd: autostart entries, and a daemon that runs on its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_without_systemd_starts_it_by_entries() {
    let world = World::unpaired(DataSetSpec::empty(1)).await;
    let home = world.folder.path().join("home");
    let login = async |arguments: &[&str]| {
        let mut command = world.command(binary("backstay"));
        command.arg("login").args(arguments);
        let output = command.output().await.unwrap();
        (output.status.code().unwrap(), text(&output))
    };
    assert_eq!(login(&["status"]).await.0, 1);
    let (code, told) = login(&["enable"]).await;
    assert_eq!(code, 0, "{told}");
    let made = settings(&home);
    assert_eq!(made.len(), 2, "{made:?}");
    for file in made.keys() {
        let judged = Command::new("desktop-file-validate").arg(file).output().await.unwrap();
        assert!(judged.status.success() && text(&judged).is_empty(), "{}", text(&judged));
    }
    let (code, told) = login(&["status"]).await;
    assert!(code == 0 && told.contains("by the desktop") && told.contains("the daemon runs"), "{told}");
    let (_, again) = login(&["enable"]).await;
    assert!(again.contains("as before") && again.contains("runs already"), "{again}");
    assert_eq!(settings(&home), made);
    let (code, told) = login(&["restart"]).await;
    assert!(code == 0 && told.contains("runs now"), "{told}");
    let output = world.backstay(&["status"]).await;
    assert!(output.status.success(), "{}", text(&output));

    // Whoever starts it anew, it backs up to where it was told to.
    let roots = ["Backups, all of 100% \"$x\"", "plain"].map(|name| world.folder.path().join(name));
    for (root, again) in roots.iter().zip(["start", "restart"]) {
        let (code, told) = login(&["stop"]).await;
        assert_eq!(code, 0, "{told}");
        assert!(!world.backstay(&["status"]).await.status.success());
        assert_eq!(login(&["enable", "--root", root.to_str().unwrap()]).await.0, 0);
        assert_eq!(login(&["stop"]).await.0, 0);
        let (code, told) = login(&[again]).await;
        assert!(code == 0 && told.contains("runs now"), "{told}");
        let process: String = told.chars().filter(char::is_ascii_digit).collect();
        let words = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
        assert_eq!(words.split('\0').nth(2), root.to_str(), "{words:?}");
    }
    assert_eq!(login(&["enable"]).await.0, 0);

    // Switched off in the desktop's own settings.
    let entry = home.join(".config/autostart/backstay.desktop");
    let off = made[entry.to_str().unwrap()].replace("enabled=true", "enabled=false");
    fs::write(&entry, off).unwrap();
    assert_eq!(login(&["status"]).await.0, 1);

    let (code, told) = login(&["disable"]).await;
    assert!(code == 0 && told.contains("ended the daemon"), "{told}");
    assert_eq!(settings(&home), BTreeMap::new());
    assert!(!world.backstay(&["status"]).await.status.success());
}

/// systemd makes a unit of the companion's entry, also with odd characters in its path.
#[tokio::test(flavor = "multi_thread")]
async fn systemd_makes_a_unit_of_the_entry() {
    let generator = Path::new("/lib/systemd/user-generators/systemd-xdg-autostart-generator");
    if !generator.exists() {
        println!("NOT RUN: this machine lacks {}", generator.display());
        return;
    }
    let world = World::unpaired(DataSetSpec::empty(1)).await;
    let bin = world.folder.path().join("a b");
    fs::create_dir(&bin).unwrap();
    for name in ["backstay", "backstay-tray"] {
        fs::copy(binary(name), bin.join(name)).unwrap();
    }
    let output = world.command(bin.join("backstay")).args(["login", "enable"]).output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let units = world.folder.path().join("units");
    fs::create_dir(&units).unwrap();
    let mut command = world.command(generator);
    command.args([&units, &units, &units]).env("XDG_CONFIG_DIRS", "/nonexistent").env("SYSTEMD_LOG_LEVEL", "info");
    let judged = command.output().await.unwrap();
    assert!(judged.status.success(), "{}", text(&judged));
    let unit = fs::read_to_string(units.join(r"app-backstay\x2dtray@autostart.service")).unwrap();
    let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    assert!(line.contains(bin.join("backstay-tray").to_str().unwrap()), "{line}");
    assert!(world.command(bin.join("backstay")).args(["login", "disable"]).status().await.unwrap().success());
}

/// What packages install, as its readers judge it.
#[tokio::test(flavor = "multi_thread")]
async fn the_texts_are_what_their_readers_want() {
    let folder = tempfile::tempdir().unwrap();
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    // Judged with an executable that is there.
    let unit = fs::read_to_string(packaging.join("systemd/backstay.service")).unwrap();
    let judged = folder.path().join("backstay.service");
    fs::write(&judged, unit.replace("/usr/bin/backstay", binary("backstay").to_str().unwrap())).unwrap();
    if Path::new("/usr/bin/systemd-analyze").exists() {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--user", "--man=no"]).arg(&judged).env("XDG_RUNTIME_DIR", folder.path());
        let output = command.output().await.unwrap();
        // A misspelt key is no error to it, but it says so.
        assert!(output.status.success() && text(&output).is_empty(), "{}", text(&output));
    } else {
        println!("NOT RUN: this machine lacks systemd-analyze");
    }
    let entry = packaging.join("linux/backstay-tray.desktop");
    let output = Command::new("desktop-file-validate").arg(entry).output().await.unwrap();
    assert!(output.status.success() && text(&output).is_empty(), "{}", text(&output));
    for name in ["daemon", "tray"] {
        let read = "import plistlib, sys; print(plistlib.load(open(sys.argv[1], 'rb'))['Label'])";
        let file = packaging.join(format!("launchd/org.backstay.{name}.plist"));
        let output = Command::new("python3").args(["-c", read]).arg(file).output().await.unwrap();
        assert_eq!(text(&output).trim(), format!("org.backstay.{name}"));
    }
}

/// Any service manager of this kind, without systemd.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_of_start_life_and_end() {
    let world = World::unpaired(DataSetSpec::empty(1)).await;
    let place = world.folder.path().join("notify");
    let manager = UnixDatagram::bind(&place).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let hears = move |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("never heard {wanted}: {error}"));
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    let mut command = world.command(binary("backstay"));
    command.arg("--root").arg(world.root()).arg("daemon").env("NOTIFY_SOCKET", &place).env("WATCHDOG_USEC", "200000");
    let mut daemon = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    hears("READY=1");
    // Served from then on.
    assert!(world.backstay(&["status"]).await.status.success());
    hears("WATCHDOG=1");
    hears("WATCHDOG=1");
    let pid = rustix::process::Pid::from_raw(daemon.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    hears("STOPPING=1");
    assert!(daemon.wait().await.unwrap().success());

    // However seldom the manager wants to hear of it: settings that change let it wait no longer.
    let mut command = world.command(binary("backstay"));
    command
        .arg("--root")
        .arg(world.root())
        .arg("daemon")
        .env("NOTIFY_SOCKET", &place)
        .env("WATCHDOG_USEC", "7200000000");
    let mut daemon = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    hears("WATCHDOG=1");
    world.configure("[backup]\nkeep_last = 5\n");
    hears("READY=1");
    hears("WATCHDOG=1");
    daemon.kill().await.unwrap();
}
