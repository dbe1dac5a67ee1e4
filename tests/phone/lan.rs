//! The phone on Wi-Fi: a machine of its own, with lockdownd and its services on TCP ports, that announces itself by
//! multicast DNS. It serves there only while it is allowed to (`EnableWifiConnections`) and while the computer answers
//! its heartbeat.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac};
use mdns_sd::{ServiceDaemon, ServiceInfo};
use plist::Value;
use sha2::{Sha256, Sha512};
use tokio::{net::TcpStream, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::{Phone, lockdownd, services, switches::Freezing};
use crate::network::Namespace;

const SERVICE: &str = "_apple-mobdev2._tcp.local.";

/// A connection without a heartbeat beside it is ended after so long.
const HEARTLESS_MAX: Duration = Duration::from_secs(5);

/// A program that a test beside this one has just forked has all our sockets for a moment, those that are closed here, too.
const FORKED_MAX: Duration = Duration::from_secs(5);

const HEARTBEAT: &str = "com.apple.mobile.heartbeat";

/// How the phone announces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// Until iOS 26.4: by its Wi-Fi address.
    ByAddress,
    /// Since iOS 26.4: by a tag for each computer that it trusts, and another computer's before them.
    ByTags,
    /// By neither: with an address that it made up.
    ByNothing,
}

/// The phone's presence on the network; it leaves without a word when this is dropped.
pub struct Lan {
    phone: Phone,
    namespace: Namespace,
    announced: Announced,
    hearts: Arc<watch::Sender<usize>>,
    visits: Arc<watch::Sender<usize>>,
    serving: Arc<Mutex<CancellationToken>>,
    over: CancellationToken,
    listening: TaskTracker,
    responder: Mutex<Option<(ServiceDaemon, String)>>,
}

impl Lan {
    /// Joins, and announces itself at this address.
    pub fn join(
        phone: &Phone,
        namespace: &Namespace,
        address: impl Into<IpAddr>,
        announced: Announced,
    ) -> io::Result<Self> {
        let lan = Self {
            phone: phone.clone(),
            namespace: namespace.clone(),
            announced,
            hearts: Arc::new(watch::Sender::new(0)),
            visits: Arc::new(watch::Sender::new(0)),
            serving: Arc::default(),
            over: CancellationToken::new(),
            listening: TaskTracker::new(),
            responder: Mutex::new(None),
        };
        lan.listen()?;
        lan.announce(address)?;
        Ok(lan)
    }

    /// Takes connections for as long as this lives.
    fn listen(&self) -> io::Result<()> {
        let listener = bind(&self.namespace, lockdownd::PORT)?;
        let (phone, hearts, serving) = (self.phone.clone(), self.hearts.clone(), self.serving.clone());
        let visits = self.visits.clone();
        self.listening.spawn(self.over.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                visits.send_modify(|count| *count += 1);
                let serving = lock(&serving).clone();
                tokio::spawn(serving.run_until_cancelled_owned(serve_lockdownd(phone.clone(), hearts.clone(), stream)));
            }
        }));
        Ok(())
    }

    /// How often somebody has come to its lockdownd.
    pub fn visits(&self) -> watch::Receiver<usize> {
        self.visits.subscribe()
    }

    /// Serves from now on; of what was connected before nothing is any more.
    fn serve(&self) {
        let serving = CancellationToken::new();
        std::mem::replace(&mut *lock(&self.serving), serving.clone()).cancel();
        let (phone, hearts, namespace) = (self.phone.clone(), self.hearts.clone(), self.namespace.clone());
        self.phone.services().ports.set_opener(Some(Arc::new(move |port| {
            let Ok(listener) = bind(&namespace, port) else { return };
            let served = serve_port(phone.clone(), hearts.clone(), listener, port);
            tokio::spawn(serving.clone().run_until_cancelled_owned(served));
        })));
    }

    /// Announces itself anew, also at another address. It has been away from the network: nothing that was connected
    /// before is any more.
    pub fn announce(&self, address: impl Into<IpAddr>) -> io::Result<()> {
        self.vanish();
        self.serve();
        let name = self.name();
        let properties = self.properties();
        let service = ServiceInfo::new(SERVICE, &name, "phone.local.", address.into(), 32498, &properties[..]);
        let mut service = service.map_err(io::Error::other)?;
        service.set_requires_probe(false);
        let full_name = service.get_fullname().to_owned();
        let responder = self.namespace.with(|| {
            let responder = ServiceDaemon::new()?;
            responder.register(service)?;
            Ok::<_, mdns_sd::Error>(responder)
        })?;
        let responder = responder.map_err(io::Error::other)?;
        *self.responder.lock().unwrap_or_else(PoisonError::into_inner) = Some((responder, full_name));
        Ok(())
    }

    /// Says goodbye; what is connected stays.
    pub fn say_goodbye(&self) {
        let responder = self.responder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((responder, name)) = responder {
            let told = responder.unregister(&name).ok();
            // Done when it answers.
            if told.is_some_and(|told| told.recv_timeout(Duration::from_secs(5)).is_err()) {
                debug!("the goodbye may not have gone out");
            }
            drop(responder.shutdown());
        }
    }

    /// Announces nothing any more, and does not say so.
    pub fn vanish(&self) {
        let responder = self.responder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((responder, _)) = responder {
            drop(responder.shutdown().map(|done| done.recv_timeout(Duration::from_secs(5))));
        }
    }

    /// Leaves with a goodbye; its port is free again.
    pub async fn leave(self) {
        self.say_goodbye();
        self.over.cancel();
        self.listening.close();
        self.listening.wait().await;
    }

    /// Ends every connection, and each new one at once.
    pub fn hang_up(&self) {
        lock(&self.serving).cancel();
        self.phone.services().ports.set_opener(None);
    }

    fn name(&self) -> String {
        let before = match self.announced {
            Announced::ByAddress => &self.phone.spec().wifi_mac,
            Announced::ByTags => "0f1e2d3c4b5a",
            Announced::ByNothing => "7a:31:0c:5e:9d:44",
        };
        format!("{before}@fe80::1c2b:3d4e:5f60:7182")
    }

    fn properties(&self) -> Vec<(String, String)> {
        if self.announced != Announced::ByTags {
            return Vec::new();
        }
        let identifier = "5F0C2B1E-7C57-4D0B-9A55-0C4E2B8F3D10";
        let mut host_ids = vec!["00000000-0000-4000-8000-000000000000".to_owned()];
        host_ids.extend(self.phone.trust().host_ids());
        let mut properties = vec![("identifier".to_owned(), identifier.to_owned())];
        properties.extend(host_ids.iter().enumerate().map(|(index, host_id)| {
            let key = if index == 0 { "authTag".into() } else { format!("authTag#{index}") };
            (key, auth_tag(host_id, identifier))
        }));
        properties
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.vanish();
        self.hang_up();
        self.over.cancel();
    }
}

