//! A session: what makes a paired computer a trusted one.

use std::sync::Arc;

use plist::{Dictionary, Value};
use uuid::Uuid;

use super::{Pairing, Refusal};
use crate::phone::Phone;

/// One session under way.
pub(super) struct Session {
    id: String,
    pub(super) pairing: Arc<Pairing>,
}

impl Session {
    pub(super) fn start(phone: &Phone, request: &Dictionary) -> Result<Self, Refusal> {
        let host_id = request.get("HostID").and_then(Value::as_string).ok_or("MissingHostID")?;
        let pairing = phone.trust().pairing(host_id).ok_or("InvalidHostID")?;
        Ok(Self { id: Uuid::new_v4().to_string().to_uppercase(), pairing })
    }

    pub(super) fn reply(&self) -> Dictionary {
        Dictionary::from_iter([("SessionID", Value::from(self.id.as_str())), ("EnableSessionSSL", Value::from(true))])
    }

    pub(super) fn stop(session: &mut Option<Self>, request: &Dictionary) -> Result<Dictionary, Refusal> {
        let id = request.get("SessionID").and_then(Value::as_string).ok_or("MissingSessionID")?;
        match session {
            None => Err("SessionInactive"),
            Some(running) if running.id != id => Err("InvalidSessionID"),
            Some(_) => {
                *session = None;
                Ok(Dictionary::new())
            }
        }
    }
}
