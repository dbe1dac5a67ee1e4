//! Does the tree hold what its manifest says? Only this, not the phone's word, makes a backup.

use std::{
    collections::HashSet,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    encryption::{self, EncryptionError, Password, Unlocked, content::stored_size_fits},
    ledger::NotRead,
    manifest::{Manifest, ManifestError, ManifestFile, Record},
    name::Name,
    proof::{self, Case, Form, Known, Proof, Rule, Verdict},
    property_list::{self, Trouble},
    scratch::Scratch,
    tree::{self, Found, Unreadable},
};
use crate::transfer::{unreadable, value::Value};

/// Findings that are named one by one; more are only counted.
const FINDINGS_KEPT_MAX: usize = 20;

/// Files with a finding that are known apart.
const TOLD_MAX: usize = 100_000;

/// What a whole tree holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files with content.
    pub files: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Everything came: nothing was carried over from the backup before. A phone's own word for it, `IsFullBackup`, says
    /// no also of such runs.
    pub full: bool,
    /// Every file that is part of the backup, in order of their names, and how each was proved.
    pub found: Vec<(Found, Proof)>,
    /// Files that are there and that neither the list nor Backstay knows: other programs', or left over.
    pub strays: Vec<Name>,
    /// Files of which nothing proves that they came so.
    pub unproved: u64,
    /// Files whose size in the list is another, which is usual for databases.
    pub notes: u64,
    /// Files that may be incomplete, and rows of the list that can't be read.
    pub doubts: Findings,
    /// Files that the phone could not read.
    pub unreadable: Vec<NotRead>,
    /// Files that came in this run with another digest than their rows have.
    pub contradicted: Findings,
    /// All of these, and those that were kept so.
    pub contradicted_names: Vec<Name>,
    /// Files that were kept although it is so with them; they are among the doubts, too.
    pub kept_contradicted: Findings,
}

/// One file that is not as it should be, or may not be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// For example `CameraRollDomain`; empty when no manifest tells.
    pub domain: String,
    /// Path below the domain.
    pub relative_path: String,
    /// Where it should be.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// What is wrong.
    pub what: &'static str,
    /// What this rests on.
    pub rule: Rule,
}

/// A path need not be Unicode; JSON is.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl Finding {
    /// A file that only its path tells.
    pub fn unnamed(path: PathBuf, what: &'static str, rule: Rule) -> Self {
        Self { domain: String::new(), relative_path: String::new(), path, what, rule }
    }

    /// A file that its row tells.
    pub fn of(file: &ManifestFile<'_>, path: PathBuf, what: &'static str, rule: Rule) -> Self {
        let (domain, relative_path) = (file.domain.to_owned(), file.relative_path.to_owned());
        Self { domain, relative_path, path, what, rule }
    }

    /// What a person knows it by, without where it lies.
    pub fn named(&self) -> String {
        let (name, what) = (self.path.file_name().unwrap_or_default().display(), self.what);
        match self.domain.is_empty() {
            true => format!("{name} {what}"),
            false => format!("{}: {} {what}", self.domain, self.relative_path),
        }
    }

    /// What a person knows it by.
    pub fn told(&self) -> String {
        if self.domain.is_empty() {
            format!("{} {}", self.path.display(), self.what)
        } else {
            format!("{}: {} {} ({})", self.domain, self.relative_path, self.what, self.path.display())
        }
    }
}

/// Findings, of which the first are named one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<Finding>,
    told: HashSet<PathBuf>,
}

impl Findings {
    /// One more; a second finding about a file is left out.
    pub fn add(&mut self, finding: Finding) {
        // Beyond this many one file more or less does not matter.
        if self.told.len() < TOLD_MAX && !self.told.insert(finding.path.clone()) {
            return;
        }
        self.count += 1;
        if self.first.len() < FINDINGS_KEPT_MAX {
            self.first.push(finding);
        }
    }

