//! The computer's sleep: kept off while bytes move, and its end told.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::{Block, tell_wakes};
#[cfg(not(target_os = "linux"))]
pub use other::{Block, tell_wakes};

/// Who keeps it awake, as the system shows it.
const WHO: &str = "Backstay";

/// The computer can't be kept awake.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotKeptAwake(String);
