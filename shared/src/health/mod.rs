//! What can be wrong, why, and what to do: the catalogue, and a failure as it happened.

mod action;
pub mod catalogue;
mod evidence;
mod id;
mod wifi;

pub use action::Action;
pub use catalogue::{Condition, Entry, Group, Retry, Severity};
pub use evidence::{Evidence, Failure, readable_bytes};
pub use id::FailureId;
pub use wifi::{WifiCheck, WifiCondition};
