//! The way to one phone: through usbmuxd to lockdownd, and from there to its services.

use std::{path::PathBuf, time::Duration};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
};
use idevice::{
    Idevice, IdeviceError, ReadWrite,
    lockdown::LockdownClient,
    pairing_file::PairingFile,
    usbmuxd::{Connection, UsbmuxdAddr, UsbmuxdConnection, UsbmuxdDevice},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use super::guard::{Framing, Guarded};
use crate::{health::diagnose, host::usb_bus};

/// How we call ourselves to usbmuxd and lockdownd.
const LABEL: &str = "backstay";

/// A phone that is awake answers a request in milliseconds.
pub const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(15);

/// Read-ahead below TLS: one system call then fetches some sixteen records.
const SOCKET_BUFFER_BYTES: usize = 256 * 1024;

/// Runs a step with the deadline of an answer; a failure says what was being done.
///
/// # Errors
/// The step's own, told apart; or that no answer came.
pub async fn within<T>(doing: &str, step: impl Future<Output = Result<T, IdeviceError>>) -> Result<T, Failure> {
    in_time(doing, diagnose::device, step).await
}

/// As [`within`], for an answer of usbmuxd.
async fn answered<T>(doing: &str, step: impl Future<Output = Result<T, IdeviceError>>) -> Result<T, Failure> {
    in_time(doing, diagnose::muxer_answer, step).await
}

async fn in_time<T>(
    doing: &str,
    named: fn(&IdeviceError) -> Failure,
    step: impl Future<Output = Result<T, IdeviceError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_SECONDS_MAX, step).await {
        Ok(answer) => answer.map_err(|error| named(&error).doing(doing)),
        Err(_) => {
            let seconds = ANSWER_SECONDS_MAX.as_secs();
            Err(Failure::from(FailureId::SessionLost).doing(doing).text(format!("no answer for {seconds} s")))
        }
    }
}

/// What usbmuxd answers in place of a pair record that it does not have: ENOENT. Source: usbmuxd `src/client.c`.
const NO_SUCH_RECORD: u64 = 2;

/// Asks for a pair record: the record, or the number that came in its place. `idevice` does not tell a record that is not there from one that can't be read.
///
/// The message is a length, version 1, type 8 (a property list) and a tag, little-endian. Source: usbmuxd
/// `src/usbmuxd-proto.h`.
async fn read_pair_record<S: ReadWrite>(socket: &mut S, udid: &Udid) -> Result<Result<PairingFile, u64>, IdeviceError> {
    let request = plist::Dictionary::from_iter([
        ("MessageType", "ReadPairRecord"),
        ("PairRecordID", udid.as_str()),
        ("ClientVersionString", LABEL),
        ("ProgName", LABEL),
    ]);
    let mut message = vec![0; 16];
    plist::to_writer_xml(&mut message, &request)?;
    let length = u32::try_from(message.len()).map_err(|_| IdeviceError::IntegerOverflow)?;
    for (at, number) in [length, 1, 8, 1].into_iter().enumerate() {
        message[at * 4..][..4].copy_from_slice(&number.to_le_bytes());
    }
    socket.write_all(&message).await?;
    socket.flush().await?;
    let length = socket.read_u32_le().await?;
    let mut header = [0; 12];
    socket.read_exact(&mut header).await?;
    // Bounded by the guard before the first byte of it came.
    let mut body = vec![0; (length as usize).saturating_sub(16)];
    socket.read_exact(&mut body).await?;
    let mut answer: plist::Dictionary = plist::from_bytes(&body)?;
    match (answer.remove("PairRecordData"), answer.get("Number").and_then(plist::Value::as_unsigned_integer)) {
        (Some(plist::Value::Data(record)), _) => Ok(Ok(PairingFile::from_bytes(&record)?)),
        (_, Some(number)) => Ok(Err(number)),
        _ => Err(IdeviceError::UnexpectedResponse("neither a pair record nor a number".into())),
    }
}

/// The usbmuxd that phones are reached through.
#[derive(Debug, Clone)]
pub struct Muxer {
    address: UsbmuxdAddr,
    /// Somebody named its address, so that it is expected to be there.
    named: bool,
}

/// A phone that usbmuxd knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// usbmuxd's number for it; new at every plugging in.
    pub device_id: u32,
    /// The phone.
    pub udid: Udid,
    /// True over USB.
    pub usb: bool,
}

impl Attached {
    /// Leaves out what is no phone of ours: a device whose identifier could not name a folder.
    pub fn from_muxer(device: &UsbmuxdDevice) -> Option<Self> {
        let usb = device.connection_type == Connection::Usb;
        match device.udid.parse() {
            Ok(udid) => Some(Self { device_id: device.device_id, udid, usb }),
            Err(error) => {
                tracing::warn!(%error, "a device is ignored");
                None
            }
        }
    }
}

