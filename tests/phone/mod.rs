//! A simulated iPhone on real sockets.
//!
//! [`usbmuxd::Usbmuxd`] is the socket other people's clients connect to, [`Phone`] is one phone behind it. A phone is
//! plugged in and pulled out, locked, filled with a [`dataset`] that changes between backups, and told by a
//! [`fault::Fault`] and any number of [`switches`] how to misbehave. It is honest only because foreign clients back up
//! and restore against it.

pub mod afc;
pub mod backup;
pub mod dataset;
pub mod fault;
#[cfg(target_os = "linux")]
pub mod lan;
pub mod lockdownd;
pub mod replay;
pub mod services;
pub mod spec;
mod state;
pub mod switches;
pub mod tls;
pub mod usbmuxd;

pub use fault::{CutEnding, Fault, PasscodeAnswer, Unreadable};
pub use spec::{KeyDerivation, PhoneSpec};
pub use state::{Event, Phone};
pub use switches::{Connection, Handshake, Heartbeat, Interrupted, Mishap, Moment, TlsFailure, Versions};

/// What a service of the phone talks over: the raw socket, or TLS on it.
pub trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}
