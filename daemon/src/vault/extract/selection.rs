//! Which files a person means: a domain, a folder or a file, named whole or by a part that is unique.
//!
//! A name is found in whichever Unicode form the phone has it; what is shown is the phone's own spelling. What differs in
//! case alone is offered and not taken.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    spelling::{composed, folded},
    twins::{Seen, Twins},
};
use crate::vault::{
    manifest::{Manifest, ManifestError, ManifestFile},
    reader::Reader,
};

/// Places that are named when several fit.
const PLACES_SHOWN: usize = 8;

/// Everything at and below one place of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// A domain, or a path with the domain as its first part; composed. Empty for the whole backup.
    place: String,
}

/// What was found for a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// One place.
    One(Selection),
    /// None at all; the first of the places that differ in case alone.
    Nothing(Vec<String>),
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

/// What is known of a selection before it is taken out.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// How much it is.
    pub amount: Amount,
    /// Names of the snapshot that some disk could take for one.
    pub twins: Twins,
}

impl Selection {
    fn new(place: &str) -> Self {
        Self { place: composed(place).into_owned() }
    }

    /// Finds the place by its whole name (`CameraRollDomain/Media/DCIM`), else by whole names of folders or files
    /// anywhere in it (`100APPLE/IMG_0001.HEIC`), else by any part of it (`com.example.notes`). `/` is the whole backup.
    ///
    /// # Errors
    /// When the manifest can't be read.
    pub fn find(manifest: &Manifest, wanted: &str) -> Result<Found, ManifestError> {
        let whole = wanted.starts_with('/');
        let wanted = wanted.trim_matches('/');
        if wanted.is_empty() {
            let everything = Found::One(Self { place: String::new() });
            return Ok(if whole { everything } else { Found::Nothing(Vec::new()) });
        }
        let shown = |places: Vec<String>| places.into_iter().take(PLACES_SHOWN).collect();
        let found = places(manifest, wanted, composed)?.first();
        Ok(match &found[..] {
            [] => Found::Nothing(shown(places(manifest, wanted, folded)?.first())),
            [only] => Found::One(Self::new(only)),
            _ => Found::Several(shown(found)),
        })
    }

