//! Does the tree hold what its manifest says? Only this, not the phone's word, makes a backup.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    encryption::{self, EncryptionError, Password, Unlocked, content::stored_size_fits},
    manifest::{Manifest, ManifestError, ManifestFile},
    name::Name,
    property_list::{self, Trouble},
    tree::{self, Found, Unreadable},
};
use crate::transfer::value::Value;

/// Damages that are told one by one; more are only counted.
const DAMAGES_KEPT_MAX: usize = 20;

/// Damaged files that are known apart.
const TOLD_MAX: usize = 100_000;

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
        // Beyond this many one file more or less does not matter.
        if self.told.len() < TOLD_MAX && !self.told.insert(damage.path.clone()) {
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
    /// An encrypted tree can't be opened.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
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

/// A manifest that can be read.
#[derive(Debug)]
pub struct Opened {
    /// Its rows.
    pub manifest: Manifest,
    /// The keys, when the tree is encrypted.
    pub unlocked: Option<Unlocked>,
    /// The password that fitted.
    pub password: Option<Password>,
}

impl Opened {
    /// Opens the manifest of a tree; an encrypted one with the first password that fits.
    ///
    /// # Errors
    /// When none fits, or `Manifest.plist` or the manifest can't be read.
    pub fn new(tree: &Path, passwords: &[Password]) -> Result<Self, EncryptionError> {
        if !encryption::is_encrypted(tree)? {
            return Ok(Self { manifest: Manifest::plain(tree), unlocked: None, password: None });
        }
        let (unlocked, password) = encryption::open_any(tree, passwords)?;
        let manifest = Manifest::encrypted(tree, &unlocked)?;
        Ok(Self { manifest, unlocked: Some(unlocked), password: Some(password) })
    }
}

/// Checks a tree; reads its manifest and the size of every file. An encrypted one is opened with the first password
/// that fits, and a sample of its files is decrypted.
///
/// # Errors
/// When anything is not as the manifest says.
pub fn verify(tree: &Path, passwords: &[Password]) -> Result<Verified, VerifyError> {
    let full = check_status(tree)?;
    let opened = Opened::new(tree, passwords)?;
    let mut damages = Damages::default();
    let verified = against_manifest(tree, &opened, tree::list(tree)?, &mut damages)?;
    damages.into_result()?;
    if verified.files == 0 {
        return Err(VerifyError::Empty);
    }
    if let Some(unlocked) = &opened.unlocked {
        encryption::check_sample(tree, &opened.manifest, unlocked)?;
    }
    Ok(Verified { full, ..verified })
}

/// Compares what is there with what the manifest lists.
///
/// # Errors
/// When the manifest can't be read.
pub fn against_manifest(
    tree: &Path,
    opened: &Opened,
    found: Vec<Found>,
    damages: &mut Damages,
) -> Result<Verified, ManifestError> {
    let mut verified = Verified { found, ..Verified::default() };
    let is_encrypted = opened.unlocked.is_some();
    opened.manifest.for_each_file(|file| {
        verified.files += 1;
        verified.bytes = verified.bytes.saturating_add(file.size);
        let Some(name) = Name::of_file_id(file.file_id) else { return };
        let here = verified.found.binary_search_by(|found| found.name.cmp(&name));
        let here = here.ok().and_then(|index| verified.found.get(index));
        let stored = here.and_then(|found| found.size);
        let fits = is_encrypted && stored.is_some_and(|stored| stored_size_fits(file.size, stored));
        if let Some(what) = difference(here, file.size).filter(|_| !fits) {
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
    let path = tree.join("Status.plist");
    let status = property_list::read(&path).map_err(|trouble| match trouble {
        Trouble::Broken(why) => VerifyError::Unreadable { path, why },
        Trouble::Disk(source) => Unreadable { path, source }.into(),
    })?;
    let state = status.get("SnapshotState").and_then(Value::text).unwrap_or_default();
    if state != "finished" {
        return Err(VerifyError::Unfinished { state: state.chars().take(80).collect() });
    }
    Ok(status.get("IsFullBackup") == Some(&Value::Boolean(true)))
}
