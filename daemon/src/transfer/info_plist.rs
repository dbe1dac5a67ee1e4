//! `Info.plist`, the one file of a backup that the computer writes: who the phone is and which apps it has.
//!
//! Source of the keys: `idevicebackup2.c` and backups made by Finder.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use backstay_shared::health::Failure;
use idevice::{
    afc::AfcClient, installation_proxy::InstallationProxyClient, springboardservices::SpringBoardServicesClient,
};
use plist::{Dictionary, Value};
use uuid::Uuid;

use super::DiskError;
use crate::phone::{
    afc,
    facts::Facts,
    guard::Framing,
    link::{Session, guard, within},
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

/// A larger one is left out rather than read into memory.
const ITUNES_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Puts it together from what the phone tells. What an optional service does not tell is left out.
///
/// # Errors
/// When the phone is gone.
pub async fn gather(session: &mut Session, facts: &Facts) -> Result<Dictionary, Failure> {
    let mut info = Dictionary::new();
    let (applications, installed) = match apps(session).await {
        Ok(apps) => apps,
        Err(failure) => {
            tracing::warn!(%failure, "the list of apps is left out of Info.plist");
            Default::default()
        }
    };
    info.insert("Applications".into(), applications.into());
    info.insert("Installed Applications".into(), installed.into());
    for (key, lockdown_key) in [
        ("Build Version", "BuildVersion"),
        ("Device Name", "DeviceName"),
        ("Display Name", "DeviceName"),
        ("ICCID", "IntegratedCircuitCardIdentity"),
        ("IMEI", "InternationalMobileEquipmentIdentity"),
        ("MEID", "MobileEquipmentIdentifier"),
        ("Phone Number", "PhoneNumber"),
        ("Product Type", "ProductType"),
        ("Product Version", "ProductVersion"),
        ("Serial Number", "SerialNumber"),
    ] {
        if let Some(value) = facts.value(lockdown_key) {
            info.insert(key.into(), value.clone());
        }
    }
    let udid = facts.udid.as_str();
    info.insert("GUID".into(), Uuid::new_v4().simple().to_string().to_uppercase().into());
    info.insert("Last Backup Date".into(), Value::Date(whole_seconds(SystemTime::now()).into()));
    info.insert("Target Identifier".into(), udid.into());
    info.insert("Target Type".into(), "Device".into());
    info.insert("Unique Identifier".into(), udid.to_uppercase().into());
    let files = match itunes_files(session).await {
        Ok(files) => files,
        Err(failure) => {
            tracing::warn!(%failure, "the iTunes files are left out of Info.plist");
            Dictionary::new()
        }
    };
    info.insert("iTunes Files".into(), files.into());
    let settings = session.value(Some("com.apple.iTunes"), None).await?;
    info.insert("iTunes Settings".into(), settings.unwrap_or_else(|| Dictionary::new().into()));
    let version = session.value(Some("com.apple.mobile.iTunes"), Some("MinITunesVersion")).await?;
    // The oldest version that iOS accepts, since there is no iTunes here.
    info.insert("iTunes Version".into(), version.unwrap_or_else(|| "10.0.1".into()));
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
        .and_then(|()| std::fs::write(&temporary, &content))
        .and_then(|()| std::fs::rename(&temporary, &path));
    written.map_err(|source| DiskError { operation: "writing", path, source })?;
    Ok(checksum::of(&content))
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

    let socket = session.service("com.apple.springboardservices").await?;
    let mut springboard = SpringBoardServicesClient::new(guard(socket, Framing::PropertyLists)?);
    let mut icons = true;
    let (mut applications, mut installed) = (Dictionary::new(), Vec::new());
    for app in listed {
        let Some(app) = app.into_dictionary() else { continue };
        let Some(identifier) = app.get("CFBundleIdentifier").and_then(Value::as_string) else { continue };
        installed.push(identifier.into());
        let (Some(sinf), Some(metadata)) = (app.get("ApplicationSINF"), app.get("iTunesMetadata")) else { continue };
        let mut entry = Dictionary::new();
        entry.insert("ApplicationSINF".into(), sinf.clone());
        entry.insert("iTunesMetadata".into(), metadata.clone());
        if icons {
            match within("reading an icon", springboard.get_icon_pngdata(identifier.to_owned())).await {
                Ok(icon) => drop(entry.insert("PlaceholderIcon".into(), Value::Data(icon))),
                // A late answer would be taken for the next app's.
                Err(failure) => {
                    tracing::warn!(%failure, "the icons are left out of Info.plist");
                    icons = false;
                }
            }
        }
        applications.insert(identifier.to_owned(), entry.into());
    }
    Ok((applications, installed))
}

async fn itunes_files(session: &mut Session) -> Result<Dictionary, Failure> {
    let mut client = AfcClient::new(guard(session.service("com.apple.afc").await?, Framing::Afc)?);
    let mut files = Dictionary::new();
    for name in ITUNES_FILES {
        let path = format!("/iTunes_Control/iTunes/{name}");
        let Ok(facts) = within("looking for an iTunes file", client.get_file_info(&path)).await else { continue };
        if facts.size > ITUNES_FILE_BYTES_MAX {
            tracing::warn!(path, size = facts.size, "an iTunes file is too large for Info.plist");
            continue;
        }
        let reading = afc::read_small(&mut client, &path, ITUNES_FILE_BYTES_MAX);
        let content = within("reading an iTunes file", reading).await?;
        files.insert(name.to_owned(), Value::Data(content));
    }
    Ok(files)
}
