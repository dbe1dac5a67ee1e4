//! Names of the phone as names of files of this computer. A manifest is never believed: what would leave the folder
//! has no name here.
//!
//! A name that the disk refuses gets a near one. It carries a part of the checksum of the real name, so that it depends
//! on that name alone: it is the same in each run, and no other name of the folder has it.

use std::{borrow::Cow, io};

use crate::transfer::place::Place;

/// Characters that FAT, exFAT and NTFS have no file with.
const FORBIDDEN: &[char] = &['<', '>', ':', '"', '/', '\\', '|', '?', '*'];

/// Names that are devices on Windows, with any extension.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Bytes of a name that disks take: most of them, and those that encrypt names.
const LENGTHS_MAX: [usize; 2] = [255, 140];

/// What is longer is no extension but a part of the name.
const EXTENSION_BYTES_MAX: usize = 32;

/// Where a file goes below the destination; none when its name climbs, is absolute or is no name at all.
pub fn place_of(domain: &str, relative_path: &str) -> Option<Place> {
    Place::of_components(std::iter::once(domain).chain(relative_path.split('/')))
}

/// The place of names that are known one by one, each as this system can have it: none when one of them is no plain name.
pub fn place_of_components<'a>(components: impl IntoIterator<Item = &'a str>) -> Option<Place> {
    let names: Vec<Cow<'_, str>> = components.into_iter().map(local_name).collect();
    Place::of_components(names.iter().map(|name| &**name))
}

/// The name itself, or a near one where this system must not even be asked for it.
fn local_name(name: &str) -> Cow<'_, str> {
    if may_be_tried(name) { Cow::Borrowed(name) } else { Cow::Owned(near(name, true, LENGTHS_MAX[0], 0)) }
}

/// False for what is no file on this system but a device, a stream of another file, or something of another name.
pub fn may_be_tried(name: &str) -> bool {
    !cfg!(windows) || mended(name) == name || matches!(name, "" | "." | "..")
}

/// The near names that are tried in turn, the first that the disk takes being it. `is_taken` for a name that the disk
/// has given to another.
pub fn candidates(name: &str, is_taken: bool) -> impl Iterator<Item = Cow<'_, str>> {
    let itself = (!is_taken && may_be_tried(name)).then_some(Cow::Borrowed(name));
    // Characters stay where the disk takes them.
    let kept = may_be_tried(name).then(|| near(name, false, LENGTHS_MAX[0], 0));
    let mended = LENGTHS_MAX.iter().map(|bytes_max| near(name, true, *bytes_max, 0));
    // Only what was made for it comes to the last.
    let others = (1..4).map(|salt| near(name, true, LENGTHS_MAX[1], salt));
    itself.into_iter().chain(kept.into_iter().chain(mended).chain(others).map(Cow::Owned))
}

/// True for the errors by which a disk refuses a name.
pub fn is_refusal(error: &io::Error) -> bool {
    // EILSEQ, which has no kind: what macOS says of a name that is not written as it wants it.
    #[cfg(unix)]
    let illegal = error.raw_os_error() == Some(rustix::io::Errno::ILSEQ.raw_os_error());
    #[cfg(not(unix))]
    let illegal = false;
    // Some disks know no such file rather than refusing to make one.
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotFound};
    illegal || matches!(error.kind(), InvalidFilename | InvalidInput | NotFound)
}

/// `note 12:30.txt` becomes `note 12_30 (1f0ae39c).txt`.
fn near(name: &str, mend: bool, bytes_max: usize, salt: u8) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    if salt > 0 {
        hasher.update(&[0, salt]);
    }
    let [one, two, three, four, ..] = *hasher.finalize().as_bytes();
    let mark = format!(" ({one:02x}{two:02x}{three:02x}{four:02x})");
    let name = if mend { mended(name) } else { Cow::Borrowed(name) };
    let (stem, extension) = split_extension(&name);
    let room = bytes_max.saturating_sub(mark.len() + extension.len());
    let end = stem.floor_char_boundary(room);
    format!("{}{mark}{extension}", stem[..end].trim_end_matches(' '))
}

