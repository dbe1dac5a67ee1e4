//! Handshakes that fail.

use std::{collections::HashMap, sync::Mutex};

use super::value_of;
use crate::phone::Phone;

/// Which handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handshake {
    /// The one after StartSession.
    Session,
    /// The one on the port of a service.
    Service,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFailure {
    /// A fatal alert, `handshake_failure`, in answer to the client's hello.
    Alert,
    /// The connection is closed in answer to the client's hello.
    Closed,
    /// The phone shows, and wants, certificates of another pairing.
    OtherPairing,
}

#[derive(Default)]
pub(super) struct TlsFailures(Mutex<HashMap<Handshake, TlsFailure>>);

impl Phone {
    /// Lets every such handshake fail, until [`Self::mend_tls`].
    pub fn fail_tls(&self, handshake: Handshake, failure: TlsFailure) {
        value_of(&self.switches().tls.0).insert(handshake, failure);
    }

    /// Handshakes succeed again.
    pub fn mend_tls(&self) {
        value_of(&self.switches().tls.0).clear();
    }

    pub(crate) fn tls_failure(&self, handshake: Handshake) -> Option<TlsFailure> {
        value_of(&self.switches().tls.0).get(&handshake).copied()
    }
}
