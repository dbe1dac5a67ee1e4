//! What past runs say of the next one.

use super::layout::Layout;

/// What the next backup is expected to bring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Bytes; none without a past.
    pub bytes: Option<u64>,
    /// Seconds; none without a past.
    pub seconds: Option<u64>,
    /// There is no backup yet.
    pub first: bool,
}

impl Forecast {
    /// Reads the ledger.
    pub fn of(_layout: &Layout) -> Self {
        Self::default()
    }
}