    /// True when the file is at this place or below it.
    pub fn holds(&self, file: &ManifestFile<'_>) -> bool {
        let is_within = |path: &str, place: &str| {
            path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.place.is_empty() {
            return true;
        }
        let domain = composed(file.domain);
        match self.place.strip_prefix(&*domain) {
            Some("") => true,
            Some(below) => below.strip_prefix('/').is_some_and(|path| is_within(&composed(file.relative_path), path)),
            None => is_within(&domain, &self.place),
        }
    }

    /// Looks at all of it.
    ///
    /// # Errors
    /// When the manifest can't be read.
    pub fn survey(&self, reader: &Reader) -> Result<Survey, ManifestError> {
        let (mut amount, mut seen) = (Amount::default(), Seen::default());
        reader.manifest().for_each_file(|file| {
            // Also of what is not meant: an earlier run may have taken it out to the same folder.
            seen.add(file.domain, file.relative_path);
            if self.holds(&file) {
                amount.files += 1;
                amount.bytes = amount.bytes.saturating_add(reader.length(&file).unwrap_or_default());
            }
        })?;
        Ok(Survey { amount, twins: seen.twins() })
    }
}

/// The places that fit, by how well they do.
#[derive(Default)]
struct Fitting {
    whole: Places,
    by_components: Places,
    by_part: Places,
}

impl Fitting {
    /// Those that fit best.
    fn first(&self) -> Vec<String> {
        let all = [&self.whole, &self.by_components, &self.by_part];
        let first = all.into_iter().find(|places| !places.0.is_empty()).unwrap_or(&self.whole);
        first.0.values().cloned().collect()
    }
}

/// Compares names in the form that `form` gives them, which never makes or loses a slash.
fn places(manifest: &Manifest, wanted: &str, form: fn(&str) -> Cow<'_, str>) -> Result<Fitting, ManifestError> {
    let wanted = &*form(wanted);
    let as_components = format!("/{wanted}/");
    let mut fitting = Fitting::default();
    let mut full = String::new();
    manifest.for_each_file(|file| {
        full.clear();
        for text in ["/", file.domain, "/", file.relative_path, "/"] {
            full.push_str(text);
        }
        let formed = form(&full);
        let (places, end) = if let Some(start) = formed.find(&as_components) {
            let places = if start == 0 { &mut fitting.whole } else { &mut fitting.by_components };
            (places, start + as_components.len() - 1)
        } else if let Some(start) = formed.find(wanted) {
            let end = start + wanted.len();
            (&mut fitting.by_part, formed[end..].find('/').map_or(formed.len(), |more| end + more))
        } else {
            return;
        };
        places.add(&formed[1..end], full.trim_end_matches('/'));
    })?;
    Ok(fitting)
}

/// Distinct places, no more than can be shown: a short part may fit everywhere. Composed, and as the phone spells them.
#[derive(Default)]
struct Places(BTreeMap<String, String>);

impl Places {
    /// `full` is the whole name, of which as many parts are meant as the place has.
    fn add(&mut self, place: &str, full: &str) {
        let slashes = place.matches('/').count();
        let spelled = full[1..].match_indices('/').nth(slashes).map_or(&full[1..], |(end, _)| &full[1..=end]);
        let composed = composed(spelled);
        if self.0.len() <= PLACES_SHOWN && !self.0.contains_key(&*composed) {
            self.0.insert(composed.into_owned(), spelled.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    const NFC: &str = "Gr\u{fc}\u{df}e";
    const NFD: &str = "Gru\u{308}\u{df}e";

    /// Folders in one form and files in the other, a pair in both, and names that differ in case.
    fn manifest() -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        let database = Connection::open(folder.path().join("Manifest.db")).unwrap();
        database.execute_batch("CREATE TABLE Files (fileID, domain, relativePath, flags, file)").unwrap();
        let paths = [
            format!("Documents/{NFD}.pdf"),
            format!("{NFD}/{NFC}.txt"),
            format!("{NFD}/{NFD}.md"),
            "Both/u\u{308}".into(),
            "Both/\u{fc}".into(),
            "Library/SMS/sms.db".into(),
            "Library/sms/other".into(),
        ];
        for (index, path) in paths.iter().enumerate() {
            let row = (format!("{index:040x}"), "HomeDomain", path, 1);
            database.execute("INSERT INTO Files VALUES (?, ?, ?, ?, NULL)", row).unwrap();
        }
        let manifest = Manifest::plain(folder.path());
        (folder, manifest)
    }

    fn held(manifest: &Manifest, selection: &Selection) -> Vec<String> {
        let mut held = Vec::new();
        let add = |file: ManifestFile<'_>| held.extend(selection.holds(&file).then(|| file.relative_path.to_owned()));
        manifest.for_each_file(add).unwrap();
        held
    }

    #[test]
    fn a_name_is_found_in_either_form() {
        let (_folder, manifest) = manifest();
        for (wanted, files) in [
            (format!("HomeDomain/Documents/{NFC}.pdf"), 1),
            (format!("{NFC}.pdf"), 1),
            (format!("{NFD}.pdf"), 1),
            (format!("{NFC}.p"), 1),
            (format!("HomeDomain/{NFC}"), 2),
            (format!("{NFC}/"), 2),
            (format!("{NFC}/{NFD}.txt"), 1),
            (format!("{NFC}/{NFC}.md"), 1),
            ("Both/\u{fc}".into(), 2),
            ("HomeDomain".into(), 7),
        ] {
            let found = Selection::find(&manifest, &wanted).unwrap();
            let Found::One(selection) = found else { panic!("{wanted}: {found:?}") };
            assert_eq!(held(&manifest, &selection).len(), files, "{wanted}");
        }
        let several = Selection::find(&manifest, &NFC[..4]).unwrap();
        let spelled = [format!("HomeDomain/Documents/{NFD}.pdf"), format!("HomeDomain/{NFD}")];
        assert_eq!(several, Found::Several(spelled.to_vec()), "as the phone has them");
    }

    #[test]
    fn what_differs_in_case_is_offered_and_not_taken() {
        let (_folder, manifest) = manifest();
        let nothing = |wanted: &str| match Selection::find(&manifest, wanted).unwrap() {
            Found::Nothing(meant) => meant,
            found => panic!("{wanted}: {found:?}"),
        };
        assert_eq!(nothing("SMS.DB"), ["HomeDomain/Library/SMS/sms.db"]);
        assert_eq!(nothing("homedomain/library/sms/SMS.db"), ["HomeDomain/Library/SMS/sms.db"]);
        assert_eq!(nothing("sMs"), ["HomeDomain/Library/SMS", "HomeDomain/Library/sms"]);
        assert_eq!(nothing(&format!("{NFC}.PDF").to_uppercase()), [format!("HomeDomain/Documents/{NFD}.pdf")]);
        assert_eq!(nothing("no such thing"), [""; 0]);
        assert_eq!(nothing(""), [""; 0]);
        assert!(
            matches!(Selection::find(&manifest, "/").unwrap(), Found::One(everything) if everything.place.is_empty())
        );
    }
}
