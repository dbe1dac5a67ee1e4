//! What is on the phone and not yet on the computer.

use std::sync::Arc;

use backstay_shared::health::{Failure, FailureId};
use futures_util::future::try_join_all;

use super::{
    DCIM, blocking,
    progress::Tally,
    source::{Kind, Source, Trouble},
    target::{PART, Target, Wanted},
};
use crate::{health::diagnose, transfer::place::Place, vault::extract::names};

/// `/DCIM` has folders of files, and some apps put folders into these.
const FOLDER_DEPTH_MAX: usize = 16;

/// Who has more photos than that has no phone.
const FILES_MAX: usize = 2_000_000;

/// A file to copy; there may be a million of these.
#[derive(Debug, Clone)]
pub struct Item {
    /// Below `/DCIM`, with slashes.
    pub path: Box<str>,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
}

impl Item {
    /// What it should become; none when its name leads elsewhere.
    pub fn wanted(&self) -> Option<Wanted> {
        let place = place_of(&self.path)?;
        Some(Wanted { place, size: self.size, modified: self.modified })
    }
}

fn place_of(path: &str) -> Option<Place> {
    // The phone's own must not be taken for one of ours that is not whole.
    names::place_of_components(path.split('/')).filter(|place| !place.as_str().ends_with(PART))
}

/// Looks through the whole folder, with as many requests in flight as there are connections: a phone takes a
/// millisecond or so for each file.
///
/// # Errors
/// When the link or the disk fails; a folder or file that can't be looked at is noted in the tally.
pub async fn scan(sources: &mut [Source], target: &Arc<Target>, tally: &mut Tally) -> Result<Vec<Item>, Failure> {
    let (mut items, mut bytes) = (Vec::new(), 0_u64);
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let Some(first) = sources.first_mut() else { break };
        let names = match first.list(&on_phone(&folder)).await {
            Ok(names) => names,
            // A phone with no photo at all has no such folder.
            Err(Trouble::File(_)) if folder.is_empty() && has_no_photos(first).await? => break,
            Err(Trouble::File(why)) => {
                tally.copied.add_failed(on_phone(&folder), why);
                continue;
            }
            Err(Trouble::Link(failure)) => return Err(failure),
        };
        let mut files = Vec::new();
        for (path, found) in look_at_all(sources, &folder, &names).await? {
            match found {
                Ok(Kind::Folder) if path.matches('/').count() < FOLDER_DEPTH_MAX => folders.push(path),
                Ok(Kind::File { size, modified }) => files.push(Item { path: path.into(), size, modified }),
                Ok(Kind::Folder) => tally.copied.add_failed(on_phone(&path), "is nested too deep".into()),
                Ok(Kind::Other) => tally.copied.add_failed(on_phone(&path), "is neither a file nor a folder".into()),
                Err(why) => tally.copied.add_failed(on_phone(&path), why),
            }
        }
        let found = files.len();
        let target = target.clone();
        let missing = blocking(move || {
            let mut missing = Vec::new();
            for item in files {
                let there = item.wanted().map_or(Ok(false), |wanted| target.holds(&wanted))?;
                if !there {
                    missing.push(item);
                }
            }
            Ok(missing)
        });
        let missing: Vec<Item> = missing.await?.map_err(|error| diagnose::disk(&error))?;
        tally.copied.there += (found - missing.len()) as u64;
        bytes = missing.iter().fold(bytes, |bytes, item| bytes.saturating_add(item.size));
        items.extend(missing);
        if items.len() > FILES_MAX || folders.len() > FILES_MAX {
            return Err(Failure::from(FailureId::DeviceDataRefused).path(DCIM).text("holds more files than can be"));
        }
        tally.found(items.len() as u64, bytes);
    }
    Ok(items)
}

fn on_phone(path: &str) -> String {
    if path.is_empty() { DCIM.to_owned() } else { format!("{DCIM}/{path}") }
}

async fn has_no_photos(source: &mut Source) -> Result<bool, Failure> {
    match source.list("/").await {
        Ok(names) => Ok(!names.iter().any(|name| format!("/{name}") == DCIM)),
        Err(Trouble::File(_)) => Ok(false),
        Err(Trouble::Link(failure)) => Err(failure),
    }
}

type Found = (String, Result<Kind, String>);

async fn look_at_all(sources: &mut [Source], folder: &str, names: &[String]) -> Result<Vec<Found>, Failure> {
    let count = sources.len();
    let shares = sources.iter_mut().enumerate().map(|(index, source)| async move {
        let mut found = Vec::new();
        for name in names.iter().skip(index).step_by(count) {
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            // Names come one by one, so that a slash in one of them is no folder but an attempt to leave it.
            let is_plain = Place::of_components([&**name]).is_some() && place_of(&path).is_some();
            let seen = match is_plain {
                false => Err("has a name that can't be kept".into()),
                true => match source.look_at(&on_phone(&path)).await {
                    Ok(kind) => Ok(kind),
                    Err(Trouble::File(why)) => Err(why),
                    Err(Trouble::Link(failure)) => return Err(failure),
                },
            };
            found.push((path, seen));
        }
        Ok(found)
    });
    Ok(try_join_all(shares).await?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_where_it_belongs() {
        for (path, place) in [
            ("100APPLE/IMG_0001.HEIC", Some("100APPLE/IMG_0001.HEIC")),
            ("100APPLE/Grüße aus Köln 🌉.mov", Some("100APPLE/Grüße aus Köln 🌉.mov")),
            ("..", None),
            ("../x", None),
            ("100APPLE/../../x", None),
            ("/etc/passwd", None),
            ("a//b", None),
            ("a\0b", None),
            ("", None),
            ("100APPLE/IMG_0001.HEIC.backstay.part", None),
        ] {
            assert_eq!(place_of(path).as_ref().map(Place::as_str), place, "{path:?}");
        }
    }
}
