//! Whether originals are missing on the phone.
//!
//! With *Optimize iPhone Storage* an original leaves `/DCIM` for iCloud while its small pictures stay in
//! `/PhotoData/Thumbnails/V2/DCIM/<folder>/<name>/` (seen by the research published at theforensicscooter.com on
//! 2022-12-05; Apple documents none of it). This compares the two by name. It is a guess and no proof: a thumbnail may
//! outlive a deleted photo, newer systems keep some thumbnails elsewhere, and photos that came from other devices are
//! not in `/DCIM` at all. So a few strays are not told, and that nothing is told does not mean that all is here.

use std::collections::HashSet;

use backstay_shared::health::{Failure, FailureId};

use super::{
    DCIM,
    source::{Source, Trouble},
};

const THUMBNAILS: &str = "/PhotoData/Thumbnails/V2/DCIM";

/// A folder of the camera holds at most 1000 pictures.
const FOLDERS_MAX: usize = 1000;

/// Fewer missing originals than that, or than one in so many, are strays.
const MISSING_MIN: u64 = 10;
const MISSING_ONE_IN: u64 = 20;

/// A warning when far fewer originals are here than the library has pictures of.
///
/// # Errors
/// When the link is lost.
pub async fn check(source: &mut Source) -> Result<Option<Failure>, Failure> {
    let (mut known, mut missing) = (0, 0);
    let folders = names(source, THUMBNAILS).await?;
    for folder in folders.into_iter().filter(|folder| !folder.contains('/')).take(FOLDERS_MAX) {
        let pictures = names(source, &format!("{THUMBNAILS}/{folder}")).await?;
        let originals = names(source, &format!("{DCIM}/{folder}")).await?;
        let originals: HashSet<&str> = originals.iter().map(|name| stem(name)).collect();
        known += pictures.len() as u64;
        missing += pictures.iter().filter(|name| !originals.contains(stem(name))).count() as u64;
    }
    if missing < MISSING_MIN || missing < known / MISSING_ONE_IN {
        return Ok(None);
    }
    let mut failure = Failure::from(FailureId::PhotosNotOnIphone);
    failure.evidence.files = Some(missing);
    Ok(Some(failure.text(format!("of {known} in the library; counted by their thumbnails"))))
}

/// A folder that is not there or can't be read tells nothing.
async fn names(source: &mut Source, folder: &str) -> Result<Vec<String>, Failure> {
    match source.list(folder).await {
        Ok(names) => Ok(names),
        Err(Trouble::File(_)) => Ok(Vec::new()),
        Err(Trouble::Link(failure)) => Err(failure),
    }
}

/// A picture may have been converted since.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
