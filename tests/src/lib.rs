//! The simulated iPhone and what the end-to-end tests share.
#[path = "../phone/mod.rs"]
pub mod phone;

pub mod oracle;
