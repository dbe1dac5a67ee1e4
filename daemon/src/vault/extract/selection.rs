//! Which files a person means: a domain, a folder or a file, named whole or by a part that is unique.

use std::collections::BTreeSet;

use crate::vault::{
    manifest::{Manifest, ManifestError, ManifestFile},
    reader::Reader,
};

/// Places that are named when several fit.
const PLACES_SHOWN: usize = 8;

/// Everything at and below one place of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    domain: String,
    /// Path below the domain; empty for the whole domain.
    path: String,
}

/// What was found for a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// One place.
    One(Selection),
    /// None at all.
    Nothing,
    /// Several; the first of them.
    Several(Vec<String>),
}

/// How much is at a place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Selection {
    fn new(place: &str) -> Self {
        let (domain, path) = place.split_once('/').unwrap_or((place, ""));
        Self { domain: domain.to_owned(), path: path.to_owned() }
    }

    /// Finds the place by its whole name (`CameraRollDomain/Media/DCIM`), else by whole names of folders or files
    /// anywhere in it (`100APPLE/IMG_0001.HEIC`), else by any part of it (`com.example.notes`).
    ///
    /// # Errors
    /// When the manifest can't be read.
    pub fn find(manifest: &Manifest, wanted: &str) -> Result<Found, ManifestError> {
        let wanted = wanted.trim_matches('/');
        if wanted.is_empty() {
            return Ok(Found::Nothing);
        }
        let whole = Self::new(wanted);
        let as_components = format!("/{wanted}/");
        let (mut found_whole, mut by_components, mut by_part) = (false, Places::default(), Places::default());
        let mut full = String::new();
        manifest.for_each_file(|file| {
            if found_whole || whole.holds(&file) {
                found_whole = true;
                return;
            }
            full.clear();
            for text in ["/", file.domain, "/", file.relative_path, "/"] {
                full.push_str(text);
            }
            if let Some(start) = full.find(&as_components) {
                by_components.add(&full[1..start + as_components.len() - 1]);
            } else if let Some(start) = full.find(wanted) {
                let end = start + wanted.len();
                let end = full[end..].find('/').map_or(full.len(), |more| end + more);
                by_part.add(&full[1..end]);
            }
        })?;
        if found_whole {
            return Ok(Found::One(whole));
        }
        Ok(if by_components.0.is_empty() { by_part } else { by_components }.found())
    }

    /// True when the file is at this place or below it.
    pub fn holds(&self, file: &ManifestFile<'_>) -> bool {
        if file.domain != self.domain {
            return false;
        }
        let Some(rest) = file.relative_path.strip_prefix(self.path.as_str()) else { return false };
        self.path.is_empty() || rest.is_empty() || rest.starts_with('/')
    }

    /// How much it is.
    ///
    /// # Errors
    /// When the manifest can't be read.
    pub fn amount(&self, reader: &Reader) -> Result<Amount, ManifestError> {
        let mut amount = Amount::default();
        reader.manifest().for_each_file(|file| {
            if self.holds(&file) {
                amount.files += 1;
                amount.bytes = amount.bytes.saturating_add(reader.length(&file).unwrap_or_default());
            }
        })?;
        Ok(amount)
    }
}

/// Distinct places, no more than can be shown: a short part may fit everywhere.
#[derive(Default)]
struct Places(BTreeSet<String>);

impl Places {
    fn add(&mut self, place: &str) {
        if self.0.len() <= PLACES_SHOWN && !self.0.contains(place) {
            self.0.insert(place.to_owned());
        }
    }

    fn found(self) -> Found {
        let mut places: Vec<String> = self.0.into_iter().collect();
        match &places[..] {
            [] => Found::Nothing,
            [only] => Found::One(Selection::new(only)),
            _ => {
                places.truncate(PLACES_SHOWN);
                Found::Several(places)
            }
        }
    }
}
