//! The computer: its disk and its clock. Nothing else in the daemon asks the system for them.

pub mod disk;
pub mod lock;
pub mod priority;
