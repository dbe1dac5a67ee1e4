//! An authenticated conversation with lockdownd.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backstay_shared::health::{Failure, FailureId};
use idevice::{Idevice, IdeviceError, heartbeat::HeartbeatClient, lockdown::LockdownClient, pairing_file::PairingFile};
use plist::{Dictionary, Value};
use tokio::sync::watch;

use super::{ANSWER_SECONDS_MAX, Attached, LABEL, Muxer, exchange, guard, in_time, raw, within};
use crate::{
    health::diagnose,
    phone::{
        guard::Framing,
        heartbeat::{Heart, Pulse},
        secure,
    },
};

/// An authenticated conversation with lockdownd, from which services are started.
#[derive(Debug)]
pub struct Session {
    muxer: Muxer,
    attached: Attached,
    record: PairingFile,
    lockdown: LockdownClient,
    legacy: bool,
    heart: Option<Arc<Heart>>,
}

impl Session {
    /// Opens one. Over a network it is with the phone that was paired, or none; its heartbeat is answered from then on.
    ///
    /// # Errors
    /// When the phone is gone, does not trust this computer (any more), or does not answer.
    pub async fn open(muxer: &Muxer, attached: &Attached) -> Result<Self, Failure> {
        let mut session = Self::open_plainly(muxer, attached).await?;
        if !attached.usb {
            session.heart = session.start_heart().await;
        }
        Ok(session)
    }

    /// As [`Self::open`], without a heartbeat: for a word or two.
    ///
    /// # Errors
    /// As there.
    pub async fn open_plainly(muxer: &Muxer, attached: &Attached) -> Result<Self, Failure> {
        let record = muxer.pair_record(attached).await?;
        let record = record.ok_or_else(|| Failure::from(FailureId::TrustPending).doing("looking for a pair record"))?;
        let socket = muxer.port(attached, LockdownClient::LOCKDOWND_PORT).await?;
        let (mut lockdown, legacy) = if attached.usb {
            let mut lockdown = LockdownClient::new(socket);
            let legacy = in_time("starting a session", diagnose::handshake, lockdown.start_session(&record)).await?;
            (lockdown, legacy)
        } else {
            let starting = start_session(socket, &record);
            (in_time("starting a session", diagnose::handshake, starting).await?, false)
        };
        lockdown.idevice = guard(lockdown.idevice, Framing::PropertyLists)?;
        Ok(Self { muxer: muxer.clone(), attached: attached.clone(), record, lockdown, legacy, heart: None })
    }

    /// A phone that does without is none the worse for it.
    async fn start_heart(&mut self) -> Option<Arc<Heart>> {
        let connecting = async {
            let socket = self.service("com.apple.mobile.heartbeat").await?;
            guard(socket, Framing::PropertyLists)
        };
        match connecting.await {
            Ok(socket) => Some(Arc::new(Heart::start(HeartbeatClient::new(socket)))),
            Err(failure) => {
                tracing::debug!(%failure, "no heartbeat");
                None
            }
        }
    }

