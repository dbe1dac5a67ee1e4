//! What the daemon, the tray and the command line of Backstay have in common: the failure catalogue, the
//! [`overview`] that front ends show, the [`protocol`] they speak, the [`config`] and the [`paths`].
//!
//! Only [`client`], [`paths`] and [`desktop`] touch the world; the rest is data.

// So that what the unit tests of other packages use, too, reads the same here.
#[cfg(test)]
extern crate self as backstay_shared;

pub mod client;
pub mod config;
#[cfg(feature = "desktop")]
pub mod desktop;
pub mod health;
pub mod hours;
pub mod ids;
pub mod overview;
pub mod paths;
pub mod protocol;
pub mod zone;
