//! What a check found.

use std::time::Duration;

use backstay_shared::health::{Failure, FailureId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// A check that takes longer is given up, so that the whole is over in seconds.
pub const CHECK_SECONDS_MAX: Duration = Duration::from_secs(10);

/// What was looked at, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each name is its own explanation")]
pub enum Check {
    Settings,
    BackupFolder,
    BackupDisk,
    OtherBackstay,
    Usbmuxd,
    Usb,
    Phone,
    Wifi,
    Daemon,
    SessionBus,
    Tray,
    Notifications,
    PasswordStore,
    Login,
    Clock,
    LogFolder,
}

impl Check {
    /// At the beginning of its line.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::BackupFolder => "backup folder",
            Self::BackupDisk => "backup disk",
            Self::OtherBackstay => "other Backstay",
            Self::Usbmuxd => "usbmuxd",
            Self::Usb => "USB",
            Self::Phone => "iPhone",
            Self::Wifi => "Wi-Fi",
            Self::Daemon => "daemon",
            Self::SessionBus => "D-Bus session",
            Self::Tray => "status bar",
            Self::Notifications => "notifications",
            Self::PasswordStore => "password store",
            Self::Login => "start at login",
            Self::Clock => "clock",
            Self::LogFolder => "log folder",
        }
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing; backups are made all the same.
    Note,
    /// Stops backups.
    Lack,
}

/// One line of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it stands.
    pub state: State,
    /// The name of the phone that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// What was found.
    pub says: String,
    /// The command or the step that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// The failure of the catalogue that it is or will become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureId>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: Check, says: impl Into<String>) -> Self {
        Self { check, state: State::Ok, phone: None, says: says.into(), mend: None, failure: None }
    }

    /// Worth knowing.
    pub fn note(check: Check, says: impl Into<String>) -> Self {
        Self { state: State::Note, ..Self::ok(check, says) }
    }

    /// Stops backups.
    pub fn lack(check: Check, says: impl Into<String>) -> Self {
        Self { state: State::Lack, ..Self::ok(check, says) }
    }

    /// A failure of the catalogue, with what its first command or step would mend.
    pub fn of_failure(check: Check, state: State, failure: &Failure, phone: Option<&str>) -> Self {
        let entry = failure.id.entry();
        let command = entry.actions.iter().find_map(|action| action.command(phone));
        let evidence = failure.evidence.to_string();
        let about = phone.map(|phone| format!("{phone}: ")).unwrap_or_default();
        let space = if evidence.is_empty() { "" } else { " " };
        let says = format!("{about}{}{space}{evidence}", entry.title);
        let finding = Self { state, mend: command.or_else(|| entry.steps.first().cloned()), ..Self::ok(check, says) };
        finding.about(phone).failure(failure.id)
    }

    /// Which phone it is about.
    #[must_use]
    pub fn about(mut self, phone: Option<&str>) -> Self {
        self.phone = phone.map(str::to_owned);
        self
    }

    /// How to mend it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// Which failure it is.
    #[must_use]
    pub const fn failure(mut self, id: FailureId) -> Self {
        self.failure = Some(id);
        self
    }
}

/// Waits for a check, not for ever.
pub async fn in_time(check: Check, looking: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let late = |_| vec![Finding::note(check, format!("gave no answer for {} s", CHECK_SECONDS_MAX.as_secs()))];
    tokio::time::timeout(CHECK_SECONDS_MAX, looking).await.unwrap_or_else(late)
}

/// The same for a check that blocks. It has a thread of its own, which a network folder that hangs may keep: the end of
/// the program waits for no thread.
pub async fn blocking(check: Check, look: impl FnOnce() -> Vec<Finding> + Send + 'static) -> Vec<Finding> {
    let (sender, receiver) = oneshot::channel();
    let body = move || drop(sender.send(look()));
    if let Err(error) = std::thread::Builder::new().name("doctor".into()).spawn(body) {
        return vec![Finding::note(check, format!("not looked at: {error}"))];
    }
    in_time(check, async {
        let ended = |_| vec![Finding::note(check, "the check ended early")];
        receiver.await.unwrap_or_else(ended)
    })
    .await
}
