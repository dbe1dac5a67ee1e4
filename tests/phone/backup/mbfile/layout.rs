//! How an archive begins: everything up to the keys of the file's dictionary is the same in all archives of one kind.

use std::sync::OnceLock;

use super::{Archived, OBJECTS_MAX, Writer};

/// An entry of the file's dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    LastModified,
    ProtectionClass,
    Flags,
    GroupId,
    ExtendedAttributes,
    Target,
    Class,
    LastStatusChange,
    RelativePath,
    Birth,
    EncryptionKey,
    Size,
    Mode,
    UserId,
    Digest,
    InodeNumber,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::LastModified => "LastModified",
            Self::ProtectionClass => "ProtectionClass",
            Self::Flags => "Flags",
            Self::GroupId => "GroupID",
            Self::ExtendedAttributes => "ExtendedAttributes",
            Self::Target => "Target",
            Self::Class => "$class",
            Self::LastStatusChange => "LastStatusChange",
            Self::RelativePath => "RelativePath",
            Self::Birth => "Birth",
            Self::EncryptionKey => "EncryptionKey",
            Self::Size => "Size",
            Self::Mode => "Mode",
            Self::UserId => "UserID",
            Self::Digest => "Digest",
            Self::InodeNumber => "InodeNumber",
        }
    }

    /// The value of a number and which kind of number it is; none for what refers to an object.
    pub(super) fn number(self, file: &Archived) -> Option<(u8, i64)> {
        const SMALL: u8 = 0;
        const TIME: u8 = 1;
        const SIZE: u8 = 2;
        const INODE: u8 = 3;
        Some(match self {
            Self::LastModified => (TIME, file.modified),
            Self::LastStatusChange => (TIME, file.changed),
            Self::Birth => (TIME, file.birth),
            Self::ProtectionClass => (SMALL, file.protection_class.into()),
            Self::Flags => (SMALL, file.flags.into()),
            Self::GroupId => (SMALL, file.group.into()),
            Self::UserId => (SMALL, file.user.into()),
            Self::Mode => (SMALL, file.mode.into()),
            Self::Size => (SIZE, file.size.unwrap_or(0).cast_signed()),
            Self::InodeNumber => (INODE, file.inode.cast_signed()),
            Self::ExtendedAttributes
            | Self::Target
            | Self::Class
            | Self::RelativePath
            | Self::EncryptionKey
            | Self::Digest => return None,
        })
    }
}

/// The fields of a file, in the order in which real archives have them: that of a hash table.
fn fields(file: &Archived) -> Vec<Field> {
    use Field::{
        Birth, Class, Digest, EncryptionKey, ExtendedAttributes, Flags, GroupId, InodeNumber, LastModified,
        LastStatusChange, Mode, ProtectionClass, RelativePath, Size, Target, UserId,
    };
    let middle = [Class, LastStatusChange, RelativePath, Birth];
    let mut fields = vec![LastModified];
    if file.digest.is_some() {
        fields.push(ProtectionClass);
    }
    fields.push(Flags);
    match (file.attributes.is_some(), file.digest.is_some() || file.key.is_some()) {
        (false, _) => fields.push(GroupId),
        (true, true) if file.digest.is_some() => fields.extend([GroupId, ExtendedAttributes]),
        (true, _) => fields.extend([ExtendedAttributes, GroupId]),
    }
    if file.target.is_some() {
        fields.push(Target);
    }
    fields.extend(middle);
    if file.key.is_some() {
        fields.push(EncryptionKey);
    }
    if file.size.is_some() {
        fields.push(Size);
    }
    if file.digest.is_some() {
        fields.extend([Mode, UserId, Digest, InodeNumber]);
    } else if file.key.is_some() {
        fields.extend([Mode, UserId, InodeNumber, ProtectionClass]);
    } else {
        fields.extend([InodeNumber, Mode, UserId, ProtectionClass]);
    }
    fields
}

/// The beginning of an archive.
pub(super) struct Layout {
    pub(super) head: Vec<u8>,
    /// Of the objects in the head.
    pub(super) offsets: Vec<u32>,
    pub(super) fields: Vec<Field>,
    /// Number of the first key of the file's dictionary.
    pub(super) keys_at: u8,
    /// Where the references to its values are.
    pub(super) values_at: usize,
    /// Where the references to the archive's objects are, behind the first two.
    pub(super) objects_at: usize,
    /// Place in the archive of what a field refers to, by the field's place.
    pub(super) uids: Vec<u8>,
}

impl Layout {
    /// The layout for archives that have what this file has.
    pub(super) fn of(file: &Archived) -> &'static Self {
        static LAYOUTS: [OnceLock<Layout>; 64] = [const { OnceLock::new() }; 64];
        let has = [
            file.digest.is_some(),
            file.digest_in_data,
            file.key.is_some(),
            file.attributes.is_some(),
            file.target.is_some(),
            file.size.is_some(),
        ];
        let number = has.iter().fold(0, |number, has| number << 1 | usize::from(*has));
        LAYOUTS[number].get_or_init(|| Self::new(file))
    }

    fn new(file: &Archived) -> Self {
        let fields = fields(file);
        // Behind "$null", the file and its path: the digest, the key, their class, the attributes, the target.
        let mut next = 2;
        let mut place = |there: bool| {
            next += u8::from(there);
            next
        };
        let digest = place(file.digest.is_some());
        let key = place(file.key.is_some());
        place(file.key.is_some() || file.digest_in_data && file.digest.is_some());
        let attributes = place(file.attributes.is_some());
        let target = place(file.target.is_some());
        let class = place(true);
        let uids = fields.iter().map(|field| match field {
            Field::RelativePath => 2,
            Field::Digest => digest,
            Field::EncryptionKey => key,
            Field::ExtendedAttributes => attributes,
            Field::Target => target,
            _ => class,
        });
        let uids = uids.collect();

        let mut head = b"bplist00".to_vec();
        let mut writer = Writer { out: &mut head, offsets: [0; OBJECTS_MAX], count: 0 };
        let (_, root_at) = writer.container(0xD0, 4, 8);
        let keys = ["$version", "$archiver", "$top", "$objects"].map(|key| writer.string(key));
        let version = writer.integer(100_000);
        let archiver = writer.string("NSKeyedArchiver");
        let (top, top_at) = writer.container(0xD0, 1, 2);
        let (root, first) = (writer.string("root"), writer.uid(1));
        writer.put(top_at, &[root, first]);
        let count = usize::from(class) + 1;
        let (objects, objects_at) = writer.container(0xA0, count, count);
        writer.put(root_at, &keys);
        writer.put(root_at + 4, &[version, archiver, top, objects]);
        let null = writer.string("$null");
        let (dictionary, dictionary_at) = writer.container(0xD0, fields.len(), 2 * fields.len());
        writer.put(objects_at, &[null, dictionary]);
        let mut keys_at = 0;
        for (place, field) in fields.iter().enumerate() {
            let key = writer.string(field.name());
            writer.put(dictionary_at + place, &[key]);
            if place == 0 {
                keys_at = key;
            }
        }
        let offsets = writer.offsets[..writer.count].to_vec();
        let values_at = dictionary_at + fields.len();
        Self { head, offsets, fields, keys_at, values_at, objects_at: objects_at + 2, uids }
    }
}
