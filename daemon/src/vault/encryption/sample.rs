//! A sample of an encrypted backup, decrypted: sizes alone don't show that the keys fit the files.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{EncryptionError, Unlocked};
use crate::vault::{
    manifest::{Manifest, ManifestError},
    name::Name,
    proof::Rule,
    verify::{Finding, Findings},
};

/// Files that are decrypted; at least half as many, spread over the manifest, when there are that many.
const FILES_MAX: usize = 32;

/// Longer files are not read whole: their key and their end are checked.
const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// One file of the sample.
struct Sampled {
    path: PathBuf,
    domain: String,
    relative_path: String,
    key: Vec<u8>,
}

/// Decrypts a sample of files. The cipher has no check of its own for the middle of a file; what shows is whether the
/// keys fit, whether the files can be read and whether they end as they should. A file that is missing is the business of
/// the check of all files; those of which it is known that their keys need not fit are the exceptions.
///
/// # Errors
/// When the manifest or the disk can't be read.
pub fn check_sample(
    tree: &Path,
    manifest: &Manifest,
    unlocked: &Unlocked,
    except: &HashSet<&Name>,
    damages: &mut Findings,
) -> Result<(), EncryptionError> {
    for file in choose(tree, manifest, except)? {
        let what = match check(&file, unlocked) {
            Ok(()) => continue,
            Err(EncryptionError::File { why }) => why,
            Err(EncryptionError::Disk { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            Err(EncryptionError::Disk { source, .. }) => {
                return Err(EncryptionError::Disk { path: file.path, source });
            }
            Err(error) => return Err(error),
        };
        damages.add(Finding {
            domain: file.domain,
            relative_path: file.relative_path,
            path: file.path,
            what,
            rule: Rule::Form,
        });
    }
    Ok(())
}

/// Every n-th file, with n doubled as often as the sample would grow too large: one pass over the manifest.
fn choose(tree: &Path, manifest: &Manifest, except: &HashSet<&Name>) -> Result<Vec<Sampled>, ManifestError> {
    let mut sample = Vec::new();
    let (mut step, mut index) = (1_u64, 0_u64);
    manifest.for_each_file(|file| {
        // Without a key its row could not be read, which is known.
        let Some(key) = file.record.key else { return };
        if !except.is_empty() && Name::of_file_id(file.file_id).is_some_and(|name| except.contains(&name)) {
            return;
        }
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
                    path: file.path(tree),
                    domain: file.domain.to_owned(),
                    relative_path: file.relative_path.to_owned(),
                    key: key.to_vec(),
                });
            }
        }
        index += 1;
    })?;
    Ok(sample)
}

fn check(file: &Sampled, unlocked: &Unlocked) -> Result<(), EncryptionError> {
    let disk = |source: io::Error| EncryptionError::Disk { path: file.path.clone(), source };
    let metadata = fs::symlink_metadata(&file.path).map_err(disk)?;
    if !metadata.is_file() {
        return Err(EncryptionError::File { why: "is no file" });
    }
    let mut opened = File::open(&file.path).map_err(disk)?;
    if metadata.len() > FILE_BYTES_MAX {
        return unlocked.plain_length(&mut opened, Some(&file.key)).map(|_| ());
    }
    io::copy(&mut unlocked.content(opened, Some(&file.key))?, &mut io::sink()).map_err(disk)?;
    Ok(())
}
