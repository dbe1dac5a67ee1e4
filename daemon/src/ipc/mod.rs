//! What front ends see and ask for.

pub mod board;
pub mod names;
pub mod server;