    /// All of another list.
    pub fn extend(&mut self, others: Self) {
        let untold = others.count - others.first.len() as u64;
        others.first.into_iter().for_each(|finding| self.add(finding));
        self.count += untold;
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
    /// Files are missing or are not what they should be.
    #[error("{} files are missing or damaged, the first: {}", .0.count, .0.first.first().map(Finding::told).unwrap_or_default())]
    Damaged(Findings),
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
    pub fn new(tree: &Path, passwords: &[Password], scratch: &Scratch) -> Result<Self, EncryptionError> {
        if !encryption::is_encrypted(tree)? {
            return Ok(Self { manifest: Manifest::plain(tree), unlocked: None, password: None });
        }
        let (unlocked, password) = encryption::open_any(tree, passwords)?;
        let manifest = Manifest::encrypted(tree, &unlocked, scratch)?;
        Ok(Self { manifest, unlocked: Some(unlocked), password: Some(password) })
    }

    /// Opens the manifest of another tree of the same phone: where it has the same keybag, which is the rule, without the
    /// seconds that a password takes.
    ///
    /// # Errors
    /// As [`Opened::new`].
    pub fn beside(one: &Self, tree: &Path, passwords: &[Password], scratch: &Scratch) -> Result<Self, EncryptionError> {
        match one.unlocked.as_ref().map(|unlocked| unlocked.of_tree(tree)).transpose()?.flatten() {
            Some(unlocked) => {
                let manifest = Manifest::encrypted(tree, &unlocked, scratch)?;
                Ok(Self { manifest, unlocked: Some(unlocked), password: one.password.clone() })
            }
            None => Self::new(tree, passwords, scratch),
        }
    }

    /// The form of a stored file, for [`proof`].
    fn form(&self, path: &Path, record: &Record<'_>, stored: u64) -> io::Result<Form> {
        let open = || tree::open(path);
        let Some(unlocked) = &self.unlocked else {
            return proof::form_of(record.size, stored, |header| open()?.read_exact(header));
        };
        let of_file = |error| match error {
            EncryptionError::File { why } => Ok(Form::Broken(why)),
            EncryptionError::Disk { source, .. } => Err(source),
            error => Err(io::Error::other(error)),
        };
        let Some(key) = record.key else {
            // A file without content needs no key; a row without a size is a finding of its own.
            let is_fine = stored == 0 || record.size.is_none();
            return Ok(if is_fine { Form::Fits } else { Form::Broken("has no key") });
        };
        if let Err(error) = unlocked.check_key(key) {
            return of_file(error);
        }
        let listed = record.size.filter(|size| stored_size_fits(*size, stored));
        if listed.is_some_and(|size| !size.is_multiple_of(512)) {
            return Ok(Form::Fits);
        }
        let mut file = open()?;
        let length = match unlocked.plain_length(&mut file, Some(key)) {
            Ok(length) => length,
            Err(error) => return of_file(error),
        };
        proof::form_of(record.size, length, |header| {
            unlocked.beginning(file, Some(key), header).map_err(|error| match error {
                EncryptionError::Disk { source, .. } => source,
                error => io::Error::other(error),
            })
        })
    }
}

/// Checks a tree; reads its manifest and asks the [rule](proof) about every file. `known` says what is known of a file
/// beside the disk. A sample of an encrypted tree is decrypted.
///
/// # Errors
/// When the tree is no finished backup, or files of it are damaged.
pub fn verify(
    tree: &Path,
    opened: &Opened,
    known: impl Fn(&Name, &ManifestFile<'_>) -> Known,
    is_part: impl Fn(&Name) -> bool,
) -> Result<Verified, VerifyError> {
    check_status(tree)?;
    let mut damages = Findings::default();
    let verified = against_manifest(tree, opened, tree::list(tree)?, known, is_part, &mut damages)?;
    damages.into_result()?;
    if verified.files == 0 {
        return Err(VerifyError::Empty);
    }
    Ok(verified)
}

/// Compares what is there with what the manifest lists. A file that no row names is a part of the backup when `is_part`
/// says so.
///
/// # Errors
/// When the manifest or the disk can't be read.
pub fn against_manifest(
    tree: &Path,
    opened: &Opened,
    found: Vec<Found>,
    known: impl Fn(&Name, &ManifestFile<'_>) -> Known,
    is_part: impl Fn(&Name) -> bool,
    damages: &mut Findings,
) -> Result<Verified, VerifyError> {
    let mut verified = Verified::default();
    let mut proofs: Vec<Option<Proof>> = vec![None; found.len()];
    let mut failed = None;
    let rows = opened.manifest.for_each_file(|file| {
        verified.files += 1;
        let Some(name) = Name::of_file_id(file.file_id) else { return };
        let index = found.binary_search_by(|found| found.name.cmp(&name)).ok();
        let here = index.and_then(|index| found.get(index));
        verified.bytes = verified.bytes.saturating_add(here.and_then(|here| here.size).unwrap_or_default());
        let path = || name.below(tree);
        let form = |stored| opened.form(&path(), &file.record, stored);
        let known = known(&name, &file);
        if known == Known::Unreadable {
            let harmless = unreadable::is_harmless(file.relative_path);
            verified.unreadable.push(NotRead { name: name.clone(), harmless, size: file.record.size });
        }
        let case = Case { file: &file, here, known, form: &form };
        let (rule, verdict) = match case.judge() {
            Ok(judged) => judged,
            Err(source) => {
                failed.get_or_insert(Unreadable { path: path(), source });
                return;
            }
        };
        let proof = match verdict {
            Verdict::Whole(proof) => proof,
            Verdict::Noted(proof) => {
                verified.notes += 1;
                proof
            }
            Verdict::Doubt(what, proof) => {
                let finding = Finding::of(&file, path(), what, rule);
                if proof == Proof::Contradicted {
                    verified.kept_contradicted.add(finding.clone());
                    verified.contradicted_names.push(name);
                }
                verified.doubts.add(finding);
                proof
            }
            Verdict::Contradicted => {
                verified.contradicted.add(Finding::of(&file, path(), proof::CONTRADICTED, rule));
                verified.contradicted_names.push(name);
                Proof::Contradicted
            }
            Verdict::Damage(what) => {
                damages.add(Finding::of(&file, path(), what, rule));
                Proof::Missing
            }
        };
        verified.unproved += u64::from(proof == Proof::Missing);
        if let Some(at) = index.and_then(|index| proofs.get_mut(index)) {
            *at = Some(proof);
        }
    })?;
    if let Some(unreadable) = failed {
        return Err(unreadable.into());
    }
    let below_tree = |finding: Finding| Finding { path: tree.join(&finding.path), ..finding };
    let Findings { first, count, told } = rows.unreadable;
    let first = first.into_iter().map(below_tree).collect();
    verified.doubts.extend(Findings { first, count, told });
    if let Some(unlocked) = &opened.unlocked {
        let except = verified.unreadable.iter().map(|file| &file.name).collect();
        encryption::check_sample(tree, &opened.manifest, unlocked, &except, damages)?;
    }
    // Such a row may have a file: one that is there stays.
    for name in rows.of_unknown_kind {
        let index = found.binary_search_by(|found| found.name.cmp(&name)).ok();
        if let Some(at @ None) = index.and_then(|index| proofs.get_mut(index)) {
            *at = Some(Proof::Missing);
        }
    }
    for (found, proof) in found.into_iter().zip(proofs) {
        match proof {
            Some(proof) => verified.found.push((found, proof)),
            None if is_part(&found.name) => verified.found.push((found, Proof::Missing)),
            None => verified.strays.push(found.name),
        }
    }
    Ok(verified)
}

/// `SnapshotState` must be "finished".
///
/// # Errors
/// When it says something else or can't be read.
pub fn check_status(tree: &Path) -> Result<(), VerifyError> {
    let path = tree.join("Status.plist");
    let status = property_list::read(&path).map_err(|trouble| match trouble {
        Trouble::Broken(why) => VerifyError::Unreadable { path, why },
        Trouble::Disk(source) => Unreadable { path, source }.into(),
    })?;
    let state = status.get("SnapshotState").and_then(Value::text).unwrap_or_default();
    if state != "finished" {
        return Err(VerifyError::Unfinished { state: state.chars().take(80).collect() });
    }
    Ok(())
}
