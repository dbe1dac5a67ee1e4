//! End to end: real programs, real sockets, real folders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where something is not as it should be"
)]

mod backup;
#[cfg(target_os = "linux")]
mod cable_to_click;
#[cfg(target_os = "linux")]
mod causes;
#[cfg(target_os = "linux")]
mod conversation;
mod copy_photos;
mod daemon;
#[cfg(target_os = "linux")]
mod doctor;
mod edges;
#[cfg(target_os = "linux")]
mod encrypted_backups;
#[cfg(target_os = "linux")]
mod encryption;
#[cfg(target_os = "linux")]
mod first_run;
#[cfg(unix)]
mod history;
#[cfg(unix)]
mod hooks;
mod judged;
mod judged_encryption;
mod judged_sessions;
#[cfg(target_os = "linux")]
mod login;
#[cfg(unix)]
mod metrics;
#[cfg(target_os = "linux")]
mod notify;
mod pairing_and_info;
#[cfg(unix)]
mod proof;
mod recorded;
mod refusals;
mod restore;
#[cfg(target_os = "linux")]
mod screens;
#[cfg(target_os = "linux")]
mod several_phones;
#[cfg(target_os = "linux")]
mod sleep;
mod taking_out;
#[cfg(target_os = "linux")]
mod tray;
mod watch;
#[cfg(target_os = "linux")]
mod wifi;
mod year;
