//! The pair records of this computer, one file a phone, and its own name among phones.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use plist::{Dictionary, Value};
use tokio::sync::broadcast;
use uuid::Uuid;

const CONFIGURATION: &str = "SystemConfiguration.plist";

/// The folder that usbmuxd calls `/var/lib/lockdown`.
pub struct PairRecords {
    folder: PathBuf,
    buid: String,
    paired: broadcast::Sender<u32>,
}

impl PairRecords {
    /// Opens the folder; a new one gets a BUID.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(CONFIGURATION);
        let known = plist::from_file::<_, Dictionary>(&path).ok();
        let buid = match known.as_ref().and_then(|known| known.get("SystemBUID")?.as_string()) {
            Some(buid) => buid.to_owned(),
            None => {
                let buid = Uuid::new_v4().to_string().to_uppercase();
                let configuration = Dictionary::from_iter([("SystemBUID", Value::from(buid.as_str()))]);
                plist::to_file_xml(&path, &configuration).map_err(io::Error::other)?;
                buid
            }
        };
        Ok(Self { folder: folder.to_owned(), buid, paired: broadcast::Sender::new(16) })
    }

    /// `SystemBUID`.
    pub fn buid(&self) -> &str {
        &self.buid
    }

    /// Where the record of this phone is kept; None for a name that would leave the folder.
    pub fn path(&self, udid: &str) -> Option<PathBuf> {
        let plain = !udid.is_empty() && udid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain.then(|| self.folder.join(format!("{udid}.plist")))
    }

    /// The record of this phone as saved.
    pub fn read(&self, udid: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(udid).ok_or(io::ErrorKind::InvalidInput)?)
    }

    /// Keeps a record.
    pub fn save(&self, udid: &str, record: &[u8]) -> io::Result<()> {
        fs::write(self.path(udid).ok_or(io::ErrorKind::InvalidInput)?, record)
    }

    /// Forgets a record.
    pub fn delete(&self, udid: &str) -> io::Result<()> {
        fs::remove_file(self.path(udid).ok_or(io::ErrorKind::InvalidInput)?)
    }

    /// Tells listeners that the record of this device was saved.
    pub(super) fn tell_paired(&self, device_id: u32) {
        drop(self.paired.send(device_id));
    }

    /// The devices whose records are saved from now on.
    pub(super) fn paired(&self) -> broadcast::Receiver<u32> {
        self.paired.subscribe()
    }
}
