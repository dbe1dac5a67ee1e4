//! `Manifest.db`: which files a backup holds.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, params};

use super::{mbfile, rows::RowMaker};
use crate::phone::dataset::{DataFile, DataSet, FLAG_BARE, FLAG_DIRECTORY, FLAG_FILE, FLAG_LINK, FileId, OddRow};

/// As real manifests are: what is free stays in the file, which the phone can shrink when it likes.
const SHAPE: &str = "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA user_version = 2;";
/// Where the header of a database says how it is journalled: 2 for a write-ahead log, as real manifests have it though
/// there is none beside them, 1 for none.
const JOURNAL_AT: u64 = 18;

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
    /// The one of them whose file is not sent.
    unsent: Option<usize>,
    /// Rows that are gone from the phone, and whether they had a payload.
    pub(super) gone: Vec<(FileId, bool)>,
}

impl Changes {
    /// Everything is new.
    pub(super) fn whole(data: &DataSet) -> Self {
        Self { rows: (0..data.entries().len()).collect(), ..Self::default() }
    }

    /// The files that must be sent.
    pub(super) fn uploads<'a>(&'a self, data: &'a DataSet) -> impl Iterator<Item = &'a DataFile> {
        let sent = self.rows.iter().filter(|row| Some(**row) != self.unsent);
        sent.map(|row| &data.entries()[*row]).filter(|entry| entry.is_file())
    }
}

/// Opens a temporary copy, whatever its header says of a journal.
fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    say_journalled(path, 1)?;
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Lost with the process, so nothing needs to survive one.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;")?;
    Ok(connection)
}

/// Closes a database that was written, with the header of a real one.
fn close(connection: Connection, path: &Path) -> rusqlite::Result<()> {
    connection.close().map_err(|(_, error)| error)?;
    say_journalled(path, 2)
}

/// Writes how the database is journalled into its header, if there is one.
fn say_journalled(path: &Path, how: u8) -> rusqlite::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = match File::options().read(true).write(true).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let mut magic = [0; 16];
        if file.read(&mut magic)? == magic.len() && &magic == b"SQLite format 3\0" {
            file.seek(SeekFrom::Start(JOURNAL_AT))?;
            file.write_all(&[how; 2])?;
        }
        Ok(())
    };
    write().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Compares the host's manifest with the phone, blob by blob as it would write them itself.
pub(super) fn compare(path: &Path, data: &DataSet, rows: &RowMaker) -> rusqlite::Result<Changes> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut unseen: HashMap<FileId, usize> =
        data.entries().iter().enumerate().map(|(place, entry)| (entry.file_id, place)).collect();
    let mut changes = Changes::default();
    let mut blob = Vec::new();
    let mut statement = connection.prepare("SELECT fileID, flags, file FROM Files")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let id = row.get_ref(0)?.as_str()?;
        let id = FileId::parse(id).ok_or_else(|| rusqlite::Error::InvalidColumnName(id.to_owned()))?;
        let flags: u8 = row.get(1)?;
        let Some(place) = unseen.remove(&id) else {
            changes.gone.push((id, flags == FLAG_FILE));
            continue;
        };
        let entry = &data.entries()[place];
        let ours = rows.encode(entry, true, &mut blob).then_some(&blob[..]);
        // A row without a blob tells of no change, so that its file is sent each time.
        let untold = entry.odd == Some(OddRow::BlobMissing);
        if flags != entry.flags || row.get_ref(2)?.as_blob_or_null()? != ours || untold {
            changes.rows.push(place);
            if rows.touched() == Some(id) {
                changes.unsent = Some(place);
            }
        }
    }
    changes.rows.extend(unseen.into_values());
    changes.rows.sort_unstable();
    Ok(changes)
}

/// Writes the manifest of everything but `omitted`.
pub(super) fn create(path: &Path, data: &DataSet, rows: &RowMaker, omitted: &HashSet<FileId>) -> rusqlite::Result<()> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.execute_batch(SHAPE)?;
    connection.execute_batch("BEGIN")?;
    connection.execute_batch(TABLES)?;
    // In the order of the key, so that its index grows at its end only.
    let mut entries: Vec<&DataFile> = data.entries().iter().filter(|entry| !omitted.contains(&entry.file_id)).collect();
    entries.sort_unstable_by_key(|entry| entry.file_id);
    insert(&connection, rows, false, entries)?;
    connection.execute_batch(INDICES)?;
    connection.execute_batch("COMMIT")?;
    close(connection, path)
}

/// Brings the host's manifest up to date.
pub(super) fn update(
    path: &Path,
    data: &DataSet,
    changes: &Changes,
    rows: &RowMaker,
    omitted: &HashSet<FileId>,
) -> rusqlite::Result<()> {
    if changes.rows.is_empty() && changes.gone.is_empty() {
        return say_journalled(path, 2);
    }
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("BEGIN")?;
    let entries = changes.rows.iter().map(|row| &data.entries()[*row]);
    insert(&connection, rows, true, entries.filter(|entry| !omitted.contains(&entry.file_id)))?;
    let mut delete = connection.prepare("DELETE FROM Files WHERE fileID = ?1")?;
    for id in changes.gone.iter().map(|(id, _)| id).chain(omitted) {
        delete.execute(params![id.hex()])?;
    }
    drop(delete);
    connection.execute_batch("COMMIT")?;
    close(connection, path)
}

fn insert<'a>(
    connection: &Connection,
    rows: &RowMaker,
    replaces: bool,
    entries: impl IntoIterator<Item = &'a DataFile>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(UPSERT)?;
    let mut blob = Vec::new();
    for entry in entries {
        let blob = rows.encode(entry, replaces, &mut blob).then_some(&blob[..]);
        let named = (entry.flags != FLAG_BARE).then_some((&*entry.domain, &*entry.relative_path));
        let (domain, path) = named.unzip();
        statement.execute(params![entry.file_id.hex(), domain, path, entry.flags, blob])?;
    }
    Ok(())
}

/// What a row is of, to a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
}

/// A row as a restore reads it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: FileId,
    pub(super) domain: String,
    pub(super) relative_path: String,
    pub(super) kind: Kind,
    /// What `Size` says, which no payload is held against.
    pub(super) size: Option<u64>,
    /// SHA-1 of the payload as it is stored.
    pub(super) digest: Option<Vec<u8>>,
    /// The payload's key, wrapped, if it is encrypted.
    pub(super) key: Option<Vec<u8>>,
    /// Where a link leads.
    pub(super) target: Option<String>,
}

/// The rows of a manifest that can be made sense of; an error when it can't be read whole.
pub(super) fn rows(path: &Path) -> rusqlite::Result<Vec<Row>> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = connection.prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")?;
    let mut found = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let id = FileId::parse(&id).ok_or(rusqlite::Error::InvalidColumnName(id))?;
        let archived = row.get_ref(4)?.as_blob_or_null()?.and_then(mbfile::decode);
        let kind = match row.get::<_, u8>(3)? {
            FLAG_FILE => Kind::File,
            FLAG_DIRECTORY => Kind::Directory,
            FLAG_LINK => Kind::Link,
            _ => continue,
        };
        let (Some(domain), Some(relative_path), Some(archived)) = (row.get(1)?, row.get(2)?, archived) else {
            continue;
        };
        let (size, digest, key, target) = (archived.size, archived.digest, archived.key, archived.target);
        found.push(Row { id, domain, relative_path, kind, size, digest, key, target });
    }
    Ok(found)
}
