//! Pair records: what usbmuxd keeps, and Backstay's own copies, with which a phone is reached over Wi-Fi also where
//! usbmuxd does not run (Debian's ends with the last phone on USB).

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use backstay_shared::ids::Udid;
use idevice::{IdeviceError, ReadWrite, pairing_file::PairingFile};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

use super::link::LABEL;
use crate::host::disk;

/// What usbmuxd answers in place of a pair record that it does not have: ENOENT. Source: usbmuxd `src/client.c`.
pub const NO_SUCH_RECORD: u64 = 2;

/// Asks usbmuxd for a pair record: the record, or the number that came in its place. `idevice` does not tell a record
/// that is not there from one that can't be read.
///
/// The message is a length, version 1, type 8 (a property list) and a tag, little-endian. Source: usbmuxd
/// `src/usbmuxd-proto.h`.
///
/// # Errors
/// When usbmuxd does not answer, or with nonsense.
pub async fn read<S: ReadWrite>(socket: &mut S, udid: &Udid) -> Result<Result<PairingFile, u64>, IdeviceError> {
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
        (Some(plist::Value::Data(record)), _) => Ok(Ok(parse(&record)?)),
        (_, Some(number)) => Ok(Err(number)),
        _ => Err(IdeviceError::UnexpectedResponse("neither a pair record nor a number".into())),
    }
}

/// A phone whose Wi-Fi is broken tells no address, and its record is as good without; `idevice` would refuse it.
fn parse(record: &[u8]) -> Result<PairingFile, IdeviceError> {
    let mut record: plist::Dictionary = plist::from_bytes(record)?;
    if !record.contains_key("WiFiMACAddress") {
        record.insert("WiFiMACAddress".into(), "".into());
    }
    PairingFile::from_value(&record.into())
}

/// Nobody has more phones; a folder that somebody filled is not read for ever.
const RECORDS_MAX: usize = 64;

/// Where a phone was last reached over Wi-Fi, and whether it allows that. Nothing here is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastSeen {
    /// `EnableWifiConnections`, as the phone last told it.
    pub allowed: Option<bool>,
    /// Where lockdownd answered.
    pub address: Option<SocketAddr>,
    /// Under which name it announced itself.
    pub name: Option<String>,
    /// It has said who it is by a tag (iOS 26.4 and newer).
    pub tagged: bool,
}

/// Backstay's own copies, for this user alone. Clones are the same. A record is as good as the phone's passcode to a
/// thief: it is never logged, shown or reported.
#[derive(Debug, Clone)]
pub struct OwnRecords {
    folder: PathBuf,
    /// New ones are kept.
    wanted: Arc<AtomicBool>,
    changed: watch::Sender<()>,
}

impl OwnRecords {
    /// Those in a folder of the state folder.
    pub fn in_folder(state_folder: &Path) -> Self {
        Self { folder: state_folder.join("pair-records"), wanted: Arc::default(), changed: watch::Sender::new(()) }
    }

    /// Whether this process keeps new ones, as the settings say. None is kept before that.
    pub fn set_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    fn file(&self, udid: &Udid, extension: &str) -> PathBuf {
        self.folder.join(format!("{udid}.{extension}"))
    }

    /// Told whenever a record comes or goes by this process.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Takes in whether a phone allows Wi-Fi, as it says over its cable, with the record that opened the session. Nobody
    /// but who allows it has his record copied.
    pub fn allow(&self, udid: &Udid, allowed: bool, record: &PairingFile) {
        self.note(udid, |seen| seen.allowed = Some(allowed));
        if !allowed {
            if fs::remove_file(self.file(udid, "plist")).is_ok() {
                self.changed.send_replace(());
            }
        } else if self.wanted.load(Ordering::Relaxed) {
            self.keep(udid, record);
        }
    }

