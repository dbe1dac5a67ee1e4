//! `[network]`: phones that are not on a cable.

use serde::Deserialize;

/// How phones are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Look for phones on the network, and back them up there.
    pub wifi: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self { wifi: true }
    }
}
