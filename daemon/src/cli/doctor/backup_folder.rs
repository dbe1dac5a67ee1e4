//! The folder that holds the backups, its disk, and who else is at work there.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::Path,
};

use backstay_shared::health::{FailureId, readable_bytes};

use super::finding::{Check, Finding, State};
use crate::{
    health::diagnose,
    host::disk,
    transfer::DiskError,
    vault::{layout::OWN_FOLDER, phones, roots::KnownRoots},
};

/// With less than this the phone refuses even an empty backup.
const FREE_BYTES_MIN: u64 = 128 << 20;

/// With less than this the next backup is doubtful.
const FREE_BYTES_LOW: u64 = FREE_BYTES_MIN + (2 << 30);

/// Looks at all of it.
pub fn look(root: &Path, known_roots: &KnownRoots) -> Vec<Finding> {
    let shown = root.display();
    let own = root.join(OWN_FOLDER);
    if !own.is_dir() && known_roots.contains(root) {
        return vec![
            Finding::lack(Check::BackupFolder, format!("{shown} held backups before and is not there, or is empty"))
                .mend("connect the disk or the network folder that holds it")
                .failure(FailureId::BackupDriveMissing),
        ];
    }
    if !root.exists() {
        return not_yet(root);
    }
    let probed = if own.is_dir() { &own } else { root };
    let mut findings = vec![match disk::probe(probed) {
        Ok(()) if own.is_dir() => Finding::ok(Check::BackupFolder, format!("{shown}")),
        Ok(()) => Finding::ok(Check::BackupFolder, format!("{shown}; it holds no backup yet")),
        Err(source) => {
            let error = DiskError { operation: "writing", path: probed.to_owned(), source };
            let failure = diagnose::disk(&error);
            let finding = Finding::of_failure(Check::BackupFolder, State::Lack, &failure, None);
            match failure.id {
                FailureId::HostWriteDenied if root.is_file() => {
                    finding.mend(format!("'{shown}' is a file: name a folder as root in the settings"))
                }
                FailureId::HostWriteDenied => finding.mend(format!("sudo chown -R \"$USER\" '{shown}'")),
                _ => finding,
            }
        }
    }];
    findings.extend(on_disk(root));
    if let Some(finding) = links(&own) {
        findings.push(finding);
    }
    findings.extend(others(root));
    findings
}

/// The first backup makes the folder, but not those above it.
fn not_yet(root: &Path) -> Vec<Finding> {
    let shown = root.display();
    let above = root.parent().filter(|above| above.is_dir());
    let Some(above) = above else {
        return vec![
            Finding::lack(Check::BackupFolder, format!("{shown} is not there, nor is the folder above it"))
                .mend(format!("mkdir -p '{shown}', or connect the disk that holds it"))
                .failure(FailureId::BackupDriveMissing),
        ];
    };
    if !may_write(above) {
        return vec![
            Finding::lack(Check::BackupFolder, format!("{shown} is not there, and you may not make it"))
                .mend(format!("sudo mkdir '{shown}' && sudo chown \"$USER\" '{shown}'"))
                .failure(FailureId::HostWriteDenied),
        ];
    }
    let mut findings = vec![Finding::ok(Check::BackupFolder, format!("{shown} is made by the first backup"))];
    findings.extend(on_disk(above));
    findings
}

