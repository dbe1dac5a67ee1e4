//! Names that cross process borders.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A phone's unique device identifier: 40 hex digits, or 8 and 16 with a dash since 2018.
///
/// It comes from a socket and becomes a folder name, so nothing but hex digits and single dashes gets in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Udid(String);

/// A text that is no UDID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a UDID: expected 8 to 64 hex digits or dashes")]
pub struct InvalidUdid(String);

impl Udid {
    /// The identifier as usbmuxd and lockdownd spell it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Udid {
    type Err = InvalidUdid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plausible = (8..=64).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if plausible { Ok(Self(text.to_owned())) } else { Err(InvalidUdid(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for Udid {
    type Error = InvalidUdid;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Udid> for String {
    fn from(udid: Udid) -> Self {
        udid.0
    }
}

impl fmt::Display for Udid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One attempt at a backup; answers of an attempt that was given up carry an old number and are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udid_is_never_a_path() {
        for text in ["", "..", "../../etc", "00008120-001A/..", "a\0b", "-00008120", &"a".repeat(65)] {
            assert!(text.parse::<Udid>().is_err(), "{text:?} was accepted");
        }
        for text in ["00008120-001A2D3E0C40201E", "5d2b8bcf0c83fbd8e8fa2cbbf5a1e2c4d1d0f0aa"] {
            assert_eq!(text.parse::<Udid>().map(|udid| udid.to_string()).as_deref(), Ok(text));
        }
    }
}
