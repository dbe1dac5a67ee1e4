//! What a person can do about a failure with one click or one command.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing to do. On the wire it is its spelling, as `retry` or `open-url:https://...`; what a newer daemon adds
/// stays as it came and is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Action {
    /// Agree to backups into the usual folder, with the settings as they are: they begin at once.
    SetUp,
    /// Back up now.
    Retry,
    /// Back up now and bring everything anew.
    RetryFull,
    /// Restart the phone.
    RestartDevice,
    /// Have the phone asked for trust anew.
    PairAgain,
    /// Save the phone's photos and videos.
    CopyPhotos,
    /// Remove the oldest snapshots until there is room.
    FreeSpace,
    /// Store the backup password that is in force.
    EnterPassword,
    /// Let the phone encrypt its backups, with a new password.
    SetBackupPassword,
    /// Read every file of the backups again.
    Verify,
    /// See what this computer lacks.
    RunDoctor,
    /// Save a report for support.
    CollectDiagnostics,
    /// Show the folder that holds the backups.
    OpenBackupFolder,
    /// Open the settings where they name that folder.
    ChooseBackupFolder,
    /// Open the settings.
    OpenSettings,
    /// Do not tell of it for a while.
    Snooze,
    /// Show this way through the phone's own settings: a computer can't open them.
    ShowPath(String),
    /// Open this page.
    OpenUrl(String),
    /// From a newer daemon.
    Unknown(String),
}

/// The actions that are a name alone, with what a button says.
const NAMED: [(Action, &str, &str); 16] = [
    (Action::SetUp, "set-up", "Back up here"),
    (Action::Retry, "retry", "Try again"),
    (Action::RetryFull, "retry-full", "Bring everything anew"),
    (Action::RestartDevice, "restart-device", "Restart the iPhone"),
    (Action::PairAgain, "pair-again", "Ask for trust again"),
    (Action::CopyPhotos, "copy-photos", "Save the photos"),
    (Action::FreeSpace, "free-space", "Remove the oldest snapshots"),
    (Action::EnterPassword, "enter-password", "Enter the backup password"),
    (Action::SetBackupPassword, "set-backup-password", "Set a backup password"),
    (Action::Verify, "verify", "Check the kept backups"),
    (Action::RunDoctor, "run-doctor", "See what this computer lacks"),
    (Action::CollectDiagnostics, "collect-diagnostics", "Save a report"),
    (Action::OpenBackupFolder, "open-backup-folder", "Open the backup folder"),
    (Action::ChooseBackupFolder, "choose-backup-folder", "Choose another backup folder"),
    (Action::OpenSettings, "open-settings", "Open the settings"),
    (Action::Snooze, "snooze", "Not now"),
];

const SHOW_PATH: &str = "show-path:";
const OPEN_URL: &str = "open-url:";

impl Action {
    /// What a button says.
    pub fn label(&self) -> String {
        match self {
            Self::ShowPath(path) => format!("On the iPhone: {path}"),
            Self::OpenUrl(url) => format!("Open {url}"),
            Self::Unknown(name) => name.clone(),
            named => NAMED.iter().find(|(action, ..)| action == named).map_or("", |(.., label)| label).to_owned(),
        }
    }

