//! What a click asks for, and its one spelling as the id of a menu entry.

use std::fmt;

use chrono::{DateTime, Local, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    health::{Action, FailureId},
    hours,
    ids::Udid,
    overview::{PhoneOverview, Problem},
    protocol::Request,
};

/// What a menu entry or a notification button asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Agree to backups with the usual settings.
    SetUp,
    /// Back this phone up now.
    BackUp(Udid),
    /// Back this phone up now and bring everything anew.
    BackUpFull(Udid),
    /// Stop the backup of this phone.
    Cancel(Udid),
    /// Let no backup start by itself for a while.
    Pause(PauseTime),
    /// Let backups start by themselves again.
    Resume,
    /// Do not tell of this problem for a day.
    Snooze(Subject, FailureId),
    /// Restart this phone.
    RestartPhone(Udid),
    /// Have this phone asked for trust anew.
    PairAgain(Udid),
    /// Remove this phone's oldest snapshots until there is room.
    FreeSpace(Udid),
    /// Save this phone's photos and videos.
    CopyPhotos(Udid),
    /// Show the whole story of this problem and what to do.
    WhatToDo(Subject, FailureId),
    /// Show this page of the web.
    OpenPage(String),
    /// Show the folder with the backups.
    OpenBackups,
    /// Show the snapshots.
    History,
    /// Show the settings.
    OpenSettings,
    /// Show what this computer lacks.
    Doctor,
    /// Save a report for support.
    Report,
    /// Start the daemon.
    StartDaemon,
    /// End the daemon that runs and start the one that is installed.
    RestartDaemon,
    /// End the companion; the daemon goes on.
    Quit,
}

/// How long no backup starts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseTime {
    /// An hour.
    Hour,
    /// Until midnight.
    Today,
    /// Until a person resumes.
    UntilResumed,
}

/// What a problem is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// This computer.
    Computer,
    /// This phone.
    Phone(Udid),
}

impl Subject {
    /// The phone, if it is about one.
    pub fn phone(&self) -> Option<&Udid> {
        match self {
            Self::Computer => None,
            Self::Phone(udid) => Some(udid),
        }
    }
}

