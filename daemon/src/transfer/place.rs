//! A path that the phone names, once it is known to stay inside the phone's own folder.

use std::fmt;

use super::Refused;

/// Longest path that is taken; real ones are some 90 bytes (`<UDID>/Snapshot/xx/<40 hex digits>`).
pub const PATH_BYTES_MAX: usize = 1024;

/// A relative path below the folder that holds the phone's folder; its first component is the phone's UDID.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Place {
    path: String,
}

impl Place {
    /// Checks a path as the phone spelled it.
    ///
    /// # Errors
    /// When it is absolute, climbs, is empty, too long, holds a NUL or a backslash, or belongs to another phone.
    pub fn new(path: &str, udid: &str) -> Result<Self, Refused> {
        let refuse = |why| Refused::Path { path: path.chars().take(200).collect(), why };
        if path.len() > PATH_BYTES_MAX {
            return Err(refuse("is too long"));
        }
        if path.contains(['\0', '\\', ':']) {
            return Err(refuse("holds a character that no backup file has"));
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut components = path.split('/');
        if components.next() != Some(udid) {
            return Err(refuse("is outside the phone's folder"));
        }
        if components.any(|component| matches!(component, "" | "." | "..")) {
            return Err(refuse("leaves the phone's folder"));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// A path below a folder that the caller has opened, made of names; none when one of them is no plain name.
    pub fn of_components<'a>(components: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut path = String::new();
        for component in components {
            if matches!(component, "" | "." | "..") || component.contains(['/', '\0']) {
                return None;
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(component);
        }
        (!path.is_empty()).then_some(Self { path })
    }

    /// The whole path, with slashes.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The folder part and the last component; the folder is empty for the phone's folder itself.
    pub fn split(&self) -> (&str, &str) {
        self.path.rsplit_once('/').unwrap_or(("", &self.path))
    }

    /// True for the phone's folder itself, which is never removed or replaced.
    pub fn is_whole_backup(&self) -> bool {
        !self.path.contains('/')
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDID: &str = "00008120-001A2D3E0C40201E";

    #[test]
    fn paths_stay_inside() {
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "00008120-001A2D3E0C40201E/../x",
            "00008120-001A2D3E0C40201E/./x",
            "00008120-001A2D3E0C40201E//x",
            "00008120-001A2D3E0C40201E/a/..",
            "00008120-001A2D3E0C40201E/a\0b",
            "00008120-001A2D3E0C40201E\\..\\x",
            "00008120-001A2D3E0C40201E/C:x",
            "00008120-001A2D3E0C40201EX/a",
            "another/Status.plist",
            "Status.plist",
        ] {
            assert!(Place::new(bad, UDID).is_err(), "{bad:?} was accepted");
        }
        assert!(Place::new(&format!("{UDID}/{}", "a".repeat(PATH_BYTES_MAX)), UDID).is_err());
    }

    #[test]
    fn real_paths_pass() {
        for good in ["", "/", "/Status.plist", "/Snapshot/ab/ab0123", "/Snapshot/"] {
            let path = format!("{UDID}{good}");
            let place = Place::new(&path, UDID);
            assert_eq!(
                place.map(|place| place.as_str().to_owned()).ok().as_deref(),
                path.strip_suffix('/').or(Some(&path))
            );
        }
        assert_eq!(Place::new(&format!("{UDID}/ab/cd"), UDID).unwrap().split(), (&*format!("{UDID}/ab"), "cd"));
    }
}
