//! The independent judge of a backup: it shares no code with the phone that made it or the host that took it.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use plist::{Dictionary, Value};
use rusqlite::{Connection, OpenFlags};

use crate::{
    decrypt::{BackupKeys, protection_class},
    phone::dataset::{DataFile, DataSet},
};

const DIFFERENCES_SHOWN: usize = 5;
const METADATA: [&str; 4] = ["Info.plist", "Manifest.db", "Manifest.plist", "Status.plist"];
const PIECE: usize = 256 * 1024;

/// Requires that the folder holds exactly this data set as a finished backup.
///
/// `backup` is the folder named by the UDID. The error names the first few differences.
pub fn check_backup(backup: &Path, data: &DataSet) -> Result<(), String> {
    check(backup, data, None)
}

/// The same of a backup that is encrypted with this password.
pub fn check_encrypted_backup(backup: &Path, data: &DataSet, password: &str) -> Result<(), String> {
    let manifest = Value::from_file(backup.join("Manifest.plist")).map_err(|error| error.to_string())?;
    let keys = BackupKeys::open(manifest.as_dictionary().ok_or("Manifest.plist is no dictionary")?, password)?;
    check(backup, data, Some(&keys))
}

/// Requires that a `Manifest.db` that is not encrypted, or not any more, has the rows of this data set.
pub fn check_manifest(database: &Path, data: &DataSet) -> Result<(), String> {
    let mut differences = Vec::new();
    check_rows(&manifest(database)?, data, &mut differences);
    verdict(database, differences)
}

fn check(backup: &Path, data: &DataSet, keys: Option<&BackupKeys>) -> Result<(), String> {
    let mut differences = Vec::new();
    check_status(backup, keys.is_some(), &mut differences);
    let database = backup.join("Manifest.db");
    let rows = match keys {
        None => manifest(&database),
        Some(keys) => encrypted_manifest(&database, keys),
    };
    let rows = rows.unwrap_or_else(|error| {
        differences.push(format!("Manifest.db: {error}"));
        HashMap::new()
    });
    check_rows(&rows, data, &mut differences);
    for file in data.files() {
        let path = payload(backup, file);
        let compared = match keys {
            None => compare(&path, file),
            Some(keys) => compare_encrypted(&path, file, rows.get(&file.file_id.hex()), keys),
        };
        if let Err(error) = compared {
            differences.push(format!("{}: {error}", file.name()));
        }
    }
    check_strays(backup, data, &mut differences);
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

/// What a row of the manifest says.
struct Row {
    domain: String,
    relative_path: String,
    flags: i64,
    archived: Archived,
}

/// What its blob says.
struct Archived {
    size: u64,
    path: String,
    protection_class: u64,
    /// `EncryptionKey`: class and wrapped key.
    key: Option<Vec<u8>>,
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

fn manifest(path: &Path) -> Result<HashMap<String, Row>, String> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| error.to_string())?;
    read_rows(&connection).map_err(|error| error.to_string())
}

fn encrypted_manifest(path: &Path, keys: &BackupKeys) -> Result<HashMap<String, Row>, String> {
    let database = keys.manifest(fs::read(path).map_err(|error| error.to_string())?)?;
    let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    file.write_all(&database).map_err(|error| error.to_string())?;
    manifest(file.path())
}

