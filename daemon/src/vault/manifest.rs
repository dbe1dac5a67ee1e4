//! `Manifest.db`: what the phone says the backup holds.
//!
//! Source of the format: table `Files(fileID, domain, relativePath, flags, file)` since iOS 10; `file` is a binary
//! property list that NSKeyedArchiver made of an `MBFile`; flags 1 is a file, 2 a folder, 4 a symbolic link.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tempfile::TempPath;

use super::{
    encryption::{EncryptionError, Unlocked},
    name::Name,
};

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
    /// A row is not what a backup holds.
    #[error("{}: row {file_id:?} {why}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row's key.
        file_id: String,
        /// What is wrong with it.
        why: &'static str,
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
    /// Bytes, as the manifest has it.
    pub size: u64,
    /// The archived `MBFile` itself.
    pub archive: &'a [u8],
}

/// The manifest of one tree.
#[derive(Debug)]
pub struct Manifest {
    /// The database, in plain form.
    database: PathBuf,
    /// What messages name: the file in the tree.
    path: PathBuf,
    /// Removes the decrypted database when this is dropped.
    _temporary: Option<TempPath>,
}

impl Manifest {
    /// The manifest of a tree that is not encrypted.
    pub fn plain(tree: &Path) -> Self {
        let path = tree.join("Manifest.db");
        Self { database: path.clone(), path, _temporary: None }
    }

    /// The manifest of an encrypted tree: decrypted into a temporary file that only this user can read, and that
    /// lives as long as this.
    ///
    /// # Errors
    /// When it can't be decrypted or there is no room for it.
    pub fn encrypted(tree: &Path, unlocked: &Unlocked) -> Result<Self, EncryptionError> {
        let path = tree.join("Manifest.db");
        let temporary = unlocked.decrypt_manifest(tree)?;
        let database = temporary.as_ref().map_or_else(|| path.clone(), |temporary| temporary.to_path_buf());
        Ok(Self { database, path, _temporary: temporary })
    }

