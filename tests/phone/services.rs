//! The services that StartService can start, and what they share.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use tracing::debug;

use super::{Handshake, Phone, Stream, afc, backup, lockdownd, tls};

mod diagnostics_relay;
mod heartbeat;
mod installation_proxy;
mod notification_proxy;
pub(crate) mod plist_stream;
mod springboardservices;
#[cfg(test)]
pub(crate) mod tests;

pub use lockdownd::OpenPort;

const KNOWN: &[&str] = &[
    "com.apple.afc",
    "com.apple.mobile.diagnostics_relay",
    "com.apple.mobile.heartbeat",
    "com.apple.mobile.installation_proxy",
    "com.apple.mobile.notification_proxy",
    "com.apple.mobilebackup2",
    "com.apple.springboardservices",
];

/// What a phone's services keep between connections.
#[derive(Default)]
pub struct Services {
    pub(crate) ports: lockdownd::Ports,
    pub(crate) settings: lockdownd::Settings,
    pub(crate) media: afc::Media,
    posted: Mutex<Vec<String>>,
}

impl Phone {
    /// What AFC shows.
    pub fn media(&self) -> &afc::Media {
        &self.services().media
    }

    /// Every notification that a client has posted, in order.
    pub fn posted_notifications(&self) -> Vec<String> {
        self.services().posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Posts a notification as a client does: everyone who observes it is told.
    fn post_notification(&self, name: &str) {
        self.services().posted.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        drop(self.notifications().send(name.to_owned()));
    }
}

/// True if StartService knows the name.
pub(crate) fn is_known(service: &str) -> bool {
    KNOWN.contains(&service)
}

/// Serves one connection to a port that StartService handed out.
pub(crate) async fn serve<S: Stream>(phone: &Phone, port: OpenPort, stream: S) -> io::Result<()> {
    let stream = tls::accept(phone, Handshake::Service, &port.pairing, stream).await?;
    debug!(service = port.service, udid = phone.udid(), "service connected");
    run(phone, &port.service, stream).await
}

async fn run<S: Stream>(phone: &Phone, service: &str, stream: S) -> io::Result<()> {
    match service {
        "com.apple.afc" => afc::serve(phone, stream).await,
        "com.apple.mobile.diagnostics_relay" => diagnostics_relay::serve(phone, stream).await,
        "com.apple.mobile.heartbeat" => heartbeat::serve(phone, stream).await,
        "com.apple.mobile.installation_proxy" => installation_proxy::serve(stream).await,
        "com.apple.mobile.notification_proxy" => notification_proxy::serve(phone, stream).await,
        "com.apple.mobilebackup2" => backup::serve(phone, stream).await,
        "com.apple.springboardservices" => springboardservices::serve(stream).await,
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}
