//! A screen that nobody sees, with a real panel and a real notification service on it: Xvfb, openbox, Xfce's.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use zbus::{Connection, fdo::DBusProxy};

use super::{Area, Picture, PrivateBus};

/// How long anything is waited for. Toolkits start slowly on a busy computer.
const WAIT: Duration = Duration::from_secs(20);
/// How often the screen is looked at.
const LOOK: Duration = Duration::from_millis(40);
/// So many looks in a row at the same picture: nothing is being drawn any more.
const LOOKS_ALIKE: u32 = 4;

const SCREEN: &str = "900x500x24";

/// One panel at the top with nothing but the status bar at its right end.
const PANEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="DARK"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="30"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/><value type="int" value="2"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="separator">
      <property name="expand" type="bool" value="true"/>
      <property name="style" type="uint" value="0"/>
    </property>
    <property name="plugin-2" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
    </property>
  </property>
</channel>
"#;

/// Notifications that stay, at once and opaque.
const NOTIFYD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-notifyd" version="1.0">
  <property name="do-fadeout" type="bool" value="false"/>
  <property name="do-slideout" type="bool" value="false"/>
  <property name="initial-opacity" type="double" value="1.0"/>
  <property name="expire-timeout" type="int" value="-1"/>
</channel>
"#;

/// Light or dark panels and windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Dark text on light ground.
    Light,
    /// Light text on dark ground.
    Dark,
}

/// The screen and the programs on it; they end when it is dropped.
pub struct Screen {
    display: String,
    programs: Vec<Child>,
    folder: TempDir,
}

