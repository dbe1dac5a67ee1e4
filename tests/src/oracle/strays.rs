//! What lies in a backup and belongs to nothing in it.

use std::{
    collections::HashMap,
    fs::{self, DirEntry},
    io,
    path::Path,
};

use crate::phone::dataset::{DataFile, DataSet};

const METADATA: [&str; 4] = ["Info.plist", "Manifest.db", "Manifest.plist", "Status.plist"];
/// What file managers and network disks leave in folders.
const LITTER: [&str; 4] = [".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir"];

fn is_litter(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    LITTER.contains(&&*name) || name.starts_with("._") || name.starts_with(".nfs")
}

/// Anything that belongs to no row: payloads of files that are gone or of directories, leftovers of the transfer.
pub(super) fn check_strays(backup: &Path, data: &DataSet, litter: bool, differences: &mut Vec<String>) {
    let known: HashMap<String, &DataFile> = data.files().map(|file| (file.file_id.hex(), file)).collect();
    let names = |folder: &Path| -> io::Result<Vec<(String, bool)>> {
        let entries = fs::read_dir(folder)?;
        entries
            .filter(|entry| !litter || !entry.as_ref().is_ok_and(is_litter))
            .map(|entry| {
                entry.and_then(|entry| {
                    Ok((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_dir()))
                })
            })
            .collect()
    };
    let top = match names(backup) {
        Ok(top) => top,
        Err(error) => return differences.push(error.to_string()),
    };
    for (name, is_folder) in top {
        if !is_folder {
            if !METADATA.contains(&name.as_str()) {
                differences.push(format!("stray file {name}"));
            }
            continue;
        }
        if name.len() != 2 || !name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            differences.push(format!("stray folder {name}"));
            continue;
        }
        for (file, is_folder) in names(&backup.join(&name)).unwrap_or_default() {
            if is_folder || !file.starts_with(&name) || !known.contains_key(&file) {
                differences.push(format!("stray {name}/{file}"));
            }
        }
    }
}
