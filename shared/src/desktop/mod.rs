//! What front ends on a desktop have in common: what they know of the daemon, what a click can ask for, and
//! notifications. The tray shows them; while no tray does, the daemon does.

pub mod command;
#[cfg(test)]
mod fixtures;
pub mod notifications;
pub mod page;
pub mod view;
