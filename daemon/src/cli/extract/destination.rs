//! Which folders files may be taken out to: any but those of the backups, where the next backup would remove them.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::{
    cli::CliError,
    vault::{
        layout::{Layout, OWN_FOLDER},
        phones::BackedUp,
    },
};

/// The folders of the backups below a root: what Backstay keeps, the latest backup of each phone, and the `tree` that is
/// read.
pub(super) fn of_backups(root: &Path, phones: &[BackedUp], tree: &Path) -> Vec<PathBuf> {
    let latest = phones.iter().map(|phone| &phone.layout).map(Layout::latest);
    [root.join(OWN_FOLDER), tree.to_owned()].into_iter().chain(latest).collect()
}

/// Whether files may go there. The folder need not exist yet.
///
/// # Errors
/// When it is not a folder, or is one of these `backups` or inside of one, however it is spelled.
pub(super) fn check(destination: &Path, backups: &[PathBuf]) -> Result<(), CliError> {
    let unusable = |error: io::Error| CliError::Usage(format!("{}: {error}", destination.display()));
    let place = resolved(destination).map_err(unusable)?;
    if let Some(there) = place.ancestors().find(|folder| folder.symlink_metadata().is_ok())
        && !there.is_dir()
    {
        return Err(CliError::Usage(format!("{} is not a folder", there.display())));
    }
    for backup in backups {
        let backup = resolved(backup).map_err(unusable)?;
        if place.ancestors().any(|folder| is_same(folder, &backup)) {
            return Err(CliError::Usage(format!(
                "{} belongs to the backups in {}, and files there are removed with them; name another folder",
                destination.display(),
                backup.display()
            )));
        }
    }
    Ok(())
}

/// Without links and `..`, as far as there is something; what is not there yet will be a plain folder.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut resolved = PathBuf::new();
    for component in std::path::absolute(path)?.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => {
                resolved.push(name);
                resolved = resolved.canonicalize().unwrap_or(resolved);
            }
            // `C:` alone would be the folder that this program is in.
            other => resolved.push(other),
        }
    }
    Ok(resolved)
}

/// Also by other names: in other case where the disk takes it for the same, or mounted a second time.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || identity(one).is_some_and(|found| identity(other) == Some(found))
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|facts| (facts.dev(), facts.ino()))
}

/// A resolved path is spelled as the disk has it.
#[cfg(not(unix))]
fn identity(_path: &Path) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_the_backups_are_refused_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let (root, own) = (folder.path().join("root"), folder.path().join("root/.backstay"));
        fs::create_dir_all(root.join("Anna/ab")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        // Also while it is not there yet.
        let refuses = |path: &str| check(&folder.path().join(path), &[own.clone(), root.join("Anna")]).is_err();
        for made in [false, true] {
            if made {
                fs::create_dir_all(own.join("phone")).unwrap();
            }
            let within = [
                "root/.backstay",
                "root/.backstay/phone/next",
                "root/./x/../.backstay/new",
                "root/Anna",
                "root/Anna/ab/new",
                "root/file",
                "root/file/new",
            ];
            for path in within {
                assert!(refuses(path), "{path}");
            }
            for path in ["root", "root/other", "root/.backstay2", "root/Anna2/ab", "root/.backstay/../new", "new/new"] {
                assert!(!refuses(path), "{path}");
            }
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(&own, folder.path().join("link")).unwrap();
            symlink("root/Anna/ab", folder.path().join("deeper")).unwrap();
            symlink("nowhere", folder.path().join("dangling")).unwrap();
            for path in ["link", "link/new", "deeper/../new", "link/../Anna", "dangling", "dangling/new"] {
                assert!(refuses(path), "{path}");
            }
            assert!(!refuses("link/../new"));
            symlink(&root, folder.path().join("root2")).unwrap();
            assert!(refuses("root2/.backstay/new") && !refuses("root2/new"));
        }
    }
}
