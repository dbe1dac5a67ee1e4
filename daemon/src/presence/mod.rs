//! Who is here.

pub mod roster;
pub mod usbmuxd;