    /// The command line for it; none when there is no command. `phone` is the name or UDID it is about, and may be left
    /// out where there is one phone. Words in capitals are for the person to fill in.
    pub fn command(&self, phone: Option<&str>) -> Option<String> {
        let about = |command: &str| match phone {
            Some(phone) => format!("{command} {}", shell_word(phone)),
            None => command.to_owned(),
        };
        let phone_or_word = phone.map_or_else(|| "PHONE".to_owned(), shell_word);
        match self {
            Self::SetUp => Some("backstay setup".to_owned()),
            Self::Retry => Some(about("backstay backup")),
            Self::RetryFull => Some(about("backstay backup --full")),
            Self::RestartDevice => Some(about("backstay restart")),
            Self::PairAgain => Some(about("backstay pair")),
            Self::CopyPhotos => Some(format!("backstay copy-photos {phone_or_word} FOLDER")),
            Self::FreeSpace => Some(format!("{} --free SIZE", about("backstay prune"))),
            Self::EnterPassword => Some(about("backstay encryption remember")),
            Self::SetBackupPassword => Some(about("backstay encryption on")),
            Self::Verify => Some(format!("{} --deep", about("backstay verify"))),
            Self::RunDoctor => Some("backstay doctor".to_owned()),
            Self::CollectDiagnostics => Some("backstay report".to_owned()),
            Self::OpenBackupFolder
            | Self::ChooseBackupFolder
            | Self::OpenSettings
            | Self::Snooze
            | Self::ShowPath(_)
            | Self::OpenUrl(_)
            | Self::Unknown(_) => None,
        }
    }
}

impl From<String> for Action {
    fn from(text: String) -> Self {
        if let Some((action, ..)) = NAMED.iter().find(|(_, name, _)| *name == text) {
            return action.clone();
        }
        if let Some(path) = text.strip_prefix(SHOW_PATH) {
            return Self::ShowPath(path.to_owned());
        }
        match text.strip_prefix(OPEN_URL) {
            // Nothing but a page: a front end hands it to the desktop, which opens anything.
            Some(url) if url.starts_with("https://") => Self::OpenUrl(url.to_owned()),
            _ => Self::Unknown(text),
        }
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.to_string()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShowPath(path) => write!(formatter, "{SHOW_PATH}{path}"),
            Self::OpenUrl(url) => write!(formatter, "{OPEN_URL}{url}"),
            Self::Unknown(name) => formatter.write_str(name),
            named => {
                formatter.write_str(NAMED.iter().find(|(action, ..)| action == named).map_or("", |(_, name, _)| name))
            }
        }
    }
}

/// A word as a shell takes it: a phone's owner may call it anything.
fn shell_word(word: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_.:".contains(character);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelling_stays() {
        for (action, name, label) in NAMED {
            assert_eq!(action.to_string(), name);
            assert_eq!(Action::from(name.to_owned()), action);
            assert_eq!(action.label(), label);
        }
        for text in ["show-path:Settings > Wi-Fi", "open-url:https://support.apple.com/118106", "dance", ""] {
            assert_eq!(Action::from(text.to_owned()).to_string(), text);
        }
        let told: Vec<Action> = serde_json::from_str(r#"["retry","dance","show-path:Settings"]"#).unwrap();
        assert_eq!(told, [Action::Retry, Action::Unknown("dance".into()), Action::ShowPath("Settings".into())]);
        assert_eq!(serde_json::to_string(&told).unwrap(), r#"["retry","dance","show-path:Settings"]"#);
    }

    #[test]
    fn only_pages_are_opened() {
        for text in ["open-url:file:///etc/passwd", "open-url:http://example.org", "open-url:-x"] {
            assert!(matches!(Action::from(text.to_owned()), Action::Unknown(_)), "{text}");
        }
    }

    #[test]
    fn commands_name_the_phone_as_a_shell_takes_it() {
        for (action, phone, command) in [
            (Action::Retry, Some("Anna"), "backstay backup Anna"),
            (Action::Retry, None, "backstay backup"),
            (Action::RetryFull, Some("Anna's iPhone"), r"backstay backup --full 'Anna'\''s iPhone'"),
            (Action::FreeSpace, Some("$(reboot)"), "backstay prune '$(reboot)' --free SIZE"),
            (Action::CopyPhotos, None, "backstay copy-photos PHONE FOLDER"),
            (Action::PairAgain, Some("-x"), "backstay pair '-x'"),
        ] {
            assert_eq!(action.command(phone).as_deref(), Some(command));
        }
        assert_eq!(Action::Snooze.command(Some("Anna")), None);
    }
}
