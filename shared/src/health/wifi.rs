//! What has to hold for a backup over Wi-Fi, in the order in which it is looked at.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WifiCondition {
    /// This computer is in a network.
    Network,
    /// Somebody else in it answers multicast DNS.
    Multicast,
    /// There is a pair record of the phone.
    PairRecord,
    /// The phone allows it.
    Allowed,
    /// The phone announces itself.
    Announced,
    /// Its address is in a network that this computer is in, too.
    SameNetwork,
    /// Its lockdownd takes a connection.
    Port,
    /// It proves to be the phone that was paired.
    Session,
    /// From a newer daemon.
    #[serde(other)]
    Unknown,
}

/// A condition that was looked at. Those after the first that does not hold may not have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WifiCheck {
    /// Which.
    pub condition: WifiCondition,
    /// Whether it holds.
    pub holds: bool,
}

impl WifiCondition {
    const fn says(self) -> &'static str {
        match self {
            Self::Network => "this computer has a network",
            Self::Multicast => "others in it answer multicast",
            Self::PairRecord => "the iPhone trusts this computer",
            Self::Allowed => "Wi-Fi backups are switched on",
            Self::Announced => "the iPhone announces itself",
            Self::SameNetwork => "it is in the same network",
            Self::Port => "it takes a connection",
            Self::Session => "it proves who it is",
            Self::Unknown => "something newer",
        }
    }
}

impl fmt::Display for WifiCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.condition.says(), if self.holds { "yes" } else { "no" })
    }
}

/// All of them in one sentence.
pub(super) fn told(checks: &[WifiCheck]) -> Option<String> {
    let told: Vec<String> = checks.iter().map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join("; "))
}
