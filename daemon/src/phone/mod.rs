//! One phone: the way to it, what it tells, and the actor that decides when it is backed up.

pub mod actor;
pub mod afc;
pub mod backup_password;
pub mod device_link;
pub mod facts;
pub mod guard;
pub mod link;
pub mod loss;
pub mod pairing;
pub mod phones;
pub mod photos;
pub mod restore;
pub mod run;
pub mod scrubber;
pub mod state;
pub mod step;
