//! From what was seen to what is told.

pub mod codes;
pub mod computer;
pub mod diagnose;
pub mod snoozes;
pub mod tracker;
