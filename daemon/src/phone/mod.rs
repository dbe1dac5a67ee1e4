//! One phone: the way to it, what it tells, and the actor that decides when it is backed up.

pub mod actions;
pub mod actor;
pub mod afc;
pub mod awake;
pub mod backup_password;
pub mod check;
pub mod cure;
pub mod device_link;
pub mod facts;
pub mod guard;
pub mod link;
pub mod liveness;
pub mod loss;
pub mod pairing;
pub mod phones;
pub mod photos;
pub mod restore;
pub mod run;
pub mod scrubber;
pub mod state;
pub mod step;
pub mod turns;
pub mod vitals;