    /// Calls `visit` for every row that has content, in no order.
    ///
    /// # Errors
    /// When the manifest can't be read or a row is none that a backup can hold.
    pub fn for_each_file(&self, mut visit: impl FnMut(ManifestFile<'_>)) -> Result<(), ManifestError> {
        let database = |source| self.failed(source);
        let row_error = |file_id: &str, why| ManifestError::Row {
            path: self.path.clone(),
            file_id: file_id.chars().take(80).collect(),
            why,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let open = || {
            let connection = Connection::open_with_flags(immutable_uri(&self.database), flags)?;
            let kind = "SELECT type FROM sqlite_master WHERE name = 'Files'";
            let kind: String = connection.query_row(kind, [], |row| row.get(0))?;
            Ok((connection, kind))
        };
        let opened = open().or_else(|error| match self.failed(error) {
            // Nothing is wrong with the file now; the error itself SQLite keeps to itself.
            ManifestError::Disk { source, .. } if source.raw_os_error().is_none() => open().map_err(database),
            error => Err(error),
        });
        let (connection, kind) = opened?;
        if kind != "table" {
            // A view could produce rows for ever.
            return Err(row_error("Files", "is no table"));
        }
        let query = "SELECT fileID, domain, relativePath, file FROM Files WHERE flags = 1";
        let mut statement = connection.prepare(query).map_err(database)?;
        let mut rows = statement.query([]).map_err(database)?;
        while let Some(row) = rows.next().map_err(database)? {
            let text = |index| row.get_ref(index).ok().and_then(|value| value.as_str().ok());
            let file_id = text(0).unwrap_or_default();
            if Name::of_file_id(file_id).is_none() {
                return Err(row_error(file_id, "has a name that no file of a backup has"));
            }
            let archive = row.get_ref(3).ok().and_then(|value| value.as_blob().ok()).unwrap_or_default();
            let size = archived_size(archive).ok_or_else(|| row_error(file_id, "does not tell its size"))?;
            let (domain, relative_path) = (text(1).unwrap_or_default(), text(2).unwrap_or_default());
            visit(ManifestFile { file_id, domain, relative_path, size, archive });
        }
        Ok(())
    }
}

impl Manifest {
    /// SQLite does not tell errno, so that the file is asked what is wrong with it.
    fn failed(&self, source: rusqlite::Error) -> ManifestError {
        let path = self.path.clone();
        let asked = File::open(&self.database).and_then(|mut file| file.read(&mut [0; 16]));
        match (asked, source.sqlite_error_code()) {
            (Err(error), _) if error.kind() != io::ErrorKind::NotFound => ManifestError::Disk { path, source: error },
            (Ok(_), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)) => {
                ManifestError::Disk { path, source: io::Error::other(source) }
            }
            _ => ManifestError::Database { path, source },
        }
    }
}

/// Immutable: SQLite neither locks nor leaves files of its own beside it.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// The `Size` of an archived `MBFile`, read straight from the binary property list: 400,000 of these are read after
/// every backup, and building each as a tree of values takes ten times as long.
pub(super) fn archived_size(archive: &[u8]) -> Option<u64> {
    Some(ArchivedFile::find(&BinaryList::new(archive)?)?.size)
}

/// The `EncryptionKey` of an archived `MBFile`: its protection class and the wrapped key. An `NSMutableData`, so the
/// bytes are the `NS.data` of another object.
pub(super) fn archived_key(archive: &[u8]) -> Option<&[u8]> {
    let list = BinaryList::new(archive)?;
    let file = ArchivedFile::find(&list)?;
    let index = list.uid(list.lookup(file.keys, file.values, b"EncryptionKey")?)?;
    if index >= file.objects.count {
        return None;
    }
    let (keys, values) = list.dictionary(list.reference(file.objects.start, index)?)?;
    list.data(list.lookup(keys, values, b"NS.data")?)
}

/// The `LastModified` of an archived `MBFile`: seconds since 1970.
pub(super) fn archived_modified(archive: &[u8]) -> Option<i64> {
    let list = BinaryList::new(archive)?;
    let file = ArchivedFile::find(&list)?;
    list.integer(list.lookup(file.keys, file.values, b"LastModified")?).map(u64::cast_signed)
}

/// Where the `MBFile` is among the objects of its archive.
struct ArchivedFile {
    objects: References,
    keys: References,
    values: References,
    size: u64,
}

impl ArchivedFile {
    fn find(list: &BinaryList<'_>) -> Option<Self> {
        let (keys, values) = list.dictionary(list.top)?;
        let (count, start) = list.counted(list.lookup(keys, values, b"$objects")?, 0xA)?;
        if count.checked_mul(list.reference_size)? > list.bytes.len() {
            return None;
        }
        let objects = References { start, count };
        (0..count).find_map(|index| {
            let (keys, values) = list.dictionary(list.reference(start, index)?)?;
            let size = list.integer(list.lookup(keys, values, b"Size")?)?;
            Some(Self { objects, keys, values, size })
        })
    }
}

/// The few parts of Apple's binary property list that the readers above need. Every access is checked: the bytes
/// come from the phone.
struct BinaryList<'a> {
    bytes: &'a [u8],
    offset_size: usize,
    reference_size: usize,
    top: usize,
    table: usize,
}

/// Where the references of a dictionary's keys begin, and how many there are.
#[derive(Clone, Copy)]
struct References {
    start: usize,
    count: usize,
}

