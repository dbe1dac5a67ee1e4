//! Hears what is announced on the network.

use mdns_sd::{Receiver, ServiceDaemon, ServiceEvent};

use super::announcement::Announcement;
use crate::host::network::Networks;

/// What a phone with "Show this iPhone when on Wi-Fi" announces.
pub const SERVICE: &str = "_apple-mobdev2._tcp.local.";

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// Somebody is here, or is here with other facts.
    Here(Announcement),
    /// Who had this name is gone.
    Gone(String),
}

/// Listens until it is dropped.
pub struct Ear {
    responder: ServiceDaemon,
    events: Receiver<ServiceEvent>,
}

impl Ear {
    /// Begins to listen, and asks who is here.
    ///
    /// # Errors
    /// When the system gives no thread or no sockets.
    pub fn open() -> Result<Self, mdns_sd::Error> {
        let responder = ServiceDaemon::new()?;
        // Who keeps it listens anew in another network: an interface that comes late is not always heard.
        responder.set_ip_check_interval(0)?;
        let events = responder.browse(SERVICE)?;
        Ok(Self { responder, events })
    }

    /// The next news; none when listening has ended, as it does under a flood.
    pub async fn next(&self) -> Option<Heard> {
        loop {
            match self.events.recv_async().await {
                Ok(ServiceEvent::ServiceResolved(service)) => {
                    return Some(Heard::Here(Announcement::new(&service, &Networks::now())));
                }
                Ok(ServiceEvent::ServiceRemoved(_, name)) => return Some(Heard::Gone(name)),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // It ends with the process otherwise.
        drop(self.responder.shutdown());
    }
}
