//! The rows of a manifest, and what they must say.

use std::{collections::HashMap, fs, io::Write, path::Path};

use plist::{Dictionary, Value};
use rusqlite::{Connection, OpenFlags};

use crate::{
    decrypt::BackupKeys,
    phone::dataset::{DataFile, DataSet, FLAG_BARE, OddRow},
};

/// Files of apps and pictures have no `Digest`, all others have one.
const NO_DIGEST: [&str; 5] =
    ["AppDomain", "CameraRollDomain", "MediaDomain", "SysContainerDomain", "SysSharedContainer"];

/// What a row of the manifest says.
pub(super) struct Row {
    domain: Option<String>,
    relative_path: Option<String>,
    flags: i64,
    blob: Option<Vec<u8>>,
    pub(super) archived: Option<Archived>,
}

/// What its blob says.
pub(super) struct Archived {
    size: Option<u64>,
    path: String,
    modified: i64,
    target: Option<String>,
    pub(super) protection_class: u64,
    /// SHA-1 of what is stored.
    pub(super) digest: Option<Vec<u8>>,
    /// `EncryptionKey`: class and wrapped key.
    pub(super) key: Option<Vec<u8>>,
}

/// Reads a manifest where it lies and leaves nothing beside it: its header speaks of a write-ahead log, which SQLite would
/// make.
pub(super) fn read_manifest(path: &Path) -> Result<HashMap<String, Row>, String> {
    let mut address = String::from("file:");
    for letter in path.to_str().ok_or("the path is no text")?.chars() {
        match letter {
            '%' | '?' | '#' => address.push_str(&format!("%{:02x}", u32::from(letter))),
            _ => address.push(letter),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(address + "?immutable=1", flags).map_err(|error| error.to_string())?;
    read_rows(&connection).map_err(|error| error.to_string())
}

pub(super) fn encrypted_manifest(path: &Path, keys: &BackupKeys) -> Result<HashMap<String, Row>, String> {
    let database = keys.manifest(fs::read(path).map_err(|error| error.to_string())?)?;
    let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    file.write_all(&database).map_err(|error| error.to_string())?;
    read_manifest(file.path())
}

fn read_rows(connection: &Connection) -> rusqlite::Result<HashMap<String, Row>> {
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(rusqlite::Error::InvalidParameterName(sound));
    }
    let mut statement = connection.prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")?;
    let rows = statement.query_map([], |row| {
        let blob: Option<Vec<u8>> = row.get(4)?;
        let archived = blob.as_deref().and_then(archived);
        let found = Row { domain: row.get(1)?, relative_path: row.get(2)?, flags: row.get(3)?, blob, archived };
        Ok((row.get(0)?, found))
    })?;
    rows.collect()
}

/// Reads an archived `MBFile`.
fn archived(blob: &[u8]) -> Option<Archived> {
    let archive: Value = plist::from_bytes(blob).ok()?;
    let archive = archive.as_dictionary()?;
    if archive.get("$archiver")?.as_string()? != "NSKeyedArchiver" {
        return None;
    }
    let objects = archive.get("$objects")?.as_array()?;
    let follow = |value: &Value| objects.get(usize::try_from(value.as_uid()?.get()).ok()?);
    let file = follow(archive.get("$top")?.as_dictionary()?.get("root")?)?.as_dictionary()?;
    let class_of = |object: &Dictionary| {
        Some(follow(object.get("$class")?)?.as_dictionary()?.get("$classname")?.as_string()?.to_owned())
    };
    if class_of(file)? != "MBFile" {
        return None;
    }
    let digest = match file.get("Digest").map(follow) {
        None => None,
        Some(Some(Value::Data(digest))) => Some(digest.clone()),
        Some(digest) => Some(digest?.as_dictionary()?.get("NS.data")?.as_data()?.to_owned()),
    };
    let key = match file.get("EncryptionKey") {
        None => None,
        Some(key) => {
            let key = follow(key)?.as_dictionary()?;
            (class_of(key)? == "NSMutableData").then_some(())?;
            Some(key.get("NS.data")?.as_data()?.to_owned())
        }
    };
    Some(Archived {
        size: file.get("Size").and_then(Value::as_unsigned_integer),
        path: follow(file.get("RelativePath")?)?.as_string()?.to_owned(),
        protection_class: file.get("ProtectionClass")?.as_unsigned_integer()?,
        modified: file.get("LastModified")?.as_signed_integer()?,
        target: file.get("Target").and_then(follow).and_then(Value::as_string).map(str::to_owned),
        digest,
        key,
    })
}

/// Holds the rows against the data set; `encrypted` as far as it is known.
pub(super) fn check_rows(
    rows: &HashMap<String, Row>,
    data: &DataSet,
    encrypted: Option<bool>,
    differences: &mut Vec<String>,
) {
    for entry in data.entries() {
        let Some(row) = rows.get(&entry.file_id.hex()) else {
            differences.push(format!("{} is not in Manifest.db", entry.name()));
            continue;
        };
        if !is_row_of(row, entry, encrypted) {
            differences.push(format!("{} is another row in Manifest.db", entry.name()));
        }
    }
    if rows.len() > data.entries().len() {
        differences.push(format!("Manifest.db has {} rows in place of {}", rows.len(), data.entries().len()));
    }
}

fn is_row_of(row: &Row, entry: &DataFile, encrypted: Option<bool>) -> bool {
    if row.flags != i64::from(entry.flags) {
        return false;
    }
    if entry.flags == FLAG_BARE {
        return row.domain.is_none() && row.relative_path.is_none() && row.blob.is_none();
    }
    let path = &*entry.relative_path;
    if row.domain.as_deref() != Some(&entry.domain) || row.relative_path.as_deref() != Some(path) {
        return false;
    }
    let Some(archived) = &row.archived else {
        return match entry.odd {
            Some(OddRow::BlobMissing) => row.blob.is_none(),
            Some(OddRow::BlobNoPlist) => row.blob.is_some(),
            _ => false,
        };
    };
    let size = (entry.odd != Some(OddRow::NoSize)).then_some(entry.recorded_size);
    let digest = entry.is_file() && !NO_DIGEST.iter().any(|domain| entry.domain.starts_with(domain));
    archived.path == path
        && archived.size == size
        && archived.modified == entry.mtime
        && archived.target.as_deref() == entry.target.as_deref()
        && archived.protection_class == u64::from(entry.stat.protection_class)
        && (archived.digest.is_some() == digest || entry.odd == Some(OddRow::DigestInData))
        && encrypted.is_none_or(|encrypted| archived.key.is_some() == (encrypted && entry.is_file()))
}