    fn keep(&self, udid: &Udid, record: &PairingFile) {
        let keeping = || {
            let content = record.clone().serialize().map_err(io::Error::other)?;
            let file = self.file(udid, "plist");
            if fs::read(&file).is_ok_and(|kept| kept == content) {
                return Ok(false);
            }
            disk::make_private(&self.folder)?;
            disk::write_durably(&file, &content)?;
            Ok::<_, io::Error>(true)
        };
        match keeping() {
            Ok(true) => self.changed.send_replace(()),
            Ok(false) => {}
            Err(error) => tracing::warn!(%udid, %error, "the pair record can't be kept; Wi-Fi will not work"),
        }
    }

    /// The record of a phone, if there is one that can be read.
    pub fn get(&self, udid: &Udid) -> Option<PairingFile> {
        PairingFile::from_bytes(&fs::read(self.file(udid, "plist")).ok()?).ok()
    }

    /// The phones that have said whether they allow Wi-Fi.
    pub fn phones(&self) -> Vec<Udid> {
        self.named(".json")
    }

    fn named(&self, extension: &str) -> Vec<Udid> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut phones: Vec<Udid> =
            names.filter_map(|name| name.strip_suffix(extension)?.parse().ok()).take(RECORDS_MAX).collect();
        phones.sort();
        phones
    }

    /// The phones that may be on the network: those that allow it, and can be told from others.
    pub fn on_the_network(&self) -> Vec<Udid> {
        let mut phones = self.named(".plist");
        phones.retain(|udid| self.last_seen(udid).allowed == Some(true));
        phones
    }

    /// Says that something may have changed, also by another process.
    pub fn look_again(&self) {
        self.changed.send_replace(());
    }

    /// Forgets a phone that usbmuxd has forgotten: whoever took the trust back meant it.
    pub fn forget(&self, udid: &Udid) {
        let removed = fs::remove_file(self.file(udid, "plist"));
        drop(fs::remove_file(self.file(udid, "json")));
        if removed.is_ok() {
            self.changed.send_replace(());
        }
    }

    /// What is known of a phone on Wi-Fi.
    pub fn last_seen(&self, udid: &Udid) -> LastSeen {
        let text = fs::read(self.file(udid, "json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Notes what has just been learned.
    pub fn note(&self, udid: &Udid, learn: impl FnOnce(&mut LastSeen)) {
        let before = self.last_seen(udid);
        let mut seen = before.clone();
        learn(&mut seen);
        if seen == before {
            return;
        }
        let keeping = || {
            disk::make_private(&self.folder)?;
            disk::write_durably(&self.file(udid, "json"), &serde_json::to_vec(&seen)?)
        };
        if let Err(error) = keeping() {
            tracing::debug!(%udid, %error, "where the phone was seen can't be noted");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {

    use super::*;

    /// One with which no session opens.
    pub(crate) fn record(wifi_mac_address: &str) -> PairingFile {
        PairingFile {
            device_certificate: vec![1].into(),
            host_private_key: vec![2],
            host_certificate: vec![3].into(),
            root_private_key: vec![4],
            root_certificate: vec![5].into(),
            system_buid: "BUID".into(),
            host_id: format!("HOST of {wifi_mac_address}"),
            escrow_bag: None,
            wifi_mac_address: wifi_mac_address.into(),
            udid: None,
        }
    }

    #[test]
    fn only_who_allows_wifi_has_his_record_copied() {
        let folder = tempfile::tempdir().unwrap();
        let records = OwnRecords::in_folder(folder.path());
        let udid: Udid = "00008120-001A2D3E0C40201E".parse().unwrap();
        let record = record("");
        let file = folder.path().join("pair-records/00008120-001A2D3E0C40201E.plist");
        for (wanted, allowed, kept) in
            [(false, true, false), (true, false, false), (true, true, true), (false, true, true), (false, false, false)]
        {
            records.set_wanted(wanted);
            records.allow(&udid, allowed, &record);
            assert_eq!(file.exists(), kept, "{wanted} {allowed}");
            assert_eq!(!records.on_the_network().is_empty(), kept, "{wanted} {allowed}");
            assert_eq!(records.phones(), std::slice::from_ref(&udid), "{wanted} {allowed}");
            assert_eq!(records.last_seen(&udid).allowed, Some(allowed), "{wanted} {allowed}");
        }
    }
}