impl Command {
    /// The id of the menu entry for this command. The same command has the same id in every menu, so a click that
    /// crosses a rebuild of the menu still does what its label said.
    pub fn id(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The command of the menu entry with this id.
    pub fn of_id(id: &str) -> Option<Self> {
        serde_json::from_str(id).ok()
    }

    /// What the daemon is asked; none for what a front end does itself.
    pub fn request(&self, now: DateTime<Local>) -> Option<Request> {
        let phone = |udid: &Udid| Some(udid.to_string());
        let tomorrow = now.with_timezone(&Utc) + TimeDelta::days(1);
        match self {
            Self::SetUp => Some(Request::SetUp),
            Self::BackUp(udid) => Some(Request::BackUp { phone: phone(udid), full: false }),
            Self::BackUpFull(udid) => Some(Request::BackUp { phone: phone(udid), full: true }),
            Self::Cancel(udid) => Some(Request::Cancel { phone: phone(udid) }),
            Self::Pause(time) => Some(Request::Pause { until: time.end(now) }),
            Self::Resume => Some(Request::Resume),
            Self::Snooze(subject, problem) => {
                Some(Request::Snooze { phone: subject.phone().and_then(phone), problem: *problem, until: tomorrow })
            }
            Self::RestartPhone(udid) => Some(Request::RestartPhone { phone: phone(udid) }),
            Self::PairAgain(udid) => Some(Request::PairAgain { phone: phone(udid) }),
            Self::FreeSpace(udid) => Some(Request::FreeSpace { phone: phone(udid) }),
            Self::CopyPhotos(udid) => Some(Request::CopyPhotos { phone: phone(udid) }),
            Self::WhatToDo(..)
            | Self::OpenPage(_)
            | Self::OpenBackups
            | Self::History
            | Self::OpenSettings
            | Self::Doctor
            | Self::Report
            | Self::StartDaemon
            | Self::RestartDaemon
            | Self::Quit => None,
        }
    }

    /// The phone it is about.
    pub fn phone(&self) -> Option<&Udid> {
        match self {
            Self::BackUp(udid)
            | Self::BackUpFull(udid)
            | Self::Cancel(udid)
            | Self::RestartPhone(udid)
            | Self::PairAgain(udid)
            | Self::FreeSpace(udid)
            | Self::CopyPhotos(udid) => Some(udid),
            Self::Snooze(subject, _) | Self::WhatToDo(subject, _) => subject.phone(),
            _ => None,
        }
    }

    /// What this action of a problem is as a click; none for what has to be typed or is done on the phone. `phone` is
    /// the one that is meant: the problem's own, or the only one there is.
    pub fn of_action(
        action: &Action,
        subject: &Subject,
        problem: &Problem,
        phone: Option<&PhoneOverview>,
    ) -> Option<Self> {
        let udid = || phone.map(|phone| phone.udid.clone());
        match action {
            Action::SetUp => Some(Self::SetUp),
            Action::Retry => udid().map(Self::BackUp),
            Action::RetryFull => udid().map(Self::BackUpFull),
            Action::RestartDevice => udid().map(Self::RestartPhone),
            Action::PairAgain => udid().map(Self::PairAgain),
            Action::CopyPhotos => udid().map(Self::CopyPhotos),
            Action::FreeSpace => udid().map(Self::FreeSpace),
            Action::RunDoctor => Some(Self::Doctor),
            Action::CollectDiagnostics => Some(Self::Report),
            Action::OpenBackupFolder => Some(Self::OpenBackups),
            Action::ChooseBackupFolder | Action::OpenSettings => Some(Self::OpenSettings),
            Action::Snooze => Some(Self::Snooze(subject.clone(), problem.id)),
            Action::OpenUrl(url) => Some(Self::OpenPage(url.clone())),
            // A password and its confirmation need a place to be typed, and hours of reading one to be followed.
            Action::EnterPassword
            | Action::SetBackupPassword
            | Action::Verify
            | Action::ShowPath(_)
            | Action::Unknown(_) => None,
        }
    }
}

impl PauseTime {
    /// When it ends; none when a person ends it.
    fn end(self, now: DateTime<Local>) -> Option<DateTime<Utc>> {
        match self {
            Self::Hour => Some(now.with_timezone(&Utc) + TimeDelta::hours(1)),
            Self::Today => Some(hours::midnight(now)),
            Self::UntilResumed => None,
        }
    }
}

/// For the log, which never names a phone.
impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::SetUp => "set up",
            Self::BackUp(_) => "back up",
            Self::BackUpFull(_) => "back up everything",
            Self::Cancel(_) => "cancel",
            Self::Pause(_) => "pause",
            Self::Resume => "resume",
            Self::Snooze(_, failure) => return write!(formatter, "snooze {failure}"),
            Self::RestartPhone(_) => "restart the phone",
            Self::PairAgain(_) => "pair again",
            Self::FreeSpace(_) => "free space",
            Self::CopyPhotos(_) => "copy photos",
            Self::WhatToDo(_, failure) => return write!(formatter, "what to do about {failure}"),
            Self::OpenPage(_) => "open a page",
            Self::OpenBackups => "open the backups",
            Self::History => "history",
            Self::OpenSettings => "open the settings",
            Self::Doctor => "doctor",
            Self::Report => "report",
            Self::StartDaemon => "start the daemon",
            Self::RestartDaemon => "restart the daemon",
            Self::Quit => "quit",
        };
        formatter.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desktop::fixtures::{phone, problem, udid};

    #[test]
    fn every_command_survives_the_way_through_the_menu() {
        for command in [
            Command::SetUp,
            Command::BackUp(udid("Anna")),
            Command::Pause(PauseTime::Today),
            Command::WhatToDo(Subject::Phone(udid("Anna")), FailureId::HostDiskFull),
            Command::Snooze(Subject::Computer, FailureId::UsbmuxdNotRunning),
            Command::OpenPage("https://support.apple.com/118106".into()),
            Command::Quit,
        ] {
            assert_eq!(Command::of_id(&command.id()), Some(command));
        }
        for foreign in ["", "dance", "1", r#"{"back-up":"../.."}"#, r#"{"what-to-do":["computer","no-such"]}"#] {
            assert_eq!(Command::of_id(foreign), None, "{foreign:?}");
        }
    }

    /// What the daemon's side reads: names and ids, not positions.
    #[test]
    fn requests_name_what_was_clicked() {
        let now = Local::now();
        let anna = Some(udid("Anna").to_string());
        assert_eq!(
            Command::BackUpFull(udid("Anna")).request(now),
            Some(Request::BackUp { phone: anna.clone(), full: true })
        );
        let Some(Request::Snooze { phone, problem, until }) =
            Command::Snooze(Subject::Phone(udid("Anna")), FailureId::HostDiskFull).request(now)
        else {
            unreachable!()
        };
        assert_eq!((phone, problem), (anna, FailureId::HostDiskFull));
        assert_eq!(until - now.with_timezone(&Utc), TimeDelta::days(1));
        let Some(Request::Pause { until: Some(until) }) = Command::Pause(PauseTime::Today).request(now) else {
            unreachable!()
        };
        assert!(until > now && until - now.with_timezone(&Utc) <= TimeDelta::hours(25));
        assert_eq!(Command::Pause(PauseTime::UntilResumed).request(now), Some(Request::Pause { until: None }));
        assert_eq!(Command::OpenBackups.request(now), None);
    }

    #[test]
    fn every_action_of_the_catalogue_is_a_click_or_has_its_way() {
        let anna = phone("Anna");
        for id in FailureId::ALL {
            let problem = problem(*id);
            let subject = Subject::Phone(anna.udid.clone());
            for action in &problem.actions {
                let is_click = Command::of_action(action, &subject, &problem, Some(&anna)).is_some();
                let is_typed = action.command(None).is_some() || matches!(action, Action::ShowPath(_));
                assert!(is_click || is_typed, "{id}: {action:?}");
            }
        }
        let problem = problem(FailureId::HostDiskFull);
        assert_eq!(Command::of_action(&Action::Retry, &Subject::Computer, &problem, None), None, "of which phone?");
    }
}