/// The extension has its dot.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && (2..=EXTENSION_BYTES_MAX).contains(&(name.len() - at)) => name.split_at(at),
        _ => (name, ""),
    }
}

/// Without what any disk refuses.
fn mended(name: &str) -> Cow<'_, str> {
    let bad = |character: char| FORBIDDEN.contains(&character) || character.is_control() && character != '\0';
    let ends_badly = name.ends_with(['.', ' ']);
    if !ends_badly && !name.contains(bad) && !is_device(name) {
        return Cow::Borrowed(name);
    }
    let mut mended: String = name.chars().map(|character| if bad(character) { '_' } else { character }).collect();
    if ends_badly {
        mended.pop();
        mended.push('_');
    }
    if is_device(&mended) {
        mended.insert(0, '_');
    }
    Cow::Owned(mended)
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
    let numbered = ["COM", "LPT"].iter().any(|port| {
        let number = stem.strip_prefix(port).map(|number| number.chars().collect::<Vec<_>>());
        matches!(number.as_deref(), Some(['0'..='9' | '¹' | '²' | '³']))
    });
    numbered || DEVICES.contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_climbs_has_no_place() {
        for (domain, path) in [
            ("HomeDomain", "../../etc/passwd"),
            ("HomeDomain", "Library/../../x"),
            ("HomeDomain", "/etc/passwd"),
            ("HomeDomain", "a//b"),
            ("HomeDomain", "./a"),
            ("HomeDomain", "a\0b"),
            ("HomeDomain", ""),
            ("..", "x"),
            ("", "x"),
            ("a/../..", "x"),
        ] {
            assert!(place_of(domain, path).is_none(), "{domain:?} {path:?} has a place");
        }
        let place = place_of("HomeDomain", "Library/Grüße aus Köln.pdf").unwrap();
        assert_eq!(place.as_str(), "HomeDomain/Library/Grüße aus Köln.pdf");
    }

    #[test]
    fn disks_get_names_that_they_can_have() {
        for (name, there) in [
            ("note 12:30.txt", "note 12_30.txt"),
            ("C:\\x", "C__x"),
            ("what?", "what_"),
            ("a\u{7}b", "a_b"),
            ("ends with a dot.", "ends with a dot_"),
            ("ends with a space ", "ends with a space_"),
            ("NUL", "_NUL"),
            ("con.txt", "_con.txt"),
            ("com1 .log", "_com1 .log"),
            ("COM¹", "_COM¹"),
            ("console", "console"),
        ] {
            assert_eq!(mended(name), there);
        }
    }

    #[test]
    fn near_names_keep_their_extension_and_are_all_different() {
        let long = |start: &str| format!("{start}{}.docx", "ü".repeat(200));
        let names = ["a:b.txt", "a?b.txt", "a_b.txt", "A_B.txt", ".:", "no extension", &long("1"), &long("2")];
        let mut seen = std::collections::HashSet::new();
        for name in names {
            assert_eq!(candidates(name, false).next().as_deref(), may_be_tried(name).then_some(name));
            for (near, length) in candidates(name, true).zip([255, 255, 140, 140, 140, 140]) {
                assert!(near.len() <= length && near != name, "{near}");
                let extension = if name.starts_with('.') { "" } else { split_extension(name).1 };
                assert!(near.ends_with(extension), "{near}");
                assert!(Place::of_components([&*near]).is_some(), "{near}");
                seen.insert(near.to_lowercase());
            }
            assert!(candidates(name, true).skip(1).all(|near| mended(&near) == near), "{name}");
            let again: Vec<_> = candidates(name, true).collect();
            assert_eq!(candidates(name, true).collect::<Vec<_>>(), again, "the same each time");
        }
        let first: Vec<_> = names.iter().filter_map(|name| candidates(name, true).next()).collect();
        assert_eq!(first.iter().map(|name| name.to_lowercase()).collect::<std::collections::HashSet<_>>().len(), 8);
        assert_eq!(
            near("note 12:30.txt", true, 255, 0).replace(|c: char| c.is_ascii_hexdigit(), "#"),
            "not# ##_## (########).txt"
        );
    }
}
