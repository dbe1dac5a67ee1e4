//! The way to one phone: through usbmuxd or straight over the network to lockdownd, and from there to its services.

mod session;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

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
use plist::Dictionary;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

pub use self::session::Session;
use super::{
    guard::{Framing, Guarded},
    pair_records::{self, NO_SUCH_RECORD, OwnRecords},
};
use crate::{health::diagnose, host::usb_bus};

/// How we call ourselves to usbmuxd and lockdownd.
pub(super) const LABEL: &str = "backstay";

/// A phone that is awake answers a request in milliseconds.
pub const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(15);

/// A phone in the same network takes a connection in milliseconds, when it wakes for it in a second or two.
const CONNECT_SECONDS_MAX: Duration = Duration::from_secs(5);

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

/// The ways to the phones: the usbmuxd that most are reached through, and the pair records for those on the network.
#[derive(Debug, Clone)]
pub struct Muxer {
    address: UsbmuxdAddr,
    /// Somebody named its address, so that it is expected to be there.
    named: bool,
    records: OwnRecords,
    /// The settings want no phone over Wi-Fi.
    cables_only: Arc<AtomicBool>,
}

/// Through what a phone is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Through usbmuxd, whose number for it is new at every plugging in.
    Muxed(u32),
    /// Straight, at the address of its lockdownd.
    Direct(SocketAddr),
}

/// A phone that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Through what.
    pub way: Way,
    /// The phone.
    pub udid: Udid,
    /// True over USB.
    pub usb: bool,
}

impl Attached {
    /// Leaves out what is no phone of ours: a device whose identifier could not name a folder.
    fn from_muxer(device: &UsbmuxdDevice) -> Option<Self> {
        let usb = device.connection_type == Connection::Usb;
        match device.udid.parse() {
            Ok(udid) => Some(Self { way: Way::Muxed(device.device_id), udid, usb }),
            Err(error) => {
                tracing::warn!(%error, "a device is ignored");
                None
            }
        }
    }

    /// A phone whose lockdownd answers at this address.
    pub const fn on_the_network(udid: Udid, address: SocketAddr) -> Self {
        Self { way: Way::Direct(address), udid, usb: false }
    }

    /// True when usbmuxd leads to it.
    pub const fn is_muxed(&self) -> bool {
        matches!(self.way, Way::Muxed(_))
    }
}

impl Muxer {
    /// Reads `USBMUXD_SOCKET_ADDRESS` in each form that other clients read (`UNIX:/path`, `/path`, `host:port`),
    /// else the platform's own place. Copies of pair records are kept in the state folder.
    ///
    /// # Errors
    /// When the variable holds something else.
    pub fn from_environment(state_folder: &Path) -> Result<Self, Failure> {
        let records = OwnRecords::in_folder(state_folder);
        let Some(text) = std::env::var_os("USBMUXD_SOCKET_ADDRESS").filter(|text| !text.is_empty()) else {
            return Ok(Self { address: UsbmuxdAddr::default(), named: false, records, cables_only: Arc::default() });
        };
        let text = text.to_string_lossy().into_owned();
        let address = address_of(&text).ok_or_else(|| {
            Failure::from(FailureId::UsbmuxdNotRunning)
                .text(format!("USBMUXD_SOCKET_ADDRESS is {text:?}: expected UNIX:/path, /path or host:port"))
        })?;
        Ok(Self { address, named: true, records, cables_only: Arc::default() })
    }

    /// Whether phones on the network count, as the settings say: those that usbmuxd offers, too.
    pub fn use_wifi(&self, wanted: bool) {
        self.records.set_wanted(wanted);
        self.cables_only.store(!wanted, Ordering::Relaxed);
    }

    /// A device of usbmuxd that is a phone of ours, over a link that counts.
    pub fn attached(&self, device: &UsbmuxdDevice) -> Option<Attached> {
        Attached::from_muxer(device).filter(|attached| attached.usb || !self.cables_only.load(Ordering::Relaxed))
    }

    /// Backstay's own copies of pair records.
    pub const fn records(&self) -> &OwnRecords {
        &self.records
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
        place_of(&self.address)
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
        Ok(devices.iter().filter_map(|device| self.attached(device)).collect())
    }

    /// The computer's identity towards phones.
    ///
    /// # Errors
    /// When usbmuxd can't be asked.
    pub async fn system_buid(&self) -> Result<String, Failure> {
        let mut connection = self.connect().await?;
        answered("asking usbmuxd for its identity", connection.get_buid()).await
    }

