//! What can go wrong beside a [`Fault`](super::Fault): independent switches, which may all be on at once and may change
//! while a program is at work. Each stays until it is set back.

mod backup;
mod batches;
mod cloud;
mod facts;
mod freezing;
mod heartbeat;
mod link;
mod lock;
mod refusals;
mod restart;
mod session;
mod sheet;
#[cfg(test)]
mod tests;
mod tls;

pub use backup::{Mishap, Moment, Versions};
pub(crate) use freezing::Freezing;
pub use heartbeat::Heartbeat;
pub use link::Connection;
pub use session::Interrupted;
pub(crate) use sheet::SheetOutcome;
pub use tls::{Handshake, TlsFailure};

/// Every switch of one phone.
#[derive(Default)]
pub(super) struct Switches {
    backup: backup::BackupSwitches,
    batches: batches::BatchSwitches,
    cloud: cloud::CloudSwitches,
    heartbeat: heartbeat::HeartbeatSwitches,
    link: link::LinkSwitches,
    lock: lock::LockSwitches,
    refusals: refusals::Refusals,
    restart: restart::RestartSwitches,
    session: session::SessionSwitches,
    sheet: sheet::SheetSwitches,
    tls: tls::TlsFailures,
}

/// The value behind a lock that no test leaves poisoned without failing.
fn value_of<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
