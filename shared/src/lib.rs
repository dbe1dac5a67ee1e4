//! What the daemon, the tray and the command line of Backstay have in common: the failure catalogue, the
//! [`overview`] that front ends show, the [`protocol`] they speak, the [`config`] and the [`paths`].
//!
//! Only [`client`] and [`paths`] touch the world; the rest is data.

pub mod client;
pub mod config;
pub mod health;
pub mod hours;
pub mod ids;
pub mod overview;
pub mod paths;
pub mod protocol;
