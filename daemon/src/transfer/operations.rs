//! The short disk operations that the phone asks for between the files.

use std::{fs, io, path::Path, time::SystemTime};

use super::{DiskError, digests::Digests, folders::Folders, place::Place};
use crate::vault::clone;

fn failed(operation: &'static str, base: &Path, place: &Place) -> impl FnOnce(io::Error) -> DiskError {
    let path = base.join(place.as_str());
    move |source| DiskError { operation, path, source }
}

/// What is in a folder, in the form of an answer to `DLContentsOfDirectory`; a missing folder is an empty one. The phone
/// looks so at the end of a backup whether every file is there, so that an error of the disk must not make files missing.
///
/// # Errors
/// Of the file system.
pub fn list(base: &Path, folder: &Place) -> Result<plist::Value, DiskError> {
    let mut listed = plist::Dictionary::new();
    let entries = match fs::read_dir(base.join(folder.as_str())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listed.into()),
        entries => entries.map_err(failed("listing", base, folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(failed("listing", base, folder))?;
        let metadata = match entry.metadata() {
            // Another program's, gone meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(failed("listing", base, folder))?,
        };
        // The phone's own names are Unicode.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = if metadata.is_dir() {
            "DLFileTypeDirectory"
        } else if metadata.is_file() {
            "DLFileTypeRegular"
        } else {
            "DLFileTypeUnknown"
        };
        let mut facts = plist::Dictionary::new();
        facts.insert("DLFileType".into(), kind.into());
        facts.insert("DLFileSize".into(), metadata.len().into());
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        facts.insert("DLFileModificationDate".into(), plist::Value::Date(modified.into()));
        listed.insert(name, facts.into());
    }
    Ok(listed.into())
}

/// Makes a folder; one that is there is fine.
///
/// # Errors
/// Of the file system.
pub fn create_folder(folders: &mut Folders, folder: &Place) -> Result<(), DiskError> {
    folders.create_folder(folder).map_err(failed("creating", Path::new(""), folder))
}

/// Moves files and folders, in the phone's order; stops at the first that fails.
///
/// # Errors
/// Of the file system, or when the phone's own folder is to be moved.
pub fn move_items(
    base: &Path,
    folders: &mut Folders,
    digests: &mut Digests,
    items: &[(Place, Place)],
) -> Result<(), DiskError> {
    for (from, to) in items {
        if from.is_whole_backup() || to.is_whole_backup() {
            return Err(failed("moving", base, to)(io::ErrorKind::InvalidInput.into()));
        }
        if !digests.came(from) {
            folders.keep(from).map_err(failed("keeping", base, from))?;
        }
        match folders.rename(from, to) {
            Ok(()) => {}
            // A folder in the place of a folder is what the phone wants replaced; anything else is told as it is.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                folders.remove_folder(base, to).map_err(failed("removing", base, to))?;
                folders.rename(from, to).map_err(failed("moving", base, from))?;
                digests.removed(to);
            }
            Err(error) => return Err(failed("moving", base, from)(error)),
        }
        digests.moved(from, to);
    }
    forget_moved_folders(folders, items);
    Ok(())
}

/// Open handles lead into the old place only when a folder moved; names of payload files have no folder below them.
fn forget_moved_folders(folders: &mut Folders, items: &[(Place, Place)]) {
    if items.iter().any(|(from, _)| from.split().1.len() != PAYLOAD_NAME_LENGTH) {
        folders.forget();
    }
}

/// A payload file is named by a SHA-1 in hex.
const PAYLOAD_NAME_LENGTH: usize = 40;

/// Removes files and folders; what is not there is fine.
///
/// # Errors
/// Of the file system, or when the phone's own folder is to be removed.
pub fn remove_items(
    base: &Path,
    folders: &mut Folders,
    digests: &mut Digests,
    items: &[Place],
) -> Result<(), DiskError> {
    for place in items {
        if place.is_whole_backup() {
            return Err(failed("removing", base, place)(io::ErrorKind::InvalidInput.into()));
        }
        let removed = match folders.remove_file(place) {
            Ok(true) => Ok(()),
            Ok(false) => folders.remove_folder(base, place),
            Err(error) => Err(error),
        };
        digests.removed(place);
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(failed("removing", base, place))?,
        }
    }
    Ok(())
}

/// Copies a file or a folder. Files are never written in place, so a link is a copy.
///
/// # Errors
/// Of the file system.
pub fn copy(
    base: &Path,
    folders: &mut Folders,
    digests: &mut Digests,
    from: &Place,
    to: &Place,
) -> Result<(), DiskError> {
    let (source, target) = (base.join(from.as_str()), base.join(to.as_str()));
    let metadata = fs::symlink_metadata(&source).map_err(failed("copying", base, from))?;
    let copied = if metadata.is_dir() {
        clone::clone_tree(&source, &target, None).map(|_| ())
    } else {
        let removed = folders.remove_file(to).map(|_| ()).or_else(ignore_missing);
        removed.and_then(|()| clone::clone_file(&source, &target))
    };
    copied.map_err(failed("copying", base, from))?;
    digests.copied(from, to);
    Ok(())
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
