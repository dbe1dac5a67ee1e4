//! `Manifest.db`: what the phone says the backup holds.
//!
//! Source of the format: table `Files(fileID, domain, relativePath, flags, file)` since iOS 10; `file` is the
//! [archive] of an `MBFile`; flags 1 is a file, 2 a folder, 4 a symbolic link.

mod archive;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

pub use self::archive::Record;
use super::{
    encryption::{Decrypted, EncryptionError, Unlocked},
    name::Name,
    proof::Rule,
    scratch::Scratch,
    verify::{Finding, Findings},
};

/// Rows that can't be read, up to which a manifest is read all the same, whatever its size.
const UNREADABLE_MAX: u64 = 10;

/// Rows of an unknown kind whose names are kept; a manifest with more is refused as unreadable, whatever its size.
const OF_UNKNOWN_KIND_MAX: usize = 100_000;

/// The manifest can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// SQLite can't read it.
    #[error("{}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The disk can't be read.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a database, but not a manifest.
    #[error("{}: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than 1 % of its rows can't be read: this is not the manifest of a phone that this version knows.
    #[error("{}: {count} of {rows} rows can't be read, the first: {first}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// How many.
        count: u64,
        /// Of how many.
        rows: u64,
        /// What is wrong with the first of them.
        first: String,
    },
}

/// A row that has content on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestFile<'a> {
    /// 40 hex digits: SHA-1 of `domain-relativePath`. The file is at `<first two>/<all of it>`.
    pub file_id: &'a str,
    /// For example `CameraRollDomain`.
    pub domain: &'a str,
    /// Path below the domain.
    pub relative_path: &'a str,
    /// What the archived `MBFile` tells; nothing where it can't be read.
    pub record: Record<'a>,
}

impl ManifestFile<'_> {
    /// Where the file is below a tree.
    pub fn path(&self, tree: &Path) -> PathBuf {
        tree.join(&self.file_id[..2]).join(self.file_id)
    }
}

/// What a manifest holds beside the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Rows of files.
    pub files: u64,
    /// Rows of folders.
    pub folders: u64,
    /// Rows of symbolic links.
    pub links: u64,
    /// Rows that could not be read, or not whole. Each costs one file at most.
    pub unreadable: Findings,
    /// The names of the rows of an unknown kind: these may or may not have files.
    pub of_unknown_kind: Vec<Name>,
}

/// The manifest of one tree.
#[derive(Debug)]
pub struct Manifest {
    source: Source,
    /// What messages name: the file in the tree.
    path: PathBuf,
}

/// Where the plain database is.
#[derive(Debug)]
enum Source {
    /// In the tree.
    File(PathBuf),
    /// Decrypted, where no other program sees it.
    Decrypted(Mutex<Decrypted>),
}

impl Manifest {
    /// The manifest of a tree that is not encrypted.
    pub fn plain(tree: &Path) -> Self {
        let path = tree.join("Manifest.db");
        Self { source: Source::File(path.clone()), path }
    }

    /// The manifest of an encrypted tree: decrypted into memory, or into a file of the `scratch` folders that has no name
    /// any more. Either is gone with this.
    ///
    /// # Errors
    /// When it can't be decrypted or there is no room for it.
    pub fn encrypted(tree: &Path, unlocked: &Unlocked, scratch: &Scratch) -> Result<Self, EncryptionError> {
        let path = tree.join("Manifest.db");
        let source = match unlocked.decrypt_manifest(tree, scratch)? {
            Some(decrypted) => Source::Decrypted(Mutex::new(decrypted)),
            // Before iOS 10.2 the manifest was plain.
            None => Source::File(path.clone()),
        };
        Ok(Self { source, path })
    }

