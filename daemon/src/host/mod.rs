//! The computer: its disk, its locks and its password store. Nothing else in the daemon asks the system for them.

pub mod disk;
pub mod keyring;
pub mod lock;
pub mod priority;
pub mod web;
