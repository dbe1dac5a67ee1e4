//! Does the tree hold what its manifest says? Only this, not the phone's word, makes a backup.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    manifest::{Manifest, ManifestError, ManifestFile},
    name::Name,
    tree::{self, Found, Unreadable},
};
use crate::transfer::value::Value;

/// `Manifest.plist` lists every app and is some megabytes at most.
const PROPERTY_LIST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Damages that are told one by one; more are only counted.
const DAMAGES_KEPT_MAX: usize = 20;

/// What a whole tree holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files with content.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// True when the phone said it sent everything.
    pub full: bool,
    /// Every file that is there, in order of their names.
    pub found: Vec<Found>,
}

/// One file that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// For example `CameraRollDomain`; empty when no manifest tells.
    pub domain: String,
    /// Path below the domain.
    pub relative_path: String,
    /// Where it should be.
    pub path: PathBuf,
    /// What is wrong.
    pub what: &'static str,
}

impl Damage {
    /// What a person knows it by.
    pub fn told(&self) -> String {
        if self.domain.is_empty() {
            format!("{} {}", self.path.display(), self.what)
        } else {
            format!("{}: {} {} ({})", self.domain, self.relative_path, self.what, self.path.display())
        }
    }
}

/// Damages, of which the first are told one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damages {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<Damage>,
    told: HashSet<PathBuf>,
}

impl Damages {
    /// One more; a file that is there already is not told again.
    pub fn add(&mut self, damage: Damage) {
        if !self.told.insert(damage.path.clone()) {
            return;
        }
        self.count += 1;
        if self.first.len() < DAMAGES_KEPT_MAX {
            self.first.push(damage);
        }
    }

    /// An error when there are any.
    ///
    /// # Errors
    /// [`VerifyError::Damaged`]
    pub fn into_result(self) -> Result<(), VerifyError> {
        if self.count == 0 { Ok(()) } else { Err(VerifyError::Damaged(self)) }
    }
}

/// Why a tree is no backup.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// `Status.plist` does not say that the snapshot is finished.
    #[error("Status.plist says {state:?} rather than \"finished\"")]
    Unfinished {
        /// What it says.
        state: String,
    },
    /// `Status.plist` or `Manifest.plist` is missing or broken.
    #[error("{}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The manifest can't be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// No phone is empty, so this is no picture of one.
    #[error("the manifest lists no file at all")]
    Empty,
    /// Files are missing or have the wrong size.
    #[error("{} files are missing or damaged, the first: {}", .0.count, .0.first.first().map(Damage::told).unwrap_or_default())]
    Damaged(Damages),
    /// The disk can't be read.
    #[error(transparent)]
    Disk(#[from] Unreadable),
}

/// Checks a tree; reads its manifest and the size of every file.
///
/// # Errors
/// When anything is not as the manifest says.
pub fn verify(tree: &Path) -> Result<Verified, VerifyError> {
    let full = check_status(tree)?;
    check_property_list(&tree.join("Manifest.plist"))?;
    let found = tree::list(tree)?;
    let mut damages = Damages::default();
    let verified = against_manifest(tree, found, &mut damages)?;
    damages.into_result()?;
    if verified.files == 0 {
        return Err(VerifyError::Empty);
    }
    Ok(Verified { full, ..verified })
}

/// Compares what is there with what the manifest lists.
///
/// # Errors
/// When the manifest can't be read.
pub fn against_manifest(tree: &Path, found: Vec<Found>, damages: &mut Damages) -> Result<Verified, ManifestError> {
    let mut verified = Verified { found, ..Verified::default() };
    Manifest::plain(tree).for_each_file(|file| {
        verified.files += 1;
        verified.bytes = verified.bytes.saturating_add(file.size);
        let Some(name) = Name::of_file_id(file.file_id) else { return };
        let here = verified.found.binary_search_by(|found| found.name.cmp(&name));
        let here = here.ok().and_then(|index| verified.found.get(index));
        if let Some(what) = difference(here, file.size) {
            damages.add(damage(tree, &name, &file, what));
        }
    })?;
    Ok(verified)
}

/// What is wrong with a file of which the size is known.
pub fn difference(here: Option<&Found>, size: u64) -> Option<&'static str> {
    match here {
        None => Some("is missing"),
        Some(Found { size: None, .. }) => Some("is no file"),
        Some(Found { size: Some(there), .. }) if *there < size => Some("is shorter than it should be"),
        Some(Found { size: Some(there), .. }) if *there > size => Some("is longer than it should be"),
        Some(_) => None,
    }
}

fn damage(tree: &Path, name: &Name, file: &ManifestFile<'_>, what: &'static str) -> Damage {
    let (domain, relative_path) = (file.domain.to_owned(), file.relative_path.to_owned());
    Damage { domain, relative_path, path: name.below(tree), what }
}

/// `SnapshotState` must be "finished"; returns `IsFullBackup`.
///
/// # Errors
/// When it says something else or can't be read.
pub fn check_status(tree: &Path) -> Result<bool, VerifyError> {
    let status = check_property_list(&tree.join("Status.plist"))?;
    let state = status.get("SnapshotState").and_then(Value::text).unwrap_or_default();
    if state != "finished" {
        return Err(VerifyError::Unfinished { state: state.chars().take(80).collect() });
    }
    Ok(status.get("IsFullBackup") == Some(&Value::Boolean(true)))
}

fn check_property_list(path: &Path) -> Result<Value, VerifyError> {
    let unreadable = |why: String| VerifyError::Unreadable { path: path.to_owned(), why };
    let size = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > PROPERTY_LIST_BYTES_MAX {
        return Err(unreadable(format!("is too large: {size} bytes")));
    }
    let content = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    match Value::parse(&content).map_err(|error| unreadable(error.to_string()))? {
        dictionary @ Value::Map(_) => Ok(dictionary),
        _ => Err(unreadable("is no dictionary".into())),
    }
}
