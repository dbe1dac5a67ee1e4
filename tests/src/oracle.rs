//! The independent judge of a backup: it shares no code with the phone that made it or the host that took it.

mod manifest;
mod payload;
mod strays;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::Path,
};

use plist::Value;

use self::{
    manifest::{check_rows, encrypted_manifest, read_manifest},
    payload::check_payload,
    strays::check_strays,
};
use crate::{decrypt::BackupKeys, phone::dataset::DataSet};

const DIFFERENCES_SHOWN: usize = 5;

/// Requires that the folder holds exactly this data set as a finished backup.
///
/// `backup` is the folder named by the UDID. The error names the first few differences.
pub fn check_backup(backup: &Path, data: &DataSet) -> Result<(), String> {
    check(backup, data, None, false)
}

/// The same, but what other programs leave in any folder (`.DS_Store`, `Thumbs.db`, `@eaDir` and their like) may lie in it.
pub fn check_backup_among_litter(backup: &Path, data: &DataSet) -> Result<(), String> {
    check(backup, data, None, true)
}

/// The same of a backup that is encrypted with this password.
pub fn check_encrypted_backup(backup: &Path, data: &DataSet, password: &str) -> Result<(), String> {
    let manifest = Value::from_file(backup.join("Manifest.plist")).map_err(|error| error.to_string())?;
    let keys = BackupKeys::open(manifest.as_dictionary().ok_or("Manifest.plist is no dictionary")?, password)?;
    check(backup, data, Some(&keys), false)
}

/// Requires that a `Manifest.db` that is not encrypted, or not any more, has the rows of this data set.
pub fn check_manifest(database: &Path, data: &DataSet) -> Result<(), String> {
    let mut differences = Vec::new();
    check_rows(&read_manifest(database)?, data, None, &mut differences);
    verdict(database, differences)
}

fn check(backup: &Path, data: &DataSet, keys: Option<&BackupKeys>, litter: bool) -> Result<(), String> {
    let mut differences = Vec::new();
    check_status(backup, keys.is_some(), &mut differences);
    let database = backup.join("Manifest.db");
    let rows = match keys {
        None => read_manifest(&database),
        Some(keys) => encrypted_manifest(&database, keys),
    };
    let rows = rows.unwrap_or_else(|error| {
        differences.push(format!("Manifest.db: {error}"));
        HashMap::new()
    });
    check_rows(&rows, data, Some(keys.is_some()), &mut differences);
    for file in data.files() {
        if let Err(error) = check_payload(backup, file, rows.get(&file.file_id.hex()), keys) {
            differences.push(format!("{}: {error}", file.name()));
        }
    }
    check_strays(backup, data, litter, &mut differences);
    verdict(backup, differences)
}

fn verdict(place: &Path, mut differences: Vec<String>) -> Result<(), String> {
    if differences.is_empty() {
        return Ok(());
    }
    let count = differences.len();
    differences.truncate(DIFFERENCES_SHOWN);
    Err(format!("{count} differences in {}: {}", place.display(), differences.join("; ")))
}

/// Every file below a folder with its length and BLAKE3; directories end in `/` and have no bytes.
pub fn snapshot_tree(folder: &Path) -> io::Result<BTreeMap<String, (u64, blake3::Hash)>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                found.insert(name + "/", (0, blake3::hash(b"")));
                open.push(path);
            } else {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(File::open(&path)?)?;
                found.insert(name, (hasher.count(), hasher.finalize()));
            }
        }
    }
    Ok(found)
}

/// Requires that the folder calls itself a finished backup.
pub fn check_finished(backup: &Path) -> Result<(), String> {
    let mut differences = Vec::new();
    check_status(backup, false, &mut differences);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("; ")) }
}

fn check_status(backup: &Path, encrypted: bool, differences: &mut Vec<String>) {
    let state = |name: &str| Value::from_file(backup.join(name)).map_err(|error| format!("{name}: {error}"));
    match state("Status.plist").map(Value::into_dictionary) {
        Ok(Some(status)) => {
            let state = status.get("SnapshotState").and_then(Value::as_string);
            if state != Some("finished") {
                differences.push(format!("Status.plist says {state:?}"));
            }
        }
        Ok(None) => differences.push("Status.plist is no dictionary".into()),
        Err(error) => differences.push(error),
    }
    match state("Manifest.plist").map(Value::into_dictionary) {
        Ok(Some(manifest)) if manifest.get("IsEncrypted").and_then(Value::as_boolean) == Some(encrypted) => {}
        Ok(_) => differences.push(format!("Manifest.plist does not say that IsEncrypted is {encrypted}")),
        Err(error) => differences.push(error),
    }
}
