//! A usbmuxd that is there and of no use.

use std::{
    collections::HashMap,
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::Usbmuxd;

/// How requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// As usbmuxd does.
    #[default]
    Honest,
    /// Connections are accepted and nothing is ever answered.
    Silent,
    /// What comes is no message.
    Garbage,
}

#[derive(Default)]
pub(super) struct Manners {
    manner: watch::Sender<Manner>,
    refusals: Mutex<HashMap<String, u64>>,
}

impl Manners {
    pub(super) fn manner(&self) -> Manner {
        *self.manner.borrow()
    }

    /// Waits until requests are answered again.
    pub(super) async fn mended(&self) {
        // The sender lives as long as the server.
        drop(self.manner.subscribe().wait_for(|manner| *manner != Manner::Silent).await);
    }

    pub(super) fn refusal(&self, message_type: &str) -> Option<u64> {
        self.refusals().get(message_type).copied()
    }

    fn refusals(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usbmuxd {
    /// Changes how requests are answered from now on. A connection that listens or has become a port of a phone goes on;
    /// those left without an answer are closed when that ends.
    pub fn set_manner(&self, manner: Manner) {
        self.shared.manners.manner.send_replace(manner);
    }

    /// Answers every request of this `MessageType` (`Connect`, `ReadPairRecord`, `SavePairRecord`, `ListDevices`,
    /// `Listen`, ...) with this `Number`, until [`Self::refuse_nothing`]: 1 bad command, 2 bad device or ENOENT, 3 connection
    /// refused, 4 no such service, 6 bad version; others are of errno.
    pub fn refuse(&self, message_type: &str, number: u64) {
        self.shared.manners.refusals().insert(message_type.to_owned(), number);
    }

    /// Requests are done again.
    pub fn refuse_nothing(&self) {
        self.shared.manners.refusals().clear();
    }

    /// Sets the mode of the socket; 0 is EACCES for a program that is [bound by
    /// permissions](crate::world::World::bound_by_permissions). [`Self::start_again`] makes a socket for everyone.
    pub fn set_socket_mode(&self, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(&self.shared.socket, Permissions::from_mode(mode))
    }
}
