//! `Info.plist`, the one file of a backup that the computer writes: who the phone is and which apps it has.
//!
//! Source of the keys: `idevicebackup2.c` and backups made by Finder.

use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime},
};

use backstay_shared::health::Failure;
use idevice::{
    IdeviceError, afc::AfcClient, installation_proxy::InstallationProxyClient,
    springboardservices::SpringBoardServicesClient,
};
use plist::{Dictionary, Value};
use uuid::Uuid;

use super::DiskError;
use crate::phone::{
    afc,
    facts::Facts,
    guard::Framing,
    link::{Session, guard, within},
    models,
};
use crate::vault::checksum::{self, Checksums};

/// Files of iTunes that a backup keeps.
const ITUNES_FILES: [&str; 11] = [
    "ApertureAlbumPrefs",
    "IC-Info.sidb",
    "IC-Info.sidv",
    "PhotosFolderAlbums",
    "PhotosFolderName",
    "PhotosFolderPrefs",
    "VoiceMemos.plist",
    "iPhotoAlbumPrefs",
    "iTunesApplicationIDs",
    "iTunesPrefs",
    "iTunesPrefs.plist",
];

/// Where Books keeps what it would sync.
const BOOKS: &str = "/Books/iBooksData2.plist";

/// All of them together; what is beyond is left out rather than read into memory.
const FILES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Texts that are taken over from lockdownd.
const TEXTS: [(&str, &str); 11] = [
    ("Build Version", "BuildVersion"),
    ("Device Name", "DeviceName"),
    ("Display Name", "DeviceName"),
    ("ICCID", "IntegratedCircuitCardIdentity"),
    ("IMEI", "InternationalMobileEquipmentIdentity"),
    ("IMEI 2", "InternationalMobileEquipmentIdentity2"),
    ("MEID", "MobileEquipmentIdentifier"),
    ("Phone Number", "PhoneNumber"),
    ("Product Type", "ProductType"),
    ("Product Version", "ProductVersion"),
    ("Serial Number", "SerialNumber"),
];

/// Puts it together from what the phone tells. What an optional service does not tell is left out.
///
/// # Errors
/// When lockdownd does not answer.
pub async fn gather(session: &mut Session, facts: &Facts) -> Result<Dictionary, Failure> {
    let mut info = Dictionary::new();
    let (applications, installed) = match apps(session).await {
        Ok(apps) => apps,
        Err(failure) => {
            tracing::warn!(%failure, "the list of apps is left out of Info.plist");
            Default::default()
        }
    };
    // Also without apps: idevicebackup2 1.3.0 gives up a restore when the first one is not there.
    info.insert("Applications".into(), applications.into());
    info.insert("Installed Applications".into(), installed.into());
    for (key, lockdown_key) in TEXTS {
        if let Some(text) = facts.value(lockdown_key).and_then(Value::as_string) {
            info.insert(key.into(), text.into());
        }
    }
    if let Some(name) = models::marketing_name(&facts.model) {
        info.insert("Product Name".into(), name.into());
    }
    let udid = facts.udid.as_str();
    // New in every backup, as idevicebackup2 does: no program is known to compare it with the one before.
    info.insert("GUID".into(), Uuid::new_v4().simple().to_string().to_uppercase().into());
    info.insert("Last Backup Date".into(), Value::Date(whole_seconds(SystemTime::now()).into()));
    info.insert("Target Identifier".into(), udid.into());
    info.insert("Target Type".into(), "Device".into());
    info.insert("Unique Identifier".into(), udid.to_uppercase().into());
    let mut files = Files::default();
    if let Err(failure) = files.read(session).await {
        tracing::warn!(%failure, "further files of the media folder are left out of Info.plist");
    }
    if let Some(books) = files.books {
        info.insert("iBooks Data 2".into(), Value::Data(books));
    }
    info.insert("iTunes Files".into(), files.itunes.into());
    let settings = session.value(Some("com.apple.iTunes"), None).await?;
    let settings = settings.and_then(Value::into_dictionary).unwrap_or_default();
    info.insert("iTunes Settings".into(), settings.into());
    let version = session.value(Some("com.apple.mobile.iTunes"), Some("MinITunesVersion")).await?;
    // The oldest version that iOS accepts, since there is no iTunes here.
    let version = version.and_then(Value::into_string).unwrap_or_else(|| "10.0.1".into());
    info.insert("iTunes Version".into(), version.into());
    Ok(info)
}

