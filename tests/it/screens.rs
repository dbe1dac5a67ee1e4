//! The tray companion on a real panel with a real notification service, as a person sees it, with pictures.
//!
//! The pictures are in `target/screens`; with `BACKSTAY_KEEP_SCREENS=1` also in `packaging/screens`, for the README.

use std::path::{Path, PathBuf};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::{RunId, Udid},
    overview::{Activity, EndedRun, LastGood, Overview, Pause, Phase, PhoneOverview, Problem, Progress},
    protocol::Request,
};
use backstay_tests::desktop::{Area, Desk, Look, Overheard, PanelMenu, Picture, Screen, TrayHost};
use chrono::{TimeDelta, Utc};

const FULL: FailureId = FailureId::HostDiskFull;

/// Of the screen: the panel, what is below it, and where the pointer is out of the way.
const PANEL: Area = Area { left: 0, top: 0, width: 900, height: 30 };
const DESKTOP: Area = Area { left: 0, top: 31, width: 900, height: 430 };
const REST: (usize, usize) = (4, 480);

/// The colours of the phones in `tray/icons`.
const OFFLINE: [u8; 3] = [0x74, 0x74, 0x79];
const NEEDS_YOU: [u8; 3] = [0xb4, 0x5f, 0x00];
const FINE: [u8; 3] = [0x1b, 0x80, 0x40];
const PAUSED: [u8; 3] = [0x6f, 0x70, 0x82];
const WORKING: [u8; 3] = [0x1a, 0x6f, 0xdc];
const FAILED: [u8; 3] = [0xd9, 0x2b, 0x36];
/// The ground of a selected entry, by the theme.
const SELECTED: [u8; 3] = [0x35, 0x84, 0xe4];

fn udid() -> Udid {
    "00008120-001A2D3E0C40201E".parse().unwrap()
}

fn phone() -> PhoneOverview {
    PhoneOverview {
        udid: udid(),
        name: "Anna's iPhone".to_owned(),
        model: None,
        ios: None,
        link: None,
        wifi_allowed: None,
        activity: Activity::Idle,
        last_good: Some(LastGood { at: Utc::now(), files: 41_230, bytes: 58_000_000_000 }),
        next_due: Some(Utc::now() + TimeDelta::hours(20)),
        next_due_reason: None,
        last_run: None,
        problems: Vec::new(),
        turned_off: false,
        earlier: None,
    }
}

fn of(phone: PhoneOverview) -> Overview {
    Overview { phones: vec![phone], ..Overview::default() }
}

fn waiting() -> Overview {
    let progress = Progress { phase: Phase::WaitingForPasscode, ..Progress::start() };
    of(PhoneOverview { activity: Activity::Running { run: RunId(3), progress }, ..phone() })
}

fn running() -> Overview {
    let progress = Progress {
        phase: Phase::Transferring,
        bytes_total: None,
        fraction: Some(0.42),
        bytes: 2_400_000_000,
        files: 3_200,
        bytes_per_second: Some(36_000_000),
        seconds_left: Some(170),
    };
    of(PhoneOverview { activity: Activity::Running { run: RunId(2), progress }, ..phone() })
}

fn failed(run: u64) -> Overview {
    let problem = Problem::new(&Failure::from(FULL), Utc::now());
    let failure = Some(problem.clone());
    let last_run = EndedRun { run: RunId(run), at: Utc::now(), files_received: 0, bytes_received: 0, failure };
    of(PhoneOverview { activity: Activity::Blocked, last_run: Some(last_run), problems: vec![problem], ..phone() })
}

fn paused() -> Overview {
    Overview { paused: Some(Pause { until: Some(Utc::now() + TimeDelta::hours(2)) }), ..of(phone()) }
}

fn back_up() -> Request {
    Request::BackUp { phone: Some(udid().to_string()), full: false }
}

