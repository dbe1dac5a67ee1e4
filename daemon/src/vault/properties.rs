//! What a phone reads first of its last backup: `Status.plist`, `Manifest.plist` and the beginning of `Manifest.db`.

use std::{
    io::{self, Read},
    path::Path,
};

use super::{
    encryption,
    property_list::{self, Trouble},
    recovery::failed,
    transaction::VaultError,
    tree,
};

/// True when a phone would end its run over what it reads first: the properties of the last backup. It asks for its
/// passcode before that.
///
/// # Errors
/// When the disk can't be read.
pub fn are_broken(tree: &Path) -> Result<bool, VaultError> {
    for name in ["Status.plist", "Manifest.plist"] {
        let path = tree.join(name);
        match property_list::read(&path) {
            Ok(_) => {}
            // Without a status the phone sends everything.
            Err(Trouble::Disk(error)) if error.kind() == io::ErrorKind::NotFound && name == "Status.plist" => {
                return Ok(false);
            }
            Err(Trouble::Disk(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(Trouble::Broken(why)) => {
                tracing::warn!(path = %path.display(), why, "a property list of the latest backup can't be read");
                return Ok(true);
            }
            Err(Trouble::Disk(error)) => return Err(failed("reading", &path)(error)),
        }
    }
    let path = tree.join("Manifest.db");
    let mut beginning = [0; 16];
    match tree::open(&path).and_then(|mut file| file.read_exact(&mut beginning)) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            return Ok(true);
        }
        Err(error) => return Err(failed("reading", &path)(error)),
    }
    let is_plain = matches!(encryption::is_encrypted(tree), Ok(false));
    Ok(is_plain && &beginning != b"SQLite format 3\0")
}
