//! `[watch]`: what Backstay looks up at Apple's.

use serde::Deserialize;

use super::WebAddress;

/// What is looked up and told. None of it is needed for a backup.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// Ask Apple's status page for iCloud problems, while a phone has iCloud Backup on.
    pub apple_status: bool,
    /// Ask once a day for the newest iOS of each phone's model.
    pub ios_versions: bool,
    /// Tell when iCloud Backup is off or has not run lately. It is the phone that says so, nothing is looked up.
    pub icloud: bool,
    /// Where to ask.
    pub addresses: Addresses,
}

impl Default for Watch {
    fn default() -> Self {
        Self { apple_status: true, ios_versions: true, icloud: true, addresses: Addresses::default() }
    }
}

/// `[watch.addresses]`. Not in the README on purpose: it is for the tests, whose server is this very computer, and for
/// the day when Apple moves something before Backstay has an update. TLS everywhere else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Addresses {
    /// What <https://www.apple.com/support/systemstatus/> shows, as JSON.
    pub status: PrivateAddress,
    /// Apple's list of versions for device managements.
    pub versions: PrivateAddress,
    /// The versions of one model by ipsw.me, whose address is this with `/` and the model behind it.
    pub firmwares: PrivateAddress,
}

impl Default for Addresses {
    fn default() -> Self {
        let address = |text: &'static str| PrivateAddress(text.to_owned());
        Self {
            status: address("https://www.apple.com/support/systemstatus/data/system_status_en_US.js"),
            versions: address("https://gdmf.apple.com/v2/pmv"),
            firmwares: address("https://api.ipsw.me/v4/device"),
        }
    }
}

/// A web address with TLS, or of this very computer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WebAddress")]
pub struct PrivateAddress(String);

impl PrivateAddress {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<WebAddress> for PrivateAddress {
    type Error = String;

    fn try_from(address: WebAddress) -> Result<Self, Self::Error> {
        if address.is_private() {
            Ok(Self(address.as_str().to_owned()))
        } else {
            Err(format!("{:?}: expected https://... here", address.as_str()))
        }
    }
}