/// A desktop session as a person has it, and a daemon that says what the test wants.
struct Session {
    desk: Desk,
    screen: Screen,
    folders: Vec<PathBuf>,
    icons: Vec<Picture>,
}

impl Session {
    async fn start(look: Look) -> Self {
        let mut desk = Desk::new();
        let screen = Screen::start(&desk.bus, look).await;
        screen.point(REST);
        desk.start();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screens")];
        if std::env::var_os("BACKSTAY_KEEP_SCREENS").is_some() {
            folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/screens"));
        }
        Self { desk, screen, folders, icons: Vec::new() }
    }

    fn save(&self, name: &str, picture: &Picture) {
        for folder in &self.folders {
            std::fs::create_dir_all(folder).unwrap();
            picture.save(&folder.join(name));
        }
    }

    /// Waits until the icon has this colour and the screen is still; what it looks like then, and where the icon is.
    async fn icon(&mut self, colour: [u8; 3]) -> (Picture, Area) {
        let of_this_colour = |picture: &Picture| {
            // Fewer pixels are a coincidence, a wider area is something else.
            let found = picture.cut(&PANEL).find(colour);
            found.filter(|(area, count)| *count > 40 && area.width < 24 && area.height < 24).map(|(area, _)| area)
        };
        let found = self.screen.settles(&format!("an icon of {colour:x?}"), of_this_colour).await;
        let (column, _) = found.1.middle();
        self.icons.push(found.0.cut(&Area { left: column - 18, width: 36, ..PANEL }));
        found
    }

    /// Opens the menu by a click on the icon; what the screen looks like then, and where the menu is.
    async fn open_menu(&self, before: &Picture, icon: Area) -> (Picture, Area) {
        self.screen.click(icon.middle(), 3);
        self.menu(before).await;
        // Out of the picture.
        self.screen.point(REST);
        self.menu(before).await
    }

    async fn menu(&self, before: &Picture) -> (Picture, Area) {
        let opened = |picture: &Picture| {
            let area = before.cut(&DESKTOP).changes(&picture.cut(&DESKTOP))?;
            let area = Area { top: area.top + DESKTOP.top, ..area };
            (area.width > 100 && area.height > 60).then_some(area)
        };
        self.screen.settles("the menu", opened).await
    }

    async fn close_menu(&self, before: &Picture) {
        // A submenu first, if one is open.
        self.screen.hand(&["key", "Escape", "Escape"]);
        let gone = |picture: &Picture| before.cut(&DESKTOP).changes(&picture.cut(&DESKTOP)).is_none().then_some(());
        self.screen.shows("no menu", gone).await;
    }

    async fn picture_of_menu(&mut self, name: &str, colour: [u8; 3]) {
        let (before, icon) = self.icon(colour).await;
        let (picture, menu) = self.open_menu(&before, icon).await;
        self.save(name, &picture.cut(&menu.with(&icon.grown(4))));
        self.close_menu(&before).await;
    }

    /// Selects an entry of the open menu by the keyboard.
    async fn select(&self, label: &str) {
        for key in PanelMenu::read(&self.desk.bus).await.keys_to(label) {
            let before = self.screen.picture();
            self.screen.hand(&["key", key]);
            self.screen.settles("a selection", |picture| before.changes(picture)).await;
        }
    }

    /// Waits until the notification is on the screen; what that looks like, and where it is.
    async fn notification(&self) -> (Picture, Area) {
        let window = |_: &Picture| {
            let windows = self.screen.windows("xfce4-notifyd").into_iter();
            windows.max_by_key(|area| area.width).filter(|area| area.width > 200 && area.height > 60)
        };
        let (picture, area) = self.screen.settles("the notification", window).await;
        assert!(picture.cut(&area).colours() > 50, "the notification is drawn");
        (picture, area)
    }
}

