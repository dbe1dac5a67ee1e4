//! The simulated iPhone, and what the end-to-end tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "test code: a broken invariant of its own ends the test, and names say what fields are"
)]

pub mod binaries;
pub mod decrypt;
#[cfg(target_os = "linux")]
pub mod desktop;
#[cfg(target_os = "linux")]
pub mod disk;
#[cfg(unix)]
pub mod fake_daemon;
#[cfg(target_os = "linux")]
pub mod network;
pub mod odd_tree;
pub mod oracle;
#[path = "../phone/mod.rs"]
pub mod phone;
pub mod random;
pub mod real;
pub mod told;
pub mod web_server;
pub mod world;