/// XML property lists know no fractions of a second; other programs end at one.
fn whole_seconds(at: SystemTime) -> SystemTime {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Writes it into the tree being made, as a new file: the old one may be a link to the last good backup's. Returns its
/// checksums.
///
/// # Errors
/// Of the file system.
pub fn write(tree: &Path, info: &Dictionary) -> Result<Checksums, DiskError> {
    let path = tree.join("Info.plist");
    let mut temporary = path.clone().into_os_string();
    temporary.push(".new");
    let mut content = Vec::new();
    let written = plist::to_writer_xml(&mut content, info)
        .map_err(|error| error.into_io().unwrap_or_else(io::Error::other))
        .and_then(|()| write_new(temporary.as_ref(), &content))
        .and_then(|()| std::fs::rename(&temporary, &path));
    written.map_err(|source| DiskError { operation: "writing", path, source })?;
    Ok(checksum::of(&content))
}

/// Whatever lies there goes: it may be a link to another file of the user.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::File::create_new(path)?.write_all(content)
}

/// Apps from the store with what a restore needs of them, and the identifiers of all that were installed.
async fn apps(session: &mut Session) -> Result<(Dictionary, Vec<Value>), Failure> {
    let socket = session.service("com.apple.mobile.installation_proxy").await?;
    let mut proxy = InstallationProxyClient::new(guard(socket, Framing::PropertyLists)?);
    let mut options = Dictionary::new();
    options.insert("ApplicationType".into(), "User".into());
    let attributes = ["CFBundleIdentifier", "ApplicationSINF", "iTunesMetadata"];
    options.insert("ReturnAttributes".into(), attributes.map(Value::from).to_vec().into());
    let listed = within("listing apps", proxy.browse(Some(options.into()))).await?;

    let mut icons = match springboard(session).await {
        Ok(client) => Some(client),
        Err(failure) => {
            tracing::warn!(%failure, "the icons are left out of Info.plist");
            None
        }
    };
    let (mut applications, mut installed) = (Dictionary::new(), Vec::new());
    for app in listed {
        let Some(app) = app.into_dictionary() else { continue };
        let Some(identifier) = app.get("CFBundleIdentifier").and_then(Value::as_string) else { continue };
        installed.push(identifier.into());
        let (Some(sinf), Some(metadata)) = (app.get("ApplicationSINF"), app.get("iTunesMetadata")) else { continue };
        let mut entry = Dictionary::new();
        entry.insert("ApplicationSINF".into(), sinf.clone());
        entry.insert("iTunesMetadata".into(), metadata.clone());
        if let Some(springboard) = &mut icons {
            match within("reading an icon", springboard.get_icon_pngdata(identifier.to_owned())).await {
                Ok(icon) => drop(entry.insert("PlaceholderIcon".into(), Value::Data(icon))),
                // A late answer would be taken for the next app's.
                Err(failure) => {
                    tracing::warn!(%failure, "further icons are left out of Info.plist");
                    icons = None;
                }
            }
        }
        applications.insert(identifier.to_owned(), entry.into());
    }
    Ok((applications, installed))
}

async fn springboard(session: &mut Session) -> Result<SpringBoardServicesClient, Failure> {
    let socket = session.service("com.apple.springboardservices").await?;
    Ok(SpringBoardServicesClient::new(guard(socket, Framing::PropertyLists)?))
}

/// Files of the media folder that a backup keeps, as far as they came.
#[derive(Debug, Default)]
struct Files {
    books: Option<Vec<u8>>,
    itunes: Dictionary,
    bytes: usize,
}

impl Files {
    async fn read(&mut self, session: &mut Session) -> Result<(), Failure> {
        let mut client = AfcClient::new(guard(session.service("com.apple.afc").await?, Framing::Afc)?);
        self.books = self.file(&mut client, BOOKS).await?;
        for name in ITUNES_FILES {
            let content = self.file(&mut client, &format!("/iTunes_Control/iTunes/{name}")).await?;
            if let Some(content) = content {
                self.itunes.insert(name.to_owned(), Value::Data(content));
            }
        }
        Ok(())
    }

    /// None for one that is not there, can't be read, is empty or has no more room.
    async fn file(&mut self, client: &mut AfcClient, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let room = FILES_BYTES_MAX - self.bytes;
        let reading = async {
            match client.get_file_info(path).await?.size {
                0 => Ok(Vec::new()),
                size if size > room => {
                    tracing::warn!(path, size, "a file is too large for Info.plist");
                    Ok(Vec::new())
                }
                _ => afc::read_small(client, path, room).await,
            }
        };
        let reading = async {
            match reading.await {
                Err(error @ IdeviceError::Afc(_)) => {
                    tracing::debug!(path, %error, "not in Info.plist");
                    Ok(Vec::new())
                }
                other => other,
            }
        };
        let content = within("reading a file for Info.plist", reading).await?;
        self.bytes += content.len();
        Ok(Some(content).filter(|content| !content.is_empty()))
    }
}
