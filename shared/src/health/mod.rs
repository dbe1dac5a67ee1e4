//! What can be wrong, why, and what to do: the catalogue, and a failure as it happened.

pub mod catalogue;
mod evidence;
mod id;

pub use catalogue::{Condition, Entry, Retry, Severity};
pub use evidence::{Evidence, Failure, readable_bytes};
pub use id::FailureId;
