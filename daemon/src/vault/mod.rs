//! Where backups are kept, so that the last good one is never harmed.
//!
//! A backup is a transaction. The latest good tree is [cloned](clone) into `next`, the phone works there, the result
//! is [verified](verify), synced, sealed with a [receipt] and swapped with the latest in one atomic step
//! ([`transaction`]). The receipt is the commit point: what has none is no backup, and a start that finds a receipt
//! whose swap did not happen completes it.

pub mod aside;
pub mod base;
pub mod check;
pub mod checksum;
pub mod clone;
pub mod encryption;
pub mod evidence;
pub mod extract;
pub mod forecast;
pub mod free_space;
pub mod history;
pub mod interrupted;
pub mod inventory;
pub mod layout;
pub mod ledger;
pub mod lend;
pub mod manifest;
pub mod name;
pub mod parts;
pub mod phones;
pub mod proof;
pub mod properties;
mod property_list;
pub mod reader;
pub mod receipt;
pub mod recovery;
pub mod retention;
pub mod roots;
pub mod scratch;
pub mod scrub;
mod sqlite_file;
pub mod transaction;
pub mod tree;
pub mod verify;
