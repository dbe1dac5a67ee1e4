//! Disks that fail on demand: one that counts and refuses operations, one that remembers every write for a power cut,
//! and real small file systems. All of them want Linux and root; [`missing`] says what this machine lacks.

mod faulty;
pub mod judge;
mod mounts;
mod nodes;
mod passthrough;
mod plan;
mod recorded;

pub use faulty::FaultyDisk;
pub use mounts::{Mounted, Volume, format, missing};
pub use plan::{Kind, Operation, Plan, Trigger};
pub use recorded::{Moment, RecordedDisk};
