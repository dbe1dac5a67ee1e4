//! What front ends see and ask for.

mod answers;
pub mod board;
pub mod names;
pub mod server;
pub mod takers;
