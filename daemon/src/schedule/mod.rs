//! When a backup is due, when it may start, and when a failed one is tried again. Pure: the time is an argument.

pub mod due;
pub mod retry;