fn can_run() -> bool {
    let missing = Screen::missing();
    if !missing.is_empty() {
        println!("NOT RUN: not on this computer: {} (tests/prepare installs them)", missing.join(", "));
    }
    missing.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_sees_and_clicks() {
    if !can_run() {
        return;
    }
    let mut session = Session::start(Look::Light).await;
    session.icon(OFFLINE).await;
    let mut daemon = session.desk.daemon(of(phone()));
    session.picture_of_menu("idle.png", FINE).await;
    daemon.push(running());
    session.picture_of_menu("backing-up.png", WORKING).await;
    daemon.push(waiting());
    session.icon(NEEDS_YOU).await;

    let mut overheard = Overheard::on(&session.desk.bus).await;
    daemon.push(failed(1));
    let labels = overheard.buttons().await;
    let (picture, notification) = session.notification().await;
    session.save("notification.png", &picture.cut(&notification));
    // Along its lower edge; the row is above the words on them.
    let row = notification.top + notification.height - 42;
    let mut buttons = picture.marks(row, notification.left + 4..notification.left + notification.width - 4);
    buttons.retain(|button| button.len() > 30);
    assert_eq!(buttons.len(), labels.len(), "{labels:?}");
    let button = &buttons[labels.iter().position(|label| label == "Try again").unwrap()];
    session.screen.click((button.start + button.len() / 2, row + 12), 1);
    assert_eq!(daemon.request().await, back_up(), "the button of the notification");
    session.screen.point(REST);
    let gone = |_: &Picture| session.screen.windows("xfce4-notifyd").is_empty().then_some(());
    session.screen.shows("the notification is gone", gone).await;

    let (before, icon) = session.icon(FAILED).await;
    session.open_menu(&before, icon).await;
    session.select(&format!("\u{26a0} {}", FULL.entry().title)).await;
    let (picture, menu) = session.menu(&before).await;
    session.save("failed.png", &picture.cut(&menu.with(&icon.grown(4))));
    session.close_menu(&before).await;
    session.open_menu(&before, icon).await;
    session.select("Try again").await;
    let row = |picture: &Picture| picture.find(SELECTED).map(|(row, _)| row).filter(|row| row.height < 40);
    let (_, row) = session.screen.settles("one entry is selected", row).await;
    session.screen.click(row.middle(), 1);
    assert_eq!(daemon.request().await, back_up(), "the entry of the menu");
    session.screen.point(REST);

    daemon.push(paused());
    session.picture_of_menu("paused.png", PAUSED).await;
    assert_eq!(daemon.more_requests(), []);
    session.save("icons-light.png", &Picture::beside(&session.icons));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_sees_on_a_dark_panel() {
    if !can_run() {
        return;
    }
    let mut session = Session::start(Look::Dark).await;
    session.icon(OFFLINE).await;
    let daemon = session.desk.daemon(of(phone()));
    session.icon(FINE).await;
    daemon.push(running());
    session.picture_of_menu("backing-up-dark.png", WORKING).await;
    daemon.push(waiting());
    session.icon(NEEDS_YOU).await;
    daemon.push(failed(1));
    session.icon(FAILED).await;
    daemon.push(paused());
    session.icon(PAUSED).await;
    session.save("icons-dark.png", &Picture::beside(&session.icons));
}

/// Seen on Xfce's panel: a rule that has the id of what was an entry is shown as `Label Empty`.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_never_becomes_a_rule_under_its_id() {
    let mut desk = Desk::new();
    let host = TrayHost::start(&desk.bus).await;
    let daemon = desk.daemon(failed(1));
    desk.start();
    host.wait_for_text("Try again").await;
    let before = host.menu().await;
    daemon.push(paused());
    host.wait_for_text("Paused until").await;
    for line in host.menu().await {
        let old = before.iter().find(|old| old.id == line.id);
        let is_rule = line.label.is_empty();
        assert!(old.is_none_or(|old| old.label.is_empty() == is_rule), "{line:?} was {old:?}");
    }
}
