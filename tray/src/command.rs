//! What a click asks for, and its one spelling as the id of a menu entry.

use std::fmt;

use backstay_shared::{health::FailureId, ids::Udid};

/// What a menu entry or a notification button asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Back this phone up now.
    BackUp(Udid),
    /// Stop the backup of this phone.
    Cancel(Udid),
    /// Tell about this problem once more, with its cause.
    Explain(Subject, FailureId),
    /// End the companion; the daemon goes on.
    Quit,
}

/// What a problem is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// This computer.
    Computer,
    /// This phone.
    Phone(Udid),
}

impl Subject {
    /// The phone, if it is about one.
    pub(crate) fn phone(&self) -> Option<&Udid> {
        match self {
            Self::Computer => None,
            Self::Phone(udid) => Some(udid),
        }
    }
}

const BACK_UP: &str = "back-up";
const CANCEL: &str = "cancel";
const EXPLAIN: &str = "explain";
const QUIT: &str = "quit";
const COMPUTER: &str = "computer";

impl Command {
    /// The id of the menu entry for this command. The same command has the same id in every menu, so a click that
    /// crosses a rebuild of the menu still does what its label said.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::BackUp(udid) => format!("{BACK_UP} {udid}"),
            Self::Cancel(udid) => format!("{CANCEL} {udid}"),
            Self::Explain(Subject::Computer, failure) => format!("{EXPLAIN} {COMPUTER} {failure}"),
            Self::Explain(Subject::Phone(udid), failure) => format!("{EXPLAIN} {udid} {failure}"),
            Self::Quit => QUIT.to_owned(),
        }
    }

    /// The command of the menu entry with this id.
    pub(crate) fn of_id(id: &str) -> Option<Self> {
        let words: Vec<&str> = id.split(' ').collect();
        match words[..] {
            [QUIT] => Some(Self::Quit),
            [BACK_UP, udid] => udid.parse().ok().map(Self::BackUp),
            [CANCEL, udid] => udid.parse().ok().map(Self::Cancel),
            [EXPLAIN, subject, slug] => {
                let failure = FailureId::ALL.iter().copied().find(|id| id.slug() == slug)?;
                let subject =
                    if subject == COMPUTER { Subject::Computer } else { Subject::Phone(subject.parse().ok()?) };
                Some(Self::Explain(subject, failure))
            }
            _ => None,
        }
    }
}

/// For the log, which never names a phone.
impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackUp(_) => formatter.write_str(BACK_UP),
            Self::Cancel(_) => formatter.write_str(CANCEL),
            Self::Explain(_, failure) => write!(formatter, "{EXPLAIN} {failure}"),
            Self::Quit => formatter.write_str(QUIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_survives_the_way_through_the_menu() {
        let udid: Udid = "00008120-001A2D3E0C40201E".parse().unwrap();
        for command in [
            Command::BackUp(udid.clone()),
            Command::Cancel(udid.clone()),
            Command::Explain(Subject::Phone(udid), FailureId::HostDiskFull),
            Command::Explain(Subject::Computer, FailureId::UsbmuxdNotRunning),
            Command::Quit,
        ] {
            assert_eq!(Command::of_id(&command.id()), Some(command));
        }
        for foreign in ["", "dance", "back-up", "back-up ../..", "explain computer no-such-failure", "quit now"] {
            assert_eq!(Command::of_id(foreign), None, "{foreign:?}");
        }
    }
}
