//! What a file of a tree is called: small, since there are hundreds of thousands.

use std::{fmt, path::Path};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

/// While a run lasts the phone keeps new files in this folder of the tree.
const STAGING: &str = "Snapshot";

/// A path below a tree, with `/` between its parts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// `ab/ab12…`: a file of the phone, named by a SHA-1 in hex.
    Payload([u8; 20]),
    /// The same below `Snapshot`.
    Staged([u8; 20]),
    /// Any other, such as `Manifest.db`.
    Other(Box<str>),
}

impl Name {
    /// The name of the file at this path.
    pub fn new(path: &str) -> Self {
        let (staged, payload) = match path.strip_prefix(STAGING).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) => (true, rest),
            None => (false, path),
        };
        let id = payload
            .split_once('/')
            .and_then(|(folder, id)| file_id(id).filter(|_| folder.len() == 2 && id.starts_with(folder)));
        match (id, staged) {
            (Some(id), false) => Self::Payload(id),
            (Some(id), true) => Self::Staged(id),
            (None, _) => Self::Other(path.into()),
        }
    }

    /// The name of a file that the manifest calls by this SHA-1 in hex.
    pub fn of_file_id(hex: &str) -> Option<Self> {
        file_id(hex).map(Self::Payload)
    }

    /// Where the phone puts it in the end.
    pub fn in_place(&self) -> Self {
        match self {
            Self::Staged(id) => Self::Payload(*id),
            name => name.clone(),
        }
    }

    /// Where it is below a tree.
    pub fn below(&self, tree: &Path) -> std::path::PathBuf {
        self.to_string().split('/').fold(tree.to_owned(), |path, part| path.join(part))
    }
}

/// Twenty bytes of forty digits; capitals would make two names of one file.
fn file_id(hex: &str) -> Option<[u8; 20]> {
    let digits: &[u8; 40] = hex.as_bytes().try_into().ok()?;
    let mut id = [0; 20];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(id)
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, staging) = match self {
            Self::Other(path) => return formatter.write_str(path),
            Self::Payload(id) => (id, ""),
            Self::Staged(id) => (id, "Snapshot/"),
        };
        write!(formatter, "{staging}{:02x}/", id[0])?;
        id.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.to_string())
    }
}

impl ToSql for Name {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Payload(id) => ToSqlOutput::Borrowed(ValueRef::Blob(id)),
            Self::Staged(_) => self.to_string().into(),
            Self::Other(path) => ToSqlOutput::Borrowed(ValueRef::Text(path.as_bytes())),
        })
    }
}

impl FromSql for Name {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(id) => Ok(Self::Payload(id.try_into().map_err(|_| FromSqlError::InvalidType)?)),
            value => value.as_str().map(Self::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_path() {
        let id = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";
        for (path, is_payload) in [
            (format!("3d/{id}"), true),
            (format!("3d/{}", id.to_uppercase()), false),
            (format!("Snapshot/3d/{id}"), false),
            (format!("4d/{id}"), false),
            ("Manifest.db".into(), false),
            ("Snapshot/Status.plist".into(), false),
            (String::new(), false),
            ("3d/ä".into(), false),
        ] {
            let name = Name::new(&path);
            assert_eq!(name.to_string(), path);
            assert_eq!(matches!(name, Name::Payload(_)), is_payload, "{path}");
        }
        assert_eq!(Name::of_file_id(id), Some(Name::new(&format!("3d/{id}"))));
        assert_eq!(size_of::<Name>(), 24);
    }
}
