//! Hears what is announced on the network.

use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceEvent};

use super::announcement::Announcement;
use crate::host::network::Networks;

/// What a phone with "Show this iPhone when on Wi-Fi" announces.
pub const SERVICE: &str = "_apple-mobdev2._tcp.local.";

/// Whatever is announced under whatever name is kept until it expires: more than this, and somebody fills our memory.
const RECORDS_MAX: i64 = 5000;

/// Each record sets some each time it is heard.
const TIMERS_MAX: i64 = 100_000;

/// Longer than the responder needs for anything but a flood.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

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
        // Nothing is asked where nobody can be: on tunnels, and in containers and virtual machines of this computer.
        let networks = Networks::now();
        let leads_nowhere = IfPredicate::new(move |interface| !networks.are_own(&interface.ip()));
        responder.disable_interface(IfKind::Predicate(leads_nowhere))?;
        let events = responder.browse(SERVICE)?;
        Ok(Self { responder, events })
    }

    /// True when so much is announced, by whomever, that it is time to forget all of it.
    pub async fn is_flooded(&self) -> bool {
        let Ok(metrics) = self.responder.get_metrics() else { return true };
        let Ok(Ok(metrics)) = tokio::time::timeout(ANSWERS_WITHIN, metrics.recv_async()).await else { return true };
        let records: i64 = metrics.iter().filter(|(name, _)| name.starts_with("cached-")).map(|(_, count)| count).sum();
        let timers = metrics.get("timer").copied().unwrap_or_default();
        records > RECORDS_MAX || timers > TIMERS_MAX
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
