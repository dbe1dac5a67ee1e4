//! The computer: its disk, its locks, its sleep and its password store. Nothing else in the daemon asks the system for them.

pub mod clock;
pub mod disk;
pub mod keyring;
pub mod lock;
pub mod network;
pub mod priority;
pub mod sleep;
pub mod usb_bus;
pub mod volume;
pub mod web;