#[cfg(unix)]
fn may_write(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn may_write(_folder: &Path) -> bool {
    true
}

fn on_disk(folder: &Path) -> Vec<Finding> {
    let kind = kind(folder);
    let mut findings = Vec::new();
    if kind == Some("FAT32") {
        findings.push(
            Finding::lack(Check::BackupDisk, "has FAT32, which holds no file over 4 GB")
                .mend("name a folder on a disk with ext4, btrfs, APFS, NTFS or exFAT as root in the settings")
                .failure(FailureId::HostFileLimit),
        );
    }
    let described = kind.map(|kind| format!(", {kind}")).unwrap_or_default();
    findings.push(match disk::free_bytes(folder) {
        Ok(free) if free < FREE_BYTES_MIN => {
            Finding::lack(Check::BackupDisk, format!("is full: {} free{described}", readable_bytes(free)))
                .mend("backstay prune --free SIZE")
                .failure(FailureId::HostDiskFull)
        }
        Ok(free) if free < FREE_BYTES_LOW => {
            Finding::note(Check::BackupDisk, format!("is nearly full: {} free{described}", readable_bytes(free)))
                .mend("backstay prune --free SIZE")
                .failure(FailureId::HostDiskLow)
        }
        Ok(free) => Finding::ok(Check::BackupDisk, format!("{} free{described}", readable_bytes(free))),
        Err(error) => Finding::note(Check::BackupDisk, format!("its free room is not known: {error}")),
    });
    findings
}

/// Source: the magic numbers of statfs(2).
#[cfg(target_os = "linux")]
fn kind(folder: &Path) -> Option<&'static str> {
    match rustix::fs::statfs(folder).ok()?.f_type {
        0x4d44 => Some("FAT32"),
        0x2011_bab0 => Some("exFAT"),
        0x5346_544e | 0x7366_746e => Some("NTFS"),
        0xef53 => Some("ext4"),
        0x9123_683e => Some("btrfs"),
        0x5846_5342 => Some("XFS"),
        0x2fc1_2fc1 => Some("ZFS"),
        0x6969 => Some("a network folder (NFS)"),
        0xff53_4d42 | 0xfe53_4d42 => Some("a network folder (SMB)"),
        0x0102_1994 => Some("in memory: gone when the computer is switched off"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn kind(_folder: &Path) -> Option<&'static str> {
    None
}

/// Older snapshots share unchanged files with the latest backup, as hard links.
fn links(own: &Path) -> Option<Finding> {
    if !own.is_dir() {
        return None;
    }
    let (file, link) = (own.join("probe-link.new"), own.join("probe-link-2.new"));
    let linked = fs::write(&file, []).and_then(|()| match fs::hard_link(&file, &link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // Whether they can be written at all was told above.
    drop(fs::remove_file(&link));
    drop(fs::remove_file(&file));
    let error = linked.err()?;
    let refused = matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied);
    refused.then(|| {
        Finding::note(Check::BackupDisk, "can't link files, so that no older snapshots are kept on it")
            .mend("for a history use a disk with ext4, btrfs, APFS or NTFS")
    })
}

/// Locks of runs that are under way, here or on another computer that shares the folder.
fn others(root: &Path) -> Vec<Finding> {
    let at_work: Vec<Finding> = phones::backed_up(root)
        .unwrap_or_default()
        .iter()
        .filter_map(|phone| {
            let holder = holder_of(&phone.layout.lock())?;
            let says = format!("process {holder} is at work on {}", phone.name);
            Some(Finding::note(Check::OtherBackstay, says).about(Some(&phone.name)).mend("wait until it has finished"))
        })
        .collect();
    if at_work.is_empty() { vec![Finding::ok(Check::OtherBackstay, "none is at work here")] } else { at_work }
}

fn holder_of(lock: &Path) -> Option<String> {
    let mut file = File::open(lock).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        // Let go at once, when it is closed.
        _ => return None,
    }
    let mut holder = String::new();
    // The number is only for the message.
    drop(file.by_ref().take(20).read_to_string(&mut holder));
    Some(holder.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::lock::LockFile;

    fn states(findings: &[Finding]) -> Vec<(Check, State, Option<FailureId>)> {
        findings.iter().map(|finding| (finding.check, finding.state, finding.failure)).collect()
    }

    #[test]
    fn a_folder_that_is_not_there() {
        let home = tempfile::tempdir().unwrap();
        let known = KnownRoots::in_folder(&home.path().join("state"));
        let root = home.path().join("backups");
        assert_eq!(states(&look(&root, &known))[0], (Check::BackupFolder, State::Ok, None), "made by the first backup");
        assert!(!root.exists(), "looking makes nothing");
        let deep = root.join("deep");
        let missing = (Check::BackupFolder, State::Lack, Some(FailureId::BackupDriveMissing));
        assert_eq!(states(&look(&deep, &known)), [missing]);
        known.prepare(&root).unwrap();
        assert_eq!(states(&look(&root, &known))[0], (Check::BackupFolder, State::Ok, None));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(states(&look(&root, &known)), [missing], "it held backups before");
    }

    #[test]
    fn who_is_at_work_is_named() {
        let home = tempfile::tempdir().unwrap();
        let lock = home.path().join("lock");
        assert_eq!(holder_of(&lock), None);
        let held = LockFile::take(&lock).unwrap();
        assert_eq!(holder_of(&lock), Some(std::process::id().to_string()));
        drop(held);
        assert_eq!(holder_of(&lock), None);
    }
}
