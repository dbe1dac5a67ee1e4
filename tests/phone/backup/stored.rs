//! A backup that the host holds, opened by the phone to restore or to list it.

use std::io::Write;

use plist::Dictionary;
use tempfile::NamedTempFile;

use super::{
    cipher::{self, Key},
    devicelink::Link,
    engine::blocking,
    keybag::Keybag,
    plists,
    stop::Stop,
};
use crate::phone::Stream;

/// What opens an encrypted backup.
pub(super) struct Keys {
    pub(super) keybag: Keybag,
    manifest: Key,
}

pub(super) fn missing(name: &str) -> Stop {
    Stop::refused(204, format!("{name} is missing from the backup (MBErrorDomain/204)"))
}

pub(super) fn damaged(what: impl std::fmt::Display) -> Stop {
    Stop::refused(205, format!("{what} (MBErrorDomain/205)"))
}

/// Reads `Manifest.plist`; none for a backup that is not encrypted. A password that is missing is a wrong one.
pub(super) async fn keys<S: Stream>(
    link: &mut Link<'_, S>,
    source: &str,
    password: Option<&str>,
) -> Result<Option<Keys>, Stop> {
    let plist = link
        .download_bytes(&format!("{source}/Manifest.plist"), 0.0)
        .await?
        .ok_or_else(|| missing("Manifest.plist"))?;
    let manifest: Dictionary = plists::dictionary(&plist).ok_or_else(|| damaged("Manifest.plist can't be read"))?;
    let Some(locked) = plists::encryption(&manifest) else { return Ok(None) };
    let password = password.unwrap_or_default().to_owned();
    let (opened, manifest_key) =
        blocking(move || (Keybag::open(&locked.keybag, &password), locked.manifest_key)).await?;
    let Some(keybag) = opened else {
        let text = "Invalid password when restoring encrypted backup (MBErrorDomain/207). \
            Underlying error: MKBKeyBagUnlock error (-3) (MBErrorDomain/207).";
        return Err(Stop::refused(207, text));
    };
    let manifest = keybag.unwrap(&manifest_key).ok_or_else(|| damaged("ManifestKey fits no key of the bag"))?;
    Ok(Some(Keys { keybag, manifest }))
}

/// Fetches `Manifest.db`, as SQLite can read it.
pub(super) async fn database<S: Stream>(
    link: &mut Link<'_, S>,
    source: &str,
    keys: Option<&Keys>,
) -> Result<NamedTempFile, Stop> {
    let path = format!("{source}/Manifest.db");
    let database = link.download_database(&path).await?.ok_or_else(|| missing("Manifest.db"))?;
    let Some(key) = keys.map(|keys| keys.manifest) else { return Ok(database) };
    let decrypted = blocking(move || decrypted(&database, &key)).await??;
    decrypted.ok_or_else(|| damaged("Manifest.db can't be decrypted"))
}

/// A decrypted copy of a database; none when the key is not its own.
pub(super) fn decrypted(database: &NamedTempFile, key: &Key) -> std::io::Result<Option<NamedTempFile>> {
    let Some(bytes) = cipher::decrypt(key, &std::fs::read(database.path())?) else { return Ok(None) };
    let mut file = NamedTempFile::new()?;
    file.write_all(&bytes)?;
    Ok(Some(file))
}
