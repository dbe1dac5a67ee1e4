//! Reads an archived file, whoever wrote it.

use plist::{Dictionary, Value};

use super::Archived;

struct Archive {
    objects: Vec<Value>,
}

impl Archive {
    fn follow<'a>(&'a self, value: &Value) -> Option<&'a Value> {
        self.objects.get(usize::try_from(value.as_uid()?.get()).ok()?)
    }

    /// Raw data or a data object, and whether it was one.
    fn data(&self, value: Option<&Value>) -> Option<(Vec<u8>, bool)> {
        match self.follow(value?)? {
            Value::Data(bytes) => Some((bytes.clone(), false)),
            Value::Dictionary(object) => Some((object.get("NS.data")?.as_data()?.to_owned(), true)),
            _ => None,
        }
    }

    fn text(&self, value: Option<&Value>) -> Option<String> {
        self.follow(value?)?.as_string().map(str::to_owned)
    }
}

/// What a blob says; none when it is no archived file. A number that is missing or out of range counts as none or as 0.
pub(in super::super) fn decode(blob: &[u8]) -> Option<Archived> {
    let archive = plist::from_bytes::<Value>(blob).ok()?.into_dictionary()?;
    let root = archive.get("$top")?.as_dictionary()?.get("root")?.clone();
    let archive = Archive { objects: archive.get("$objects")?.as_array()?.clone() };
    let file: &Dictionary = archive.follow(&root)?.as_dictionary()?;
    let signed = |key: &str| file.get(key).and_then(Value::as_signed_integer).unwrap_or(0);
    let small = |key: &str| i32::try_from(signed(key)).unwrap_or(0);
    let byte = |key: &str| u8::try_from(signed(key)).unwrap_or(0);
    let digest = archive.data(file.get("Digest"));
    Some(Archived {
        path: archive.text(file.get("RelativePath"))?,
        size: file.get("Size").and_then(Value::as_unsigned_integer),
        mode: u16::try_from(signed("Mode")).unwrap_or(0),
        inode: file.get("InodeNumber").and_then(Value::as_unsigned_integer).unwrap_or(0),
        user: small("UserID"),
        group: small("GroupID"),
        protection_class: byte("ProtectionClass"),
        flags: byte("Flags"),
        modified: signed("LastModified"),
        changed: signed("LastStatusChange"),
        birth: signed("Birth"),
        digest_in_data: digest.as_ref().is_some_and(|(_, in_data)| *in_data),
        digest: digest.map(|(digest, _)| digest),
        key: archive.data(file.get("EncryptionKey")).map(|(key, _)| key),
        attributes: archive.data(file.get("ExtendedAttributes")).map(|(attributes, _)| attributes),
        target: archive.text(file.get("Target")),
    })
}