impl Screen {
    /// What of the programs it needs is not on this computer.
    pub fn missing() -> Vec<&'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
        let mut missing: Vec<&str> =
            ["Xvfb", "openbox", "xfce4-panel", "xdotool"].into_iter().filter(|name| !found(name)).collect();
        missing.extend([NOTIFYD_PROGRAM, XFCONFD].into_iter().filter(|name| library_program(name).is_none()));
        missing
    }

    /// Starts them; returns when the panel and the notification service are at work.
    pub async fn start(bus: &PrivateBus, look: Look) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let channels = folder.path().join("config/xfce4/xfconf/xfce-perchannel-xml");
        std::fs::create_dir_all(&channels).unwrap();
        let dark = if look == Look::Dark { "true" } else { "false" };
        std::fs::write(channels.join("xfce4-panel.xml"), PANEL.replace("DARK", dark)).unwrap();
        std::fs::write(channels.join("xfce4-notifyd.xml"), NOTIFYD).unwrap();

        let mut server = Command::new("Xvfb");
        server.args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", SCREEN]);
        // The empty desktop: white or black.
        server.arg(if look == Look::Dark { "-br" } else { "-wr" });
        server.arg("-fbdir").arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = server.spawn().unwrap();
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        let mut screen = Self { display: format!(":{}", number.trim()), programs: vec![server], folder };

        let connection = bus.builder().build().await.unwrap();
        for (program, arguments, name) in [
            (library_program(XFCONFD).unwrap(), None, "org.xfce.Xfconf"),
            ("openbox".into(), None, ""),
            ("xfce4-panel".into(), Some("--disable-wm-check"), "org.kde.StatusNotifierWatcher"),
            (library_program(NOTIFYD_PROGRAM).unwrap(), None, "org.freedesktop.Notifications"),
        ] {
            let program = screen.command(&program, bus, look).args(arguments).spawn().unwrap();
            screen.programs.push(program);
            if !name.is_empty() {
                owned(&connection, name).await;
            }
        }
        screen
    }

    fn command(&self, program: &Path, bus: &PrivateBus, look: Look) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("DISPLAY", &self.display).env("DBUS_SESSION_BUS_ADDRESS", bus.address());
        command.env_remove("WAYLAND_DISPLAY").env_remove("XAUTHORITY").env("LC_ALL", "C.UTF-8");
        for (name, folder) in
            [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data")]
        {
            let folder = self.folder.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            command.env(name, folder);
        }
        // No service but ours is on this bus: not for reading aloud, not for settings.
        command.env("NO_AT_BRIDGE", "1").env("GTK_A11Y", "none").env("GSETTINGS_BACKEND", "memory");
        command.env("GTK_THEME", if look == Look::Dark { "Adwaita:dark" } else { "Adwaita" });
        command
    }

    /// What is on it now.
    pub fn picture(&self) -> Picture {
        Picture::of_dump(&std::fs::read(self.folder.path().join("Xvfb_screen0")).unwrap())
    }

    /// Waits until something is as wanted; returns what `wanted` made of the picture.
    ///
    /// # Panics
    /// When it never is; the picture is kept for whoever looks into it.
    pub async fn shows<T>(&self, what: &str, wanted: impl Fn(&Picture) -> Option<T>) -> T {
        let end = Instant::now() + WAIT;
        loop {
            let picture = self.picture();
            if let Some(found) = wanted(&picture) {
                return found;
            }
            if Instant::now() > end {
                let path = std::env::temp_dir().join("backstay-screen.png");
                picture.save(&path);
                panic!("never on the screen: {what}; see {}", path.display());
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until something is as wanted and nothing is drawn any more; returns that picture and what `wanted` made
    /// of it.
    pub async fn settles<T>(&self, what: &str, wanted: impl Fn(&Picture) -> Option<T>) -> (Picture, T) {
        let last = std::cell::RefCell::new((None, 0));
        self.shows(what, |picture| {
            let mut last = last.borrow_mut();
            last.1 = if last.0.as_ref() == Some(picture) { last.1 + 1 } else { 0 };
            last.0 = Some(picture.clone());
            if last.1 < LOOKS_ALIKE {
                return None;
            }
            wanted(picture).map(|found| (picture.clone(), found))
        })
        .await
    }

    /// What a hand does: `xdotool` with these words.
    pub fn hand(&self, words: &[&str]) -> String {
        let output = Command::new("xdotool").args(words).env("DISPLAY", &self.display).output().unwrap();
        // A search that finds nothing fails, too.
        assert!(output.status.success() || words[0] == "search", "xdotool {words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Moves the pointer there.
    pub fn point(&self, (column, row): (usize, usize)) {
        self.hand(&["mousemove", &column.to_string(), &row.to_string()]);
    }

    /// Presses a mouse button there: 1 is the left one, 3 the right one.
    pub fn click(&self, (column, row): (usize, usize), button: u8) {
        self.hand(&["mousemove", &column.to_string(), &row.to_string(), "click", &button.to_string()]);
    }

    /// The windows of this class that are seen, with their places.
    pub fn windows(&self, class: &str) -> Vec<Area> {
        let ids = self.hand(&["search", "--onlyvisible", "--class", class]);
        let geometry = |id: &str| {
            let text = self.hand(&["getwindowgeometry", "--shell", id]);
            let field = |name: &str| {
                let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
                value.unwrap().parse::<i32>().unwrap().max(0) as usize
            };
            Area { left: field("X"), top: field("Y"), width: field("WIDTH"), height: field("HEIGHT") }
        };
        ids.lines().map(geometry).collect()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().rev() {
            program.kill().unwrap();
            program.wait().unwrap();
        }
    }
}

const XFCONFD: &str = "xfce4/xfconf/xfconfd";
const NOTIFYD_PROGRAM: &str = "xfce4/notifyd/xfce4-notifyd";

/// A program in the folder of libraries, whose name has the computer's architecture in it.
fn library_program(name: &str) -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    folders
        .chain(["/usr/lib".into(), "/usr/libexec".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

async fn owned(connection: &Connection, name: &str) {
    let bus = DBusProxy::new(connection).await.unwrap();
    let end = Instant::now() + WAIT;
    while !bus.name_has_owner(name.try_into().unwrap()).await.unwrap() {
        assert!(Instant::now() < end, "nobody on the bus is {name}");
        sleep(LOOK).await;
    }
}