fn read_rows(connection: &Connection) -> rusqlite::Result<HashMap<String, Row>> {
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(rusqlite::Error::InvalidParameterName(sound));
    }
    let mut statement = connection.prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")?;
    let rows = statement.query_map([], |row| {
        let blob: Vec<u8> = row.get(4)?;
        let archived = archived(&blob).ok_or(rusqlite::Error::InvalidQuery)?;
        let found = Row { domain: row.get(1)?, relative_path: row.get(2)?, flags: row.get(3)?, archived };
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
    let key = match file.get("EncryptionKey") {
        None => None,
        Some(key) => {
            let key = follow(key)?.as_dictionary()?;
            (class_of(key)? == "NSMutableData").then_some(())?;
            Some(key.get("NS.data")?.as_data()?.to_owned())
        }
    };
    Some(Archived {
        size: file.get("Size")?.as_unsigned_integer()?,
        path: follow(file.get("RelativePath")?)?.as_string()?.to_owned(),
        protection_class: file.get("ProtectionClass")?.as_unsigned_integer()?,
        key,
    })
}

fn check_rows(rows: &HashMap<String, Row>, data: &DataSet, differences: &mut Vec<String>) {
    for entry in data.entries() {
        let Some(row) = rows.get(&entry.file_id.hex()) else {
            differences.push(format!("{} is not in Manifest.db", entry.name()));
            continue;
        };
        let path = &*entry.relative_path;
        let same = row.domain == *entry.domain && row.relative_path == path && row.archived.path == path;
        if !same || row.flags != i64::from(entry.flags) || row.archived.size != entry.size {
            differences.push(format!("{} is another row in Manifest.db", entry.name()));
        }
    }
    if rows.len() > data.entries().len() {
        differences.push(format!("Manifest.db has {} rows in place of {}", rows.len(), data.entries().len()));
    }
}

fn payload(backup: &Path, file: &DataFile) -> PathBuf {
    let name = file.file_id.hex();
    backup.join(&name[..2]).join(name)
}

/// Reads a payload beside what it must be.
fn compare(path: &Path, file: &DataFile) -> Result<(), String> {
    let payload = File::open(path).map_err(|error| error.to_string())?;
    let length = payload.metadata().map_err(|error| error.to_string())?.len();
    compare_content(payload, length, file)
}

/// Decrypts a payload with the key in its row first.
fn compare_encrypted(path: &Path, file: &DataFile, row: Option<&Row>, keys: &BackupKeys) -> Result<(), String> {
    let archived = &row.ok_or("no row has its key")?.archived;
    let key = archived.key.as_ref().ok_or("its row has no key")?;
    if protection_class(key).map(u64::from) != Some(archived.protection_class) {
        return Err("its key is of another protection class".into());
    }
    let content = keys.decrypt(key, fs::read(path).map_err(|error| error.to_string())?)?;
    compare_content(&content[..], content.len() as u64, file)
}

fn compare_content(mut content: impl Read, length: u64, file: &DataFile) -> Result<(), String> {
    if length != file.size {
        return Err(format!("{length} bytes in place of {}", file.size));
    }
    let (mut found, mut expected) = (vec![0; PIECE.min(length as usize)], vec![0; PIECE.min(length as usize)]);
    for (offset, length) in file.chunks(PIECE) {
        content.read_exact(&mut found[..length]).map_err(|error| error.to_string())?;
        file.read_into(offset, &mut expected[..length]);
        if found[..length] != expected[..length] {
            let place = found.iter().zip(&expected).position(|(found, expected)| found != expected).unwrap_or(0);
            return Err(format!("differs from byte {}", offset + place as u64));
        }
    }
    Ok(())
}

/// Anything that belongs to no row: payloads of files that are gone or of directories, leftovers of the transfer.
fn check_strays(backup: &Path, data: &DataSet, differences: &mut Vec<String>) {
    let known: HashMap<String, &DataFile> = data.files().map(|file| (file.file_id.hex(), file)).collect();
    let names = |folder: &Path| -> io::Result<Vec<(String, bool)>> {
        let entries = fs::read_dir(folder)?;
        entries
            .map(|entry| {
                entry.and_then(|entry| {
                    Ok((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_dir()))
                })
            })
            .collect()
    };
    let top = match names(backup) {
        Ok(top) => top,
        Err(error) => return differences.push(error.to_string()),
    };
    for (name, is_folder) in top {
        if !is_folder {
            if !METADATA.contains(&name.as_str()) {
                differences.push(format!("stray file {name}"));
            }
            continue;
        }
        if name.len() != 2 || !name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            differences.push(format!("stray folder {name}"));
            continue;
        }
        for (file, is_folder) in names(&backup.join(&name)).unwrap_or_default() {
            if is_folder || !file.starts_with(&name) || !known.contains_key(&file) {
                differences.push(format!("stray {name}/{file}"));
            }
        }
    }
}
