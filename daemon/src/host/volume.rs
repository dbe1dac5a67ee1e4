//! What people call the disk that a folder is on.

use std::path::Path;

/// The name of the disk as a file manager shows it, or what it is for one that has no name.
pub fn name(folder: &Path) -> String {
    mount_point(folder).as_deref().and_then(name_of).unwrap_or_else(|| "this computer's disk".into())
}

/// Removable disks are mounted under their label: `/media/anna/Backup Disk`, `/Volumes/Backup Disk`, `/mnt/nas`.
fn name_of(mount_point: &Path) -> Option<String> {
    let removable = ["/media", "/run/media", "/mnt", "/Volumes"].iter().any(|above| mount_point.starts_with(above));
    mount_point.file_name().filter(|_| removable).map(|name| name.to_string_lossy().into_owned())
}

/// The folder that the file system of `folder` is mounted on.
#[cfg(unix)]
fn mount_point(folder: &Path) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(folder).ok()?.dev();
    let same = |above: &&Path| std::fs::metadata(above).is_ok_and(|facts| facts.dev() == device);
    folder.ancestors().take_while(same).last().map(Path::to_owned)
}

#[cfg(not(unix))]
fn mount_point(folder: &Path) -> Option<std::path::PathBuf> {
    folder.ancestors().last().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removable_disk_has_a_name() {
        for (mount_point, name) in [
            ("/media/anna/Backup Disk", Some("Backup Disk")),
            ("/run/media/anna/NAS", Some("NAS")),
            ("/Volumes/T7", Some("T7")),
            ("/home", None),
            ("/", None),
        ] {
            assert_eq!(name_of(Path::new(mount_point)).as_deref(), name, "{mount_point}");
        }
        assert_eq!(super::name(Path::new("/")), "this computer's disk");
    }
}