    /// Calls `visit` for every row that has content, in no order, and says what else there is. The answer names the rows
    /// that can't be read; the others are read all the same.
    ///
    /// # Errors
    /// When the manifest can't be read, or more than 1 % of its rows can't.
    pub fn for_each_file(&self, visit: impl FnMut(ManifestFile<'_>)) -> Result<Rows, ManifestError> {
        match &self.source {
            Source::Decrypted(decrypted) => {
                let decrypted = decrypted.lock().unwrap_or_else(PoisonError::into_inner);
                self.read(&decrypted.connection, visit)
            }
            Source::File(database) => {
                let open = || open(database).map_err(|error| self.failed(error));
                let connection = open().or_else(|error| match error {
                    // Nothing is wrong with the file now; the error itself SQLite keeps to itself.
                    ManifestError::Disk { source, .. } if source.raw_os_error().is_none() => open(),
                    error => Err(error),
                })?;
                self.read(&connection, visit)
            }
        }
    }

    fn read(&self, connection: &Connection, mut visit: impl FnMut(ManifestFile<'_>)) -> Result<Rows, ManifestError> {
        let database = |source| self.failed(source);
        let kind = "SELECT type FROM sqlite_master WHERE name = 'Files'";
        let kind: String = connection.query_row(kind, [], |row| row.get(0)).map_err(database)?;
        if kind != "table" {
            // A view could produce rows for ever.
            return Err(ManifestError::Foreign { path: self.path.clone(), why: "Files is not a table" });
        }
        let query = "SELECT fileID, domain, relativePath, flags, file FROM Files";
        let mut statement = connection.prepare(query).map_err(database)?;
        let mut rows = statement.query([]).map_err(database)?;
        let mut seen = Rows::default();
        let mut count = 0;
        while let Some(row) = rows.next().map_err(database)? {
            count += 1;
            let text = |index| row.get_ref(index).ok().and_then(|value| value.as_str().ok()).unwrap_or_default();
            let archive = row.get_ref(4).ok().and_then(|value| value.as_blob().ok()).unwrap_or_default();
            let flags = row.get_ref(3).ok().and_then(|value| value.as_i64().ok());
            let record = Record::read(archive);
            let (file, what) = match (flags, record) {
                (Some(flags), record) if flags & 1 != 0 => (true, incomplete(record.as_ref())),
                (_, Some(record)) if record.is_plain_file() => (true, incomplete(Some(&record))),
                (Some(2), _) => {
                    seen.folders += 1;
                    continue;
                }
                (Some(4), _) => {
                    seen.links += 1;
                    continue;
                }
                _ => (false, Some("has a row of an unknown kind")),
            };
            let (file_id, domain, relative_path) = (text(0), text(1), text(2));
            let has_name = Name::of_file_id(file_id).is_some();
            let what = if has_name { what } else { Some("has a row with a name that no file of a backup has") };
            if let Some(what) = what {
                let (domain, relative_path) = (domain.to_owned(), relative_path.to_owned());
                let path =
                    if has_name { PathBuf::from(&file_id[..2]).join(file_id) } else { format!("row {count}").into() };
                seen.unreadable.add(Finding { domain, relative_path, path, what, rule: Rule::Row });
            }
            if file && has_name {
                seen.files += 1;
                visit(ManifestFile { file_id, domain, relative_path, record: record.unwrap_or_default() });
            } else if !file && seen.of_unknown_kind.len() < OF_UNKNOWN_KIND_MAX {
                seen.of_unknown_kind.extend(Name::of_file_id(file_id));
            }
        }
        match seen.unreadable.count {
            bad if bad > UNREADABLE_MAX && bad.saturating_mul(100) > count => {
                let first = seen.unreadable.first.first().map(Finding::told).unwrap_or_default();
                Err(ManifestError::Unreadable { path: self.path.clone(), count: bad, rows: count, first })
            }
            _ => Ok(seen),
        }
    }

    /// SQLite does not tell errno, so that the file is asked what is wrong with it.
    fn failed(&self, source: rusqlite::Error) -> ManifestError {
        let path = self.path.clone();
        let io_failed = matches!(source.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen));
        let asked = match &self.source {
            Source::File(database) => File::open(database).and_then(|mut file| file.read(&mut [0; 16])),
            Source::Decrypted(_) => Ok(0),
        };
        match asked {
            Err(error) if error.kind() != io::ErrorKind::NotFound => ManifestError::Disk { path, source: error },
            Ok(_) if io_failed => ManifestError::Disk { path, source: io::Error::other(source) },
            _ => ManifestError::Database { path, source },
        }
    }
}

/// What keeps a row of a file from being read whole.
fn incomplete(record: Option<&Record<'_>>) -> Option<&'static str> {
    match record {
        None => Some("has a row that does not say what it is"),
        Some(Record { size: None, .. }) => Some("has a row that does not tell its size"),
        Some(Record { digest: Some(digest), .. }) if digest.len() != 20 => {
            Some("has a row with a digest of another kind")
        }
        Some(_) => None,
    }
}

/// Opens a `Manifest.db` that lies in a file.
///
/// # Errors
/// Of SQLite.
pub(super) fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    guarded(Connection::open_with_flags(immutable_uri(database), flags)?)
}

/// Opens a `Manifest.db` that is in memory.
///
/// # Errors
/// Of SQLite.
pub(super) fn open_bytes(mut bytes: Vec<u8>) -> rusqlite::Result<Connection> {
    if let Some(versions) = bytes.get_mut(18..20) {
        // Real ones are marked as having a write-ahead log, which SQLite does not open in memory. There is none beside
        // them.
        versions.fill(1);
    }
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_read_exact(rusqlite::MAIN_DB, &bytes[..], bytes.len(), true)?;
    guarded(connection)
}

/// The one door through which every manifest goes before it is read: what a hostile one may cost is bounded here.
fn guarded(connection: Connection) -> rusqlite::Result<Connection> {
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Immutable: SQLite neither locks nor leaves files of its own beside it.
fn immutable_uri(path: &Path) -> String {
    // With an authority, which is empty: else a path that begins with two slashes would be taken for one.
    let mut uri = String::from(if path.is_absolute() && !cfg!(windows) { "file://" } else { "file:" });
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}
