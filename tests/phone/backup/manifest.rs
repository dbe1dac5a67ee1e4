//! `Manifest.db`: which files a backup holds.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, params};

use super::{encryption::Encryption, mbfile};
use crate::phone::dataset::{DataFile, DataSet, FLAG_FILE, FileId};

const TABLES: &str =
    "CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
    CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";
const INDICES: &str = "CREATE INDEX FilesDomainIdx ON Files(domain);
    CREATE INDEX FilesRelativePathIdx ON Files(relativePath);
    CREATE INDEX FilesFlagsIdx ON Files(flags);";
const UPSERT: &str =
    "INSERT OR REPLACE INTO Files (fileID, domain, relativePath, flags, file) VALUES (?1, ?2, ?3, ?4, ?5)";

/// How the phone differs from the backup that the host holds. Numbers are places in [`DataSet::entries`].
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Rows that are new or differ, directories too.
    pub(super) rows: Vec<usize>,
    /// Rows that are gone from the phone, and whether they had a payload.
    pub(super) gone: Vec<(FileId, bool)>,
}

impl Changes {
    /// Everything is new.
    pub(super) fn whole(data: &DataSet) -> Self {
        Self { rows: (0..data.entries().len()).collect(), gone: Vec::new() }
    }

    /// The files that must be sent.
    pub(super) fn uploads<'a>(&'a self, data: &'a DataSet) -> impl Iterator<Item = &'a DataFile> {
        self.rows.iter().map(|row| &data.entries()[*row]).filter(|entry| entry.is_file())
    }
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // A temporary copy: lost with the process, so nothing needs to survive one.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;")?;
    Ok(connection)
}

/// Compares the host's manifest with the phone, blob by blob as it would write them itself.
pub(super) fn compare(path: &Path, data: &DataSet, encryption: Option<&Encryption>) -> rusqlite::Result<Changes> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut unseen: HashMap<FileId, usize> =
        data.entries().iter().enumerate().map(|(place, entry)| (entry.file_id, place)).collect();
    let mut changes = Changes::default();
    let mut blob = Vec::new();
    let mut statement = connection.prepare("SELECT fileID, flags, file FROM Files")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_str()?;
        let id = FileId::parse(id).ok_or_else(|| rusqlite::Error::InvalidColumnName(id.to_owned()))?;
        let flags: u8 = row.get(1)?;
        let Some(place) = unseen.remove(&id) else {
            changes.gone.push((id, flags == FLAG_FILE));
            continue;
        };
        let entry = &data.entries()[place];
        mbfile::encode(entry, encryption, &mut blob);
        if flags != entry.flags || row.get_ref(2)?.as_blob()? != blob {
            changes.rows.push(place);
        }
    }
    changes.rows.extend(unseen.into_values());
    changes.rows.sort_unstable();
    Ok(changes)
}

/// Writes the manifest of everything but `omitted`.
pub(super) fn create(
    path: &Path,
    data: &DataSet,
    encryption: Option<&Encryption>,
    omitted: &HashSet<FileId>,
) -> rusqlite::Result<()> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.execute_batch("BEGIN")?;
    connection.execute_batch(TABLES)?;
    // In the order of the key, so that its index grows at its end only.
    let mut rows: Vec<&DataFile> = data.entries().iter().filter(|entry| !omitted.contains(&entry.file_id)).collect();
    rows.sort_unstable_by_key(|entry| entry.file_id);
    insert(&connection, encryption, rows)?;
    connection.execute_batch(INDICES)?;
    connection.execute_batch("COMMIT")
}

/// Brings the host's manifest up to date.
pub(super) fn update(
    path: &Path,
    data: &DataSet,
    changes: &Changes,
    encryption: Option<&Encryption>,
    omitted: &HashSet<FileId>,
) -> rusqlite::Result<()> {
    if changes.rows.is_empty() && changes.gone.is_empty() {
        return Ok(());
    }
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("BEGIN")?;
    let rows = changes.rows.iter().map(|row| &data.entries()[*row]);
    insert(&connection, encryption, rows.filter(|entry| !omitted.contains(&entry.file_id)))?;
    let mut delete = connection.prepare("DELETE FROM Files WHERE fileID = ?1")?;
    for id in changes.gone.iter().map(|(id, _)| id).chain(omitted) {
        delete.execute(params![id.hex()])?;
    }
    drop(delete);
    connection.execute_batch("COMMIT")
}

fn insert<'a>(
    connection: &Connection,
    encryption: Option<&Encryption>,
    entries: impl IntoIterator<Item = &'a DataFile>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(UPSERT)?;
    let mut blob = Vec::new();
    for entry in entries {
        mbfile::encode(entry, encryption, &mut blob);
        statement.execute(params![entry.file_id.hex(), &*entry.domain, &*entry.relative_path, entry.flags, blob])?;
    }
    Ok(())
}

/// A row as a restore reads it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: FileId,
    pub(super) domain: String,
    pub(super) relative_path: String,
    /// Bytes of the payload; `None` for what has none.
    pub(super) size: Option<u64>,
    /// The payload's key, wrapped, if it is encrypted.
    pub(super) key: Option<Vec<u8>>,
}

/// All rows of a manifest; an error when it can't be read whole.
pub(super) fn rows(path: &Path) -> rusqlite::Result<Vec<Row>> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = connection.prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")?;
    let mut found = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let blob = row.get_ref(4)?.as_blob()?;
        let (size, key) = mbfile::decode(blob).ok_or(rusqlite::Error::InvalidQuery)?;
        found.push(Row {
            id: FileId::parse(&id).ok_or(rusqlite::Error::InvalidColumnName(id))?,
            domain: row.get(1)?,
            relative_path: row.get(2)?,
            size: (row.get::<_, u8>(3)? == FLAG_FILE).then_some(size),
            key,
        });
    }
    Ok(found)
}
