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
use backstay_tests::{
    desktop::{Area, Desk, Look, PanelMenu, Picture, Screen},
    fake_daemon::FakeDaemon,
};
use chrono::{TimeDelta, Utc};

const FULL: FailureId = FailureId::HostDiskFull;
const PANEL: Area = Area { left: 0, top: 0, width: 900, height: 30 };

/// The bodies of the phones in `tray/icons`.
const FINE: [u8; 3] = [0x1b, 0x80, 0x40];
const PAUSED: [u8; 3] = [0x6f, 0x70, 0x82];
const WORKING: [u8; 3] = [0x1a, 0x6f, 0xdc];
const FAILED: [u8; 3] = [0xd9, 0x2b, 0x36];

fn udid() -> Udid {
    "00008120-001A2D3E0C40201E".parse().unwrap()
}

fn phone() -> PhoneOverview {
    PhoneOverview {
        udid: udid(),
        name: "Anna's iPhone".to_owned(),
        model: None,
        ios: None,
        activity: Activity::Idle,
        last_good: Some(LastGood { at: Utc::now(), files: 41_230, bytes: 58_000_000_000 }),
        next_due: Some(Utc::now() + TimeDelta::hours(20)),
        last_run: None,
        problems: Vec::new(),
    }
}

fn of(phone: PhoneOverview) -> Overview {
    Overview { phones: vec![phone], ..Overview::default() }
}

fn running() -> Overview {
    let progress = Progress {
        phase: Phase::Transferring,
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
    // In this order they end: the companion, then the screen.
    desk: Desk,
    screen: Screen,
    daemon: FakeDaemon,
    pictures: Vec<PathBuf>,
}

impl Session {
    async fn start(look: Look) -> Self {
        let mut desk = Desk::new();
        let screen = Screen::start(&desk.bus, look).await;
        let daemon = desk.daemon(of(phone()));
        desk.start();
        let mut pictures = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screens")];
        if std::env::var_os("BACKSTAY_KEEP_SCREENS").is_some() {
            pictures.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/screens"));
        }
        Self { desk, screen, daemon, pictures }
    }

    fn save(&self, name: &str, picture: &Picture) {
        for folder in &self.pictures {
            std::fs::create_dir_all(folder).unwrap();
            picture.save(&folder.join(name));
        }
    }

    /// Waits until the icon has this colour and the screen is still; what it looks like then, and where the icon is.
    async fn icon(&self, colour: [u8; 3]) -> (Picture, Area) {
        let of_this_colour = |picture: &Picture| {
            // Fewer pixels are a coincidence, wider ones are something else.
            picture
                .cut(&PANEL)
                .find(colour)
                .filter(|(area, count)| *count > 60 && area.width < 30)
                .map(|(area, _)| area)
        };
        self.screen.settles(&format!("the icon of {colour:x?}"), of_this_colour).await
    }

    /// Opens the menu; what the screen looks like then, and where the menu is.
    async fn open_menu(&self, before: &Picture, icon: Area) -> (Picture, Area) {
        self.screen.click(icon.middle(), 3);
        let below_panel =
            |picture: &Picture| before.changes(picture).filter(|area| area.width > 100 && area.height > 60);
        self.screen.settles("the menu", below_panel).await
    }

    async fn close_menu(&self, before: &Picture) {
        self.screen.hand(&["key", "Escape"]);
        self.screen.hand(&["key", "Escape"]);
        self.screen.point((10, 400));
        self.screen.shows("the menu is gone", |picture| before.changes(picture).is_none().then_some(())).await;
    }

    async fn picture_of_menu(&self, name: &str, colour: [u8; 3]) {
        let (before, icon) = self.icon(colour).await;
        let (picture, menu) = self.open_menu(&before, icon).await;
        self.save(name, &picture.cut(&menu.with(&icon)));
        self.close_menu(&before).await;
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
    session.picture_of_menu("idle.png", FINE).await;
    session.daemon.push(running());
    session.picture_of_menu("backing-up.png", WORKING).await;

    session.daemon.push(failed(1));
    session.icon(FAILED).await;
    let (picture, notification) = session
        .screen
        .settles("the notification", |_| {
            session.screen.windows("xfce4-notifyd").into_iter().max_by_key(|area| area.width)
        })
        .await;
    session.save("notification.png", &picture.cut(&notification));
    println!("{notification:?}");
    let _ = back_up();
    let _ = PanelMenu::read(&session.desk.bus).await;
}