    /// A value of lockdownd; none when the phone does not have it.
    ///
    /// # Errors
    /// When the phone does not answer.
    pub async fn value(&mut self, domain: Option<&str>, key: Option<&str>) -> Result<Option<Value>, Failure> {
        match tokio::time::timeout(ANSWER_SECONDS_MAX, self.lockdown.get_value(key, domain)).await {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(error @ IdeviceError::Socket(_))) => {
                Err(diagnose::device(&error).doing("reading the phone's facts"))
            }
            Ok(Err(error)) => {
                tracing::debug!(?domain, ?key, %error, "the phone does not tell a value");
                Ok(None)
            }
            Err(_) => Err(Failure::from(FailureId::SessionLost).doing("reading the phone's facts")),
        }
    }

    /// Changes a value of lockdownd.
    ///
    /// # Errors
    /// When the phone refuses or does not answer.
    pub async fn set_value(&mut self, domain: &str, key: &str, value: Value) -> Result<(), Failure> {
        within(&format!("setting {key}"), self.lockdown.set_value(key, value, Some(domain))).await
    }

    /// How long the phone takes for the smallest question.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn round_trip(&mut self) -> Result<Duration, Failure> {
        let asked = Instant::now();
        within("measuring the link", self.lockdown.get_value(Some("ProductVersion"), None)).await?;
        Ok(asked.elapsed())
    }

    /// Starts a service and connects to it. With the escrow bag the phone serves also while it is locked, once it was
    /// unlocked since its restart.
    ///
    /// # Errors
    /// When the phone refuses or does not answer.
    pub async fn service(&mut self, name: &str) -> Result<Idevice, Failure> {
        let escrow_bag = self.record.escrow_bag.clone();
        let has_key = escrow_bag.is_some();
        let starting = self.lockdown.start_service_with_escrow(name, escrow_bag);
        let (port, tls) = within(&format!("starting {name}"), starting).await.map_err(|failure| match failure.id {
            FailureId::DeviceLocked if !self.attached.usb && !has_key => {
                Failure { id: FailureId::WifiNeedsUnlock, ..failure }
            }
            _ => failure,
        })?;
        let mut socket = self.muxer.port(&self.attached, port).await?;
        let doing = format!("securing {name}");
        match (tls, self.attached.usb) {
            (true, true) => {
                in_time(&doing, diagnose::handshake, socket.start_session(&self.record, self.legacy)).await?;
            }
            (true, false) => {
                let raw = raw(socket)?;
                let secured = in_time(&doing, diagnose::handshake, secure::begin(raw, &self.record)).await?;
                socket = Idevice::new(secured, LABEL);
            }
            (false, true) => {}
            // Nothing of the phone's goes through a network in the clear.
            (false, false) => return Err(Failure::from(FailureId::SecureConnectionFailed).doing(doing)),
        }
        Ok(socket)
    }

    /// True when services read the phone also while its screen is locked.
    pub fn has_escrow_bag(&self) -> bool {
        self.record.escrow_bag.is_some()
    }

    /// Takes in what the phone says of being backed up over Wi-Fi. Only on its cable that changes what is kept of it.
    pub fn allows_wifi(&self, allowed: bool) {
        if self.attached.usb {
            self.muxer.records.allow(&self.attached.udid, allowed, &self.record);
        }
    }

    /// By what it and this computer know each other. It is never logged, shown or reported.
    pub const fn pair_record(&self) -> &PairingFile {
        &self.record
    }

    /// The way to its phone.
    pub fn way(&self) -> (Muxer, Attached) {
        (self.muxer.clone(), self.attached.clone())
    }

    /// What services need kept over a network, also when the session is closed before they are done.
    pub fn heart(&self) -> Option<Arc<Heart>> {
        self.heart.clone()
    }

    /// How the phone's heart is, where it can be heard.
    pub fn pulse(&self) -> Option<watch::Receiver<Pulse>> {
        self.heart.as_ref().map(|heart| heart.pulse())
    }

    /// Ends it; the phone would notice by itself, later.
    pub async fn close(mut self) {
        // The number of a session that was started here is known to nobody who could stop it: its end is hanging up.
        if !self.attached.usb {
            return;
        }
        if let Err(failure) = within("ending the session", self.lockdown.stop_session()).await {
            tracing::debug!(%failure, "the session did not end cleanly");
        }
    }
}

/// `StartSession`, and TLS with the paired phone only.
async fn start_session(socket: Idevice, record: &PairingFile) -> Result<LockdownClient, IdeviceError> {
    let request = Dictionary::from_iter([
        ("Label", LABEL),
        ("Request", "StartSession"),
        ("HostID", &record.host_id),
        ("SystemBUID", &record.system_buid),
    ]);
    let mut socket = socket.get_socket().ok_or(IdeviceError::NoEstablishedConnection)?;
    let answer = exchange(&mut socket, &request).await?;
    match answer.get("Error").and_then(Value::as_string) {
        Some("InvalidHostID") => return Err(IdeviceError::InvalidHostID),
        Some(error) => return Err(IdeviceError::UnknownErrorType(error.chars().take(80).collect())),
        None => {}
    }
    if answer.get("EnableSessionSSL").and_then(Value::as_boolean) != Some(true) {
        return Err(IdeviceError::UnexpectedResponse("a session without TLS".into()));
    }
    Ok(LockdownClient::new(Idevice::new(secure::begin(socket, record).await?, LABEL)))
}