    /// The pair record of a phone, from whoever leads to it; none when this computer was never trusted.
    ///
    /// # Errors
    /// When usbmuxd can't be asked.
    pub async fn pair_record(&self, attached: &Attached) -> Result<Option<PairingFile>, Failure> {
        match attached.way {
            Way::Muxed(_) => self.muxed_pair_record(&attached.udid).await,
            Way::Direct(_) => Ok(self.records.get(&attached.udid)),
        }
    }

    async fn muxed_pair_record(&self, udid: &Udid) -> Result<Option<PairingFile>, Failure> {
        let mut socket = self.socket(Framing::Usbmuxd).await?;
        let doing = "reading the pair record";
        match tokio::time::timeout(ANSWER_SECONDS_MAX, pair_records::read(&mut socket, udid)).await {
            Ok(Ok(Ok(record))) => Ok(Some(record)),
            Ok(Ok(Err(NO_SUCH_RECORD))) => {
                self.records.forget(udid);
                Ok(None)
            }
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
    pub async fn port(&self, attached: &Attached, port: u16) -> Result<Idevice, Failure> {
        let lockdownd = port == LockdownClient::LOCKDOWND_PORT;
        match attached.way {
            Way::Muxed(device_id) => {
                let framing = if lockdownd { Framing::UsbmuxdThenLockdownd } else { Framing::UsbmuxdThenService };
                let connection = self.connect_framed(framing).await?;
                answered("connecting to the phone", connection.connect_to_device(device_id, port, LABEL)).await
            }
            Way::Direct(mut address) => {
                // What is announced as lockdownd's port is where it listens.
                if !lockdownd {
                    address.set_port(port);
                }
                let connecting = tokio::time::timeout(CONNECT_SECONDS_MAX, TcpStream::connect(address)).await;
                let connected = connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
                let stream = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
                let stream = stream.map_err(|error| diagnose::network(&error, &address))?;
                // A service most likely speaks TLS at once.
                let framing = if lockdownd { Framing::PropertyLists } else { Framing::Open };
                let buffered = BufReader::with_capacity(SOCKET_BUFFER_BYTES, stream);
                Ok(Idevice::new(Box::new(Guarded::new(buffered, framing)), LABEL))
            }
        }
    }
}

fn place_of(address: &UsbmuxdAddr) -> PathBuf {
    match address {
        #[cfg(unix)]
        UsbmuxdAddr::UnixSocket(path) => PathBuf::from(path),
        UsbmuxdAddr::TcpSocket(address) => PathBuf::from(address.to_string()),
    }
}

fn address_of(text: &str) -> Option<UsbmuxdAddr> {
    let path = text.strip_prefix("UNIX:").unwrap_or(text);
    #[cfg(unix)]
    if path.starts_with('/') {
        return Some(UsbmuxdAddr::UnixSocket(path.to_owned()));
    }
    let mut found = std::net::ToSocketAddrs::to_socket_addrs(path).ok()?;
    Some(UsbmuxdAddr::TcpSocket(found.next()?))
}

/// One request and one answer of lockdownd, for which `idevice` has no call.
///
/// # Errors
/// When the phone does not answer, or with nonsense.
pub async fn exchange(socket: &mut Box<dyn ReadWrite>, request: &Dictionary) -> Result<Dictionary, IdeviceError> {
    let mut body = Vec::new();
    plist::to_writer_xml(&mut body, request)?;
    let length = u32::try_from(body.len()).map_err(|_| IdeviceError::IntegerOverflow)?;
    socket.write_all(&length.to_be_bytes()).await?;
    socket.write_all(&body).await?;
    socket.flush().await?;
    let length = socket.read_u32().await?;
    // Bounded by the guard before the first byte of it came.
    let mut body = vec![0; length as usize];
    socket.read_exact(&mut body).await?;
    Ok(plist::from_bytes(&body)?)
}

fn raw(socket: Idevice) -> Result<Box<dyn ReadWrite>, Failure> {
    socket.get_socket().ok_or_else(|| Failure::from(FailureId::SessionLost).text("no socket"))
}

/// Puts a bound on what a service may announce, above TLS.
///
/// # Errors
/// Never in practice: a socket that was just connected is there.
pub fn guard(mut socket: Idevice, framing: Framing) -> Result<Idevice, Failure> {
    let udid = socket.udid().map(str::to_owned);
    socket = Idevice::new(Box::new(Guarded::new(raw(socket)?, framing)), LABEL);
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
            assert_eq!(address_of(text).map(|address| place_of(&address)), place.map(PathBuf::from), "{text}");
        }
    }
}