impl<'a> BinaryList<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let trailer = bytes.strip_prefix(b"bplist00")?.last_chunk::<26>()?;
        let word = |range: std::ops::Range<usize>| usize::try_from(big_endian(trailer.get(range)?)?).ok();
        Some(Self {
            bytes,
            offset_size: trailer[0].into(),
            reference_size: trailer[1].into(),
            top: word(10..18)?,
            table: word(18..26)?,
        })
    }

    /// Position of an object.
    fn position(&self, object: usize) -> Option<usize> {
        let start = self.table.checked_add(object.checked_mul(self.offset_size)?)?;
        usize::try_from(big_endian(self.bytes.get(start..start.checked_add(self.offset_size)?)?)?).ok()
    }

    fn reference(&self, start: usize, index: usize) -> Option<usize> {
        let start = start.checked_add(index.checked_mul(self.reference_size)?)?;
        usize::try_from(big_endian(self.bytes.get(start..start.checked_add(self.reference_size)?)?)?).ok()
    }

    /// Length and start of the content of an object of this kind (the marker's high half).
    fn counted(&self, object: usize, kind: u8) -> Option<(usize, usize)> {
        let position = self.position(object)?;
        let marker = *self.bytes.get(position)?;
        if marker >> 4 != kind {
            return None;
        }
        match usize::from(marker & 0xF) {
            0xF => {
                let size = 1_usize.checked_shl((self.bytes.get(position + 1)? & 0xF).into())?;
                let start = position + 2;
                let count = big_endian(self.bytes.get(start..start.checked_add(size)?)?)?;
                Some((usize::try_from(count).ok()?, start + size))
            }
            count => Some((count, position + 1)),
        }
    }

    fn dictionary(&self, object: usize) -> Option<(References, References)> {
        let (count, start) = self.counted(object, 0xD)?;
        let values = start.checked_add(count.checked_mul(self.reference_size)?)?;
        Some((References { start, count }, References { start: values, count }))
    }

    fn lookup(&self, keys: References, values: References, name: &[u8]) -> Option<usize> {
        (0..keys.count.min(64)).find_map(|index| {
            let (length, start) = self.counted(self.reference(keys.start, index)?, 0x5)?;
            let key = self.bytes.get(start..start.checked_add(length)?)?;
            if key == name { self.reference(values.start, index) } else { None }
        })
    }

    fn integer(&self, object: usize) -> Option<u64> {
        let position = self.position(object)?;
        let marker = *self.bytes.get(position)?;
        if marker >> 4 != 0x1 {
            return None;
        }
        let size = 1_usize.checked_shl((marker & 0xF).into())?;
        big_endian(self.bytes.get(position + 1..(position + 1).checked_add(size)?)?)
    }

    /// The number by which an archive refers to one of its objects.
    fn uid(&self, object: usize) -> Option<usize> {
        let position = self.position(object)?;
        let marker = *self.bytes.get(position)?;
        if marker >> 4 != 0x8 {
            return None;
        }
        let size = usize::from(marker & 0xF) + 1;
        usize::try_from(big_endian(self.bytes.get(position + 1..(position + 1).checked_add(size)?)?)?).ok()
    }

    fn data(&self, object: usize) -> Option<&'a [u8]> {
        let (length, start) = self.counted(object, 0x4)?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

fn big_endian(bytes: &[u8]) -> Option<u64> {
    (1..=8).contains(&bytes.len()).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 44] = [7; 44];

    fn archive(size: u64) -> Vec<u8> {
        let dictionary = |entries: Vec<(&str, plist::Value)>| {
            plist::Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        };
        let file = dictionary(vec![
            ("Mode", 33188.into()),
            ("Size", size.into()),
            ("RelativePath", plist::Value::Uid(plist::Uid::new(2))),
            ("EncryptionKey", plist::Value::Uid(plist::Uid::new(4))),
            ("$class", plist::Value::Uid(plist::Uid::new(3))),
        ]);
        let key = dictionary(vec![("NS.data", plist::Value::Data(KEY.to_vec()))]);
        let objects = vec!["$null".into(), file, "Media/DCIM/100APPLE/IMG_0001.HEIC".into(), dictionary(vec![]), key];
        let root = dictionary(vec![
            ("$version", 100_000.into()),
            ("$archiver", "NSKeyedArchiver".into()),
            ("$top", dictionary(vec![("root", plist::Value::Uid(plist::Uid::new(1)))])),
            ("$objects", plist::Value::Array(objects)),
        ]);
        let mut bytes = Vec::new();
        root.to_writer_binary(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_size_is_read_as_the_real_reader_does() {
        for size in [0, 1, 255, 256, 65_536, 5_000_000_000, i64::MAX as u64] {
            assert_eq!(archived_size(&archive(size)), Some(size));
            assert_eq!(archived_key(&archive(size)), Some(&KEY[..]));
        }
    }

    /// An array that claims 2^64 entries is not walked.
    #[test]
    fn a_lying_count_costs_nothing() {
        let mut bad = archive(1);
        let array = bad.iter().rposition(|byte| *byte == 0xA5).unwrap();
        bad.splice(array..=array, [0xAF, 0x13, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        let _answer: Option<u64> = archived_size(&bad);
    }

    /// Every one-byte change and every truncation: any answer, but no panic.
    #[test]
    fn broken_archives_are_survived() {
        let good = archive(5_000_000_000);
        for length in 0..good.len() {
            let _answers = (archived_size(&good[..length]), archived_key(&good[..length]));
        }
        for index in 0..good.len() {
            for value in [0, 1, 0x0F, 0x7F, 0xAF, 0xDF, 0xFF] {
                let mut bad = good.clone();
                bad[index] = value;
                let _answers = (archived_size(&bad), archived_key(&bad));
            }
        }
    }
}
