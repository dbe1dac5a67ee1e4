//! A decrypted `Manifest.db`, opened where no other program sees it.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use rusqlite::Connection;
use tempfile::{NamedTempFile, TempPath};

use super::{
    EncryptionError,
    content::{BLOCK_BYTES, CHUNK_BYTES, is_padding},
};
use crate::vault::{manifest, sqlite_file};

/// Its connection; the name of its file, where the system can't take it away from an open file.
#[derive(Debug)]
pub(in crate::vault) struct Decrypted {
    pub(in crate::vault) connection: Connection,
    _name: Option<TempPath>,
}

/// Of a short manifest; `path` is what messages name.
pub(super) fn in_memory(mut plain: impl Read, length: u64, path: &Path) -> Result<Decrypted, EncryptionError> {
    let reading = |source| EncryptionError::Disk { path: path.to_owned(), source };
    let broken = |why: String| EncryptionError::Unreadable { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    plain.read_to_end(&mut bytes).map_err(reading)?;
    let (Some(header), Some(end)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return Err(broken("is too short for a database".into()));
    };
    let whole = length_without_padding(header, end, length).map_err(|why| broken(why.into()))?;
    bytes.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
    let connection = manifest::open_bytes(bytes).map_err(|error| broken(error.to_string()))?;
    Ok(Decrypted { connection, _name: None })
}

/// Of a long one.
pub(super) fn in_file(
    mut plain: impl Read,
    length: u64,
    mut file: NamedTempFile,
    path: &Path,
) -> Result<Decrypted, EncryptionError> {
    let reading = |source| EncryptionError::Disk { path: path.to_owned(), source };
    let broken = |why: String| EncryptionError::Unreadable { path: path.to_owned(), why };
    let folder = file.path().parent().unwrap_or(path).to_owned();
    let writing = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull => EncryptionError::NoRoom { folder: folder.clone(), bytes: length },
        _ => EncryptionError::Disk { path: folder.clone(), source },
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match plain.read(&mut chunk).map_err(reading)? {
            0 => break,
            count => file.write_all(&chunk[..count]).map_err(writing)?,
        }
    }
    cut_padding(file.as_file_mut(), length).map_err(writing)?.map_err(|why| broken(why.into()))?;
    let name = file.into_temp_path();
    let connection = manifest::open(&name).map_err(|error| broken(error.to_string()))?;
    // On Unix the open file stays without its name. Elsewhere, and on some network drives, it keeps the name until it is
    // closed.
    let removed = cfg!(unix) && std::fs::remove_file(&name).is_ok();
    Ok(Decrypted { connection, _name: (!removed).then_some(name) })
}

fn cut_padding(database: &mut File, length: u64) -> io::Result<Result<(), &'static str>> {
    let (mut header, mut end) = ([0; sqlite_file::HEADER_BYTES], [0; BLOCK_BYTES as usize]);
    database.seek(SeekFrom::Start(0))?;
    database.read_exact(&mut header)?;
    database.seek(SeekFrom::Start(length - BLOCK_BYTES))?;
    database.read_exact(&mut end)?;
    match length_without_padding(&header, &end, length) {
        Ok(whole) => database.set_len(whole).map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

/// Some writers leave the padding out: a database is a whole number of pages, so that what is more is padding.
fn length_without_padding(
    header: &[u8; sqlite_file::HEADER_BYTES],
    end: &[u8; BLOCK_BYTES as usize],
    length: u64,
) -> Result<u64, &'static str> {
    let page = sqlite_file::page_bytes(header).ok_or("is no database after decryption")?;
    match length % page {
        0 => Ok(length),
        BLOCK_BYTES if is_padding(end) => Ok(length - BLOCK_BYTES),
        BLOCK_BYTES => Err("does not end as an encrypted file does"),
        _ => Err("is no whole number of database pages"),
    }
}
