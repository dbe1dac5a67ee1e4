//! Who is here.

pub mod announcement;
pub mod bonjour;
pub mod ear;
pub mod roster;
pub mod usbmuxd;
