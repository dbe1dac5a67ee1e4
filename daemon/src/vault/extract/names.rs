//! Names of the phone as names of files of this computer. A manifest is never believed: what would leave the folder
//! has no name here.

use std::borrow::Cow;

use crate::transfer::place::Place;

/// Characters that Windows has no file with.
const FORBIDDEN: &[char] = &['<', '>', ':', '"', '/', '\\', '|', '?', '*'];

/// Names that are devices there, with any extension.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Where a file goes below the destination; none when its name climbs, is absolute or is no name at all.
pub fn place_of(domain: &str, relative_path: &str) -> Option<Place> {
    place_of_components(std::iter::once(domain).chain(relative_path.split('/')))
}

/// The same of names that are known one by one: none when one of them is no plain name.
pub fn place_of_components<'a>(components: impl IntoIterator<Item = &'a str>) -> Option<Place> {
    let components = components.into_iter();
    let names: Vec<Cow<'_, str>> = components.map(|component| local_name(component, cfg!(windows))).collect();
    Place::of_components(names.iter().map(|name| &**name))
}

/// The name itself, or on Windows the nearest that it can have.
fn local_name(name: &str, windows: bool) -> Cow<'_, str> {
    // What climbs is not mended but refused.
    if !windows || matches!(name, "" | "." | "..") {
        return Cow::Borrowed(name);
    }
    let bad = |character: char| FORBIDDEN.contains(&character) || character.is_control() && character != '\0';
    let mut mended: String = name.chars().map(|character| if bad(character) { '_' } else { character }).collect();
    if mended.ends_with(['.', ' ']) {
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
    fn windows_gets_names_that_it_can_have() {
        for (name, there) in [
            ("note 12:30.txt", "note 12_30.txt"),
            ("C:\\x", "C__x"),
            ("what?", "what_"),
            ("ends with a dot.", "ends with a dot_"),
            ("NUL", "_NUL"),
            ("con.txt", "_con.txt"),
            ("com1 .log", "_com1 .log"),
            ("COM¹", "_COM¹"),
            ("console", "console"),
            ("..", ".."),
        ] {
            assert_eq!(local_name(name, true), there);
            assert_eq!(local_name(name, false), name);
        }
    }
}