impl Muxer {
    /// Reads `USBMUXD_SOCKET_ADDRESS` in each form that other clients read (`UNIX:/path`, `/path`, `host:port`),
    /// else the platform's own place.
    ///
    /// # Errors
    /// When the variable holds something else.
    pub fn from_environment() -> Result<Self, Failure> {
        let Some(text) = std::env::var_os("USBMUXD_SOCKET_ADDRESS").filter(|text| !text.is_empty()) else {
            return Ok(Self { address: UsbmuxdAddr::default(), named: false });
        };
        let text = text.to_string_lossy().into_owned();
        Self::at(&text).ok_or_else(|| {
            Failure::from(FailureId::UsbmuxdNotRunning)
                .text(format!("USBMUXD_SOCKET_ADDRESS is {text:?}: expected UNIX:/path, /path or host:port"))
        })
    }

    fn at(text: &str) -> Option<Self> {
        let path = text.strip_prefix("UNIX:").unwrap_or(text);
        #[cfg(unix)]
        if path.starts_with('/') {
            return Some(Self { address: UsbmuxdAddr::UnixSocket(path.to_owned()), named: true });
        }
        let mut found = std::net::ToSocketAddrs::to_socket_addrs(path).ok()?;
        Some(Self { address: UsbmuxdAddr::TcpSocket(found.next()?), named: true })
    }

    /// Debian's usbmuxd starts with the first phone and ends with the last (its udev rules say so): that it is not there
    /// means nothing while no phone is on the bus.
    pub fn is_not_wanted(&self, failure: &Failure) -> bool {
        failure.id == FailureId::UsbmuxdNotRunning
            && !self.named
            && cfg!(target_os = "linux")
            && usb_bus::apple_devices(usb_bus::SYSFS.as_ref()).is_empty()
    }

    /// Where it listens, for messages.
    pub fn place(&self) -> PathBuf {
        match &self.address {
            #[cfg(unix)]
            UsbmuxdAddr::UnixSocket(path) => PathBuf::from(path),
            UsbmuxdAddr::TcpSocket(address) => PathBuf::from(address.to_string()),
        }
    }

    /// Connects to it.
    ///
    /// # Errors
    /// `usbmuxd-not-running` or `usbmuxd-permission-denied`.
    pub async fn connect(&self) -> Result<UsbmuxdConnection, Failure> {
        self.connect_framed(Framing::Usbmuxd).await
    }

    async fn connect_framed(&self, framing: Framing) -> Result<UsbmuxdConnection, Failure> {
        Ok(UsbmuxdConnection::new(Box::new(self.socket(framing).await?), 1))
    }

    async fn socket(&self, framing: Framing) -> Result<Guarded<BufReader<Box<dyn ReadWrite>>>, Failure> {
        match tokio::time::timeout(ANSWER_SECONDS_MAX, self.address.to_socket()).await {
            Ok(Ok(socket)) => Ok(Guarded::new(BufReader::with_capacity(SOCKET_BUFFER_BYTES, socket), framing)),
            Ok(Err(error)) => Err(diagnose::muxer(&error).path(self.place())),
            Err(_) => Err(Failure::from(FailureId::UsbmuxdNotRunning).path(self.place()).text("no answer")),
        }
    }

    /// The phones that are here.
    ///
    /// # Errors
    /// When usbmuxd can't be asked.
    pub async fn devices(&self) -> Result<Vec<Attached>, Failure> {
        let mut connection = self.connect().await?;
        let devices = answered("listing phones", connection.get_devices()).await?;
        Ok(devices.iter().filter_map(Attached::from_muxer).collect())
    }

    /// The computer's identity towards phones.
    ///
    /// # Errors
    /// When usbmuxd can't be asked.
    pub async fn system_buid(&self) -> Result<String, Failure> {
        let mut connection = self.connect().await?;
        answered("asking usbmuxd for its identity", connection.get_buid()).await
    }

    /// The pair record of a phone; none when this computer was never trusted.
    ///
    /// # Errors
    /// When usbmuxd can't be asked.
    pub async fn pair_record(&self, udid: &Udid) -> Result<Option<PairingFile>, Failure> {
        let mut socket = self.socket(Framing::Usbmuxd).await?;
        let doing = "reading the pair record";
        match tokio::time::timeout(ANSWER_SECONDS_MAX, read_pair_record(&mut socket, udid)).await {
            Ok(Ok(Ok(record))) => Ok(Some(record)),
            Ok(Ok(Err(NO_SUCH_RECORD))) => Ok(None),
            Ok(Ok(Err(number))) => {
                let code = i64::try_from(number).unwrap_or(i64::MAX);
                Err(Failure::from(FailureId::UsbmuxdRefused).code(code).doing(doing))
            }
            Ok(Err(error)) => Err(diagnose::muxer_answer(&error).doing(doing)),
            Err(_) => Err(Failure::from(FailureId::UsbmuxdRefused).doing(doing)),
        }
    }

