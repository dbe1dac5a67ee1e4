//! Backstay on disks that fail: an error at every operation, `kill -9` at any, power cuts, full disks and drives that
//! vanish. Everything here wants Linux and root; a test that can't run says why and passes.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where something is not as it should be"
)]

#[macro_use]
mod place;

mod deadlines;
mod faults;
mod instruments;
mod kills;
mod power;
mod real_disks;