fn lock(serving: &Mutex<CancellationToken>) -> std::sync::MutexGuard<'_, CancellationToken> {
    serving.lock().unwrap_or_else(PoisonError::into_inner)
}

/// HKDF-SHA-512 of the host's id without salt and info, 32 bytes; HMAC-SHA-256 of the identifier with it, the first 8
/// bytes; base64. RFC 5869, and the notes of the idevice project on iOS 26.4.
fn auth_tag(host_id: &str, identifier: &str) -> String {
    use base64::Engine as _;
    let sha512 = |key: &[u8], text: &[u8]| {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("any key will do");
        mac.update(text);
        mac.finalize().into_bytes()
    };
    let extracted = sha512(&[0; 64], host_id.as_bytes());
    let key = sha512(&extracted, &[1]);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key[..32]).expect("any key will do");
    mac.update(identifier.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(&mac.finalize().into_bytes()[..8])
}

fn bind(namespace: &Namespace, port: u16) -> io::Result<tokio::net::TcpListener> {
    // At addresses of both kinds, where the machine has both.
    let try_it = || {
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
    };
    let listener = namespace.with(|| {
        let until = Instant::now() + FORKED_MAX;
        loop {
            match try_it() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                bound => return bound,
            }
        }
    })??;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

async fn serve_lockdownd(phone: Phone, hearts: Arc<watch::Sender<usize>>, stream: TcpStream) {
    let allowed = phone.lockdown_value("com.apple.mobile.wireless_lockdown", "EnableWifiConnections");
    if allowed.as_ref().and_then(Value::as_boolean) != Some(true) {
        return;
    }
    let stream = Freezing::new(&phone, stream);
    tokio::select! {
        served = lockdownd::serve(&phone, stream) => if let Err(error) = served {
            debug!(%error, "a connection over the network ended");
        },
        () = heartless(&hearts) => debug!("no heartbeat: lockdownd hangs up"),
    }
}

/// One connection to a port that StartService handed out.
async fn serve_port(phone: Phone, hearts: Arc<watch::Sender<usize>>, listener: tokio::net::TcpListener, port: u16) {
    let Ok((stream, _)) = listener.accept().await else { return };
    drop(listener);
    let Some(open) = phone.services().ports.take_from_the_network(port) else { return };
    let heart = (open.service == HEARTBEAT).then(|| Beating::new(&hearts));
    let stream = Freezing::new(&phone, stream);
    let served = services::serve(&phone, open, stream);
    if heart.is_some() {
        drop(served.await);
        return;
    }
    tokio::select! {
        served = served => if let Err(error) = served {
            debug!(%error, "a service over the network ended");
        },
        () = heartless(&hearts) => debug!("no heartbeat: the service hangs up"),
    }
}

/// Counts one heartbeat while it lives.
struct Beating(Arc<watch::Sender<usize>>);

impl Beating {
    fn new(hearts: &Arc<watch::Sender<usize>>) -> Self {
        hearts.send_modify(|count| *count += 1);
        Self(hearts.clone())
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Ends when there has been no heartbeat for too long.
async fn heartless(hearts: &watch::Sender<usize>) {
    let mut hearts = hearts.subscribe();
    loop {
        // The sender lives as long as its phone serves.
        drop(hearts.wait_for(|count| *count == 0).await);
        if tokio::time::timeout(HEARTLESS_MAX, hearts.wait_for(|count| *count > 0)).await.is_err() {
            return;
        }
    }
}
