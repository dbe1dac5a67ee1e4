//! What is stored of a file, held against what it must be and against its row. `Size` has no say in it.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use sha1::{Digest, Sha1};

use super::manifest::Row;
use crate::{
    decrypt::{BackupKeys, protection_class},
    phone::dataset::DataFile,
};

const PIECE: usize = 256 * 1024;

/// Reads a payload beside the content of its file, decrypted first if there are keys.
pub(super) fn check_payload(
    backup: &Path,
    file: &DataFile,
    row: Option<&Row>,
    keys: Option<&BackupKeys>,
) -> Result<(), String> {
    let name = file.file_id.hex();
    let path = backup.join(&name[..2]).join(name);
    let row = row.ok_or("it has no row")?;
    let stored = match (keys, &row.archived) {
        (None, _) => {
            let payload = File::open(path).map_err(|error| error.to_string())?;
            let length = payload.metadata().map_err(|error| error.to_string())?.len();
            let mut payload = Hashed { payload, hasher: Sha1::new() };
            compare_content(&mut payload, length, file)?;
            payload.hasher
        }
        (Some(keys), Some(archived)) => {
            let key = archived.key.as_ref().ok_or("its row has no key")?;
            if protection_class(key).map(u64::from) != Some(archived.protection_class) {
                return Err("its key is of another protection class".into());
            }
            let stored = fs::read(path).map_err(|error| error.to_string())?;
            let hasher = Sha1::new_with_prefix(&stored);
            let content = keys.decrypt(key, stored)?;
            compare_content(&content[..], content.len() as u64, file)?;
            hasher
        }
        // The row has lost the key, so that the length is all that can be told.
        (Some(_), None) => {
            let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
            let expected = (file.size / 16 + 1) * 16;
            return if length == expected { Ok(()) } else { Err(format!("{length} bytes in place of {expected}")) };
        }
    };
    match row.archived.as_ref().and_then(|archived| archived.digest.as_deref()) {
        Some(digest) if digest != &stored.finalize()[..] => Err("its Digest is not that of the stored bytes".into()),
        _ => Ok(()),
    }
}

/// Takes the digest of what is read.
struct Hashed {
    payload: File,
    hasher: Sha1,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.payload.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
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
