//! A sample of an encrypted backup, decrypted: sizes alone don't show that the keys fit the files.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::{EncryptionError, Unlocked, content};
use crate::vault::{
    manifest::{Manifest, archived_key},
    tree::Unreadable,
    verify::{Damage, Damages, VerifyError},
};

/// Files that are decrypted; at least half as many, spread over the manifest, when there are that many.
const FILES_MAX: usize = 32;

/// Longer files are not read whole: their key and their end are checked.
const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// One file of the sample.
struct Sampled {
    file_id: String,
    domain: String,
    relative_path: String,
    size: u64,
    archive: Vec<u8>,
}

/// Decrypts a sample of files. The cipher has no check of its own for the middle of a file; what shows is whether the
/// keys fit, whether the files can be read and whether they end as they should.
///
/// # Errors
/// [`VerifyError::Damaged`] when a file can't be decrypted, others when the manifest or the disk can't be read.
pub fn check_sample(tree: &Path, manifest: &Manifest, unlocked: &Unlocked) -> Result<(), VerifyError> {
    let mut damages = Damages::default();
    for file in choose(manifest)? {
        let path = tree.join(&file.file_id[..2]).join(&file.file_id);
        let what = match check(&path, &file, unlocked) {
            Ok(()) => continue,
            Err(EncryptionError::File { why }) => why,
            Err(EncryptionError::Disk { source, .. }) => return Err(Unreadable { path, source }.into()),
            Err(error) => return Err(error.into()),
        };
        damages.add(Damage { domain: file.domain, relative_path: file.relative_path, path, what });
    }
    damages.into_result()
}

/// Every n-th file, with n doubled as often as the sample would grow too large: one pass over the manifest.
fn choose(manifest: &Manifest) -> Result<Vec<Sampled>, VerifyError> {
    let mut sample = Vec::new();
    let (mut step, mut index) = (1_u64, 0_u64);
    manifest.for_each_file(|file| {
        if index.is_multiple_of(step) {
            if sample.len() == FILES_MAX {
                let mut keep = false;
                sample.retain(|_| {
                    keep = !keep;
                    keep
                });
                step *= 2;
            }
            if index.is_multiple_of(step) {
                sample.push(Sampled {
                    file_id: file.file_id.to_owned(),
                    domain: file.domain.to_owned(),
                    relative_path: file.relative_path.to_owned(),
                    size: file.size,
                    archive: file.archive.to_vec(),
                });
            }
        }
        index += 1;
    })?;
    Ok(sample)
}

fn check(path: &Path, file: &Sampled, unlocked: &Unlocked) -> Result<(), EncryptionError> {
    let disk = |source: io::Error| match source.kind() {
        io::ErrorKind::InvalidData => EncryptionError::File { why: "does not end as an encrypted file does" },
        io::ErrorKind::UnexpectedEof => EncryptionError::File { why: "is shorter than it should be" },
        io::ErrorKind::NotFound => EncryptionError::File { why: "is missing" },
        _ => EncryptionError::Disk { path: path.to_owned(), source },
    };
    let metadata = fs::symlink_metadata(path).map_err(disk)?;
    if !metadata.is_file() {
        return Err(EncryptionError::File { why: "is no file" });
    }
    let mut opened = File::open(path).map_err(disk)?;
    if file.size > FILE_BYTES_MAX && content::stored_size_fits(file.size, metadata.len()) {
        let key = unlocked.class_keys.file_key(archived_key(&file.archive).unwrap_or_default())?;
        return content::check_end(&mut opened, &key, file.size, metadata.len()).map_err(disk);
    }
    io::copy(&mut unlocked.content(opened, &file.archive)?, &mut io::sink()).map_err(disk)?;
    Ok(())
}
