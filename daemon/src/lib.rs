//! The daemon and the command line of Backstay.
//!
//! The folders carry the names of the path of a backup: [`presence`] sees the phone, [`schedule`] says whether it is
//! due, [`transfer`] brings the bytes, [`vault`] proves and keeps them, [`health`] says what is wrong, [`ipc`] tells
//! the front ends. [`phone`] holds the actor that walks this path, [`host`] is the computer, [`cli`] the commands.

pub mod cli;
pub mod daemon;
pub mod health;
pub mod hooks;
pub mod host;
pub mod ipc;
pub mod metrics;
pub mod pause;
pub mod phone;
pub mod preflight;
pub mod presence;
pub mod schedule;
pub mod settings;
pub mod transfer;
pub mod vault;
pub mod watch;
