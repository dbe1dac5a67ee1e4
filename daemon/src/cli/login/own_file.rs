//! Files that `enable` writes and `disable` removes. Each bears a mark; one without it is a person's and stays.

use std::{fs, io, path::Path};

use crate::{cli::CliError, host::disk};

/// The mark, for a comment of the file's own kind.
pub const MARK: &str = "Made by backstay login enable; backstay login disable removes it.";

/// What is in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A file of ours.
    Own(String),
    /// A file that somebody else made, or a link.
    Foreign,
}

/// How a file came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was so already.
    Same,
    /// It is new, or has changed.
    Changed,
    /// Somebody else's is there, and stays.
    Foreign,
}

/// Looks.
pub fn look(file: &Path) -> Found {
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Absent,
        Ok(facts) if facts.is_file() => match fs::read_to_string(file) {
            Ok(text) if text.contains(MARK) => Found::Own(text),
            _ => Found::Foreign,
        },
        _ => Found::Foreign,
    }
}

/// Writes it, if it is not so already.
///
/// # Errors
/// Of the file system.
pub fn write(file: &Path, text: &str) -> Result<Outcome, CliError> {
    match look(file) {
        Found::Foreign => Ok(Outcome::Foreign),
        Found::Own(there) if there == text => Ok(Outcome::Same),
        _ => {
            let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
            let written = folder.and_then(|()| disk::write_durably(file, text.as_bytes()));
            written.map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
            Ok(Outcome::Changed)
        }
    }
}

/// Removes it, if it is ours. True when it was.
///
/// # Errors
/// Of the file system.
pub fn remove(file: &Path) -> Result<bool, CliError> {
    if !matches!(look(file), Found::Own(_)) {
        return Ok(false);
    }
    fs::remove_file(file).map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/x.service");
        let text = format!("# {MARK}\nours\n");
        assert_eq!(write(&file, &text).unwrap(), Outcome::Changed);
        assert_eq!(write(&file, &text).unwrap(), Outcome::Same);
        assert_eq!(write(&file, &text.replace("ours", "new")).unwrap(), Outcome::Changed);
        assert!(remove(&file).unwrap() && !file.exists() && !remove(&file).unwrap());

        fs::write(&file, "mine").unwrap();
        assert_eq!(write(&file, &text).unwrap(), Outcome::Foreign);
        assert!(!remove(&file).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, format!("# {MARK}\n")).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(write(&link, "x").unwrap(), Outcome::Foreign);
        assert!(!remove(&link).unwrap());
    }
}