    /// Lets usbmuxd keep a new pair record.
    ///
    /// # Errors
    /// `pair-record-save-failed`.
    pub async fn save_pair_record(&self, udid: &Udid, record: Vec<u8>) -> Result<(), Failure> {
        let mut connection = self.connect().await?;
        answered("saving the pair record", connection.save_pair_record(udid.as_str(), record))
            .await
            .map_err(|failure| Failure { id: FailureId::PairRecordSaveFailed, ..failure })
    }

    /// A connection to a port of a phone.
    ///
    /// # Errors
    /// When the phone is gone or the port is closed.
    pub async fn port(&self, device_id: u32, port: u16) -> Result<Idevice, Failure> {
        let lockdownd = port == LockdownClient::LOCKDOWND_PORT;
        let framing = if lockdownd { Framing::UsbmuxdThenLockdownd } else { Framing::UsbmuxdThenService };
        let connection = self.connect_framed(framing).await?;
        answered("connecting to the phone", connection.connect_to_device(device_id, port, LABEL)).await
    }
}

/// An authenticated conversation with lockdownd, from which services are started.
#[derive(Debug)]
pub struct Session {
    muxer: Muxer,
    device_id: u32,
    record: PairingFile,
    lockdown: LockdownClient,
    legacy: bool,
}

impl Session {
    /// Opens one.
    ///
    /// # Errors
    /// When the phone is gone, does not trust this computer (any more), or does not answer.
    pub async fn open(muxer: &Muxer, attached: &Attached) -> Result<Self, Failure> {
        let record = muxer.pair_record(&attached.udid).await?;
        let record = record.ok_or_else(|| Failure::from(FailureId::TrustPending).doing("looking for a pair record"))?;
        let socket = muxer.port(attached.device_id, LockdownClient::LOCKDOWND_PORT).await?;
        let mut lockdown = LockdownClient::new(socket);
        let legacy = in_time("starting a session", diagnose::handshake, lockdown.start_session(&record)).await?;
        lockdown.idevice = guard(lockdown.idevice, Framing::PropertyLists)?;
        Ok(Self { muxer: muxer.clone(), device_id: attached.device_id, record, lockdown, legacy })
    }

    /// A value of lockdownd; none when the phone does not have it.
    ///
    /// # Errors
    /// When the phone does not answer.
    pub async fn value(&mut self, domain: Option<&str>, key: Option<&str>) -> Result<Option<plist::Value>, Failure> {
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

    /// Starts a service and connects to it. With the escrow bag the phone serves also while it is locked, once it was
    /// unlocked since its restart.
    ///
    /// # Errors
    /// When the phone refuses or does not answer.
    pub async fn service(&mut self, name: &str) -> Result<Idevice, Failure> {
        let escrow_bag = self.record.escrow_bag.clone();
        let starting = self.lockdown.start_service_with_escrow(name, escrow_bag);
        let (port, tls) = within(&format!("starting {name}"), starting).await?;
        let mut socket = self.muxer.port(self.device_id, port).await?;
        if tls {
            let securing = socket.start_session(&self.record, self.legacy);
            in_time(&format!("securing {name}"), diagnose::handshake, securing).await?;
        }
        Ok(socket)
    }

    /// The way to its phone: usbmuxd, and its number there.
    pub fn way(&self) -> (Muxer, u32) {
        (self.muxer.clone(), self.device_id)
    }

    /// Ends it; the phone would notice by itself, later.
    pub async fn close(mut self) {
        if let Err(failure) = within("ending the session", self.lockdown.stop_session()).await {
            tracing::debug!(%failure, "the session did not end cleanly");
        }
    }
}

/// Puts a bound on what a service may announce, above TLS.
///
/// # Errors
/// Never in practice: a socket that was just connected is there.
pub fn guard(mut socket: Idevice, framing: Framing) -> Result<Idevice, Failure> {
    let udid = socket.udid().map(str::to_owned);
    let raw = socket.get_socket().ok_or_else(|| Failure::from(FailureId::SessionLost).text("no socket"))?;
    socket = Idevice::new(Box::new(Guarded::new(raw, framing)), LABEL);
    if let Some(udid) = udid {
        socket.set_udid(udid);
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn every_form_of_the_address_is_read() {
        for (text, place) in [
            ("UNIX:/run/usbmuxd", Some("/run/usbmuxd")),
            ("/run/a:b", Some("/run/a:b")),
            ("127.0.0.1:27015", Some("127.0.0.1:27015")),
            ("UNIX:", None),
            ("nonsense", None),
        ] {
            assert_eq!(Muxer::at(text).map(|muxer| muxer.place()), place.map(PathBuf::from), "{text}");
        }
    }
}
