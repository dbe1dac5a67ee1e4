//! `MBFile`, the column `file` of `Manifest.db`: an NSKeyedArchiver plist with what `stat` says about a file.
//!
//! Written by hand: 50,000 of them are made, or made again to be compared, in each backup. The binary plist format is
//! documented in CoreFoundation's `CFBinaryPList.c`; which objects come in which order, which are shared and how large
//! integers are is as in a real manifest (iOS 14.3), byte by byte.

mod decode;
mod layout;
#[cfg(test)]
mod tests;

pub(super) use self::decode::decode;
use self::layout::{Field, Layout};

/// What an archived file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Archived {
    pub(super) path: String,
    /// Left out of the archive when there is none.
    pub(super) size: Option<u64>,
    pub(super) mode: u16,
    pub(super) inode: u64,
    pub(super) user: i32,
    pub(super) group: i32,
    pub(super) protection_class: u8,
    pub(super) flags: u8,
    pub(super) modified: i64,
    pub(super) changed: i64,
    pub(super) birth: i64,
    pub(super) digest: Option<Vec<u8>>,
    /// The digest is a data object of the archive in place of raw data.
    pub(super) digest_in_data: bool,
    /// `EncryptionKey`: class and wrapped key.
    pub(super) key: Option<Vec<u8>>,
    /// `ExtendedAttributes`, raw.
    pub(super) attributes: Option<Vec<u8>>,
    /// `Target` of a link.
    pub(super) target: Option<String>,
}

/// More than any archive has.
const OBJECTS_MAX: usize = 96;

/// Writes objects one behind the other.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    offsets: [u32; OBJECTS_MAX],
    count: usize,
}

impl Writer<'_> {
    /// Notes that an object begins here; its number.
    fn begin(&mut self) -> u8 {
        self.offsets[self.count] = self.out.len() as u32;
        self.count += 1;
        (self.count - 1) as u8
    }

    fn string(&mut self, text: &str) -> u8 {
        let object = self.begin();
        push_string(text, self.out);
        object
    }

    fn integer(&mut self, value: i64) -> u8 {
        let object = self.begin();
        push_integer(value, self.out);
        object
    }

    /// A reference into the archive's list of objects.
    fn uid(&mut self, place: u8) -> u8 {
        let object = self.begin();
        self.out.extend_from_slice(&[0x80, place]);
        object
    }

    fn data(&mut self, bytes: &[u8]) -> u8 {
        let object = self.begin();
        push_length(0x40, bytes.len(), self.out);
        self.out.extend_from_slice(bytes);
        object
    }

    /// Room for the references of a dictionary or an array, which are put in when they are known.
    fn container(&mut self, marker: u8, length: usize, references: usize) -> (u8, usize) {
        let object = self.begin();
        push_length(marker, length, self.out);
        let at = self.out.len();
        self.out.resize(at + references, 0);
        (object, at)
    }

    fn put(&mut self, at: usize, references: &[u8]) {
        self.out[at..at + references.len()].copy_from_slice(references);
    }
}

/// Strings that later objects of an archive share with earlier ones.
#[derive(Default)]
struct Shared {
    ns_data: Option<u8>,
    class_name: Option<(u8, u8)>,
    ns_object: Option<u8>,
}

/// Replaces `out` by the archive of this file.
pub(super) fn encode(file: &Archived, out: &mut Vec<u8>) {
    let layout = Layout::of(file);
    out.clear();
    out.extend_from_slice(&layout.head);
    let mut writer = Writer { out, offsets: [0; OBJECTS_MAX], count: layout.offsets.len() };
    writer.offsets[..layout.offsets.len()].copy_from_slice(&layout.offsets);
    let class_key = layout.keys_at + layout.fields.iter().position(|field| *field == Field::Class).unwrap_or(0) as u8;
    values(file, layout, &mut writer);
    let objects = objects(file, class_key, &mut writer);
    writer.put(layout.objects_at, &objects);
    finish(writer);
}

/// The values of the file's dictionary in its order. Equal numbers of one kind are one object.
fn values(file: &Archived, layout: &Layout, writer: &mut Writer<'_>) {
    let mut made: [(u8, i64, u8); 16] = [(0, 0, 0); 16];
    let mut count = 0;
    for (place, field) in layout.fields.iter().enumerate() {
        let object = match field.number(file) {
            Some((kind, value)) => {
                let known = made[..count].iter().find(|(other, number, _)| (*other, *number) == (kind, value));
                if let Some((.., object)) = known {
                    *object
                } else {
                    let object = writer.integer(value);
                    made[count] = (kind, value, object);
                    count += 1;
                    object
                }
            }
            None => writer.uid(layout.uids[place]),
        };
        writer.out[layout.values_at + place] = object;
    }
}

/// What the file's dictionary refers to; the numbers of the archive's objects behind the first two.
fn objects(file: &Archived, class_key: u8, writer: &mut Writer<'_>) -> Vec<u8> {
    let mut shared = Shared::default();
    let mut objects = Vec::with_capacity(8);
    objects.push(writer.string(&file.path));
    // Where the class of data objects will be in the archive.
    let data_class = 3 + u8::from(file.digest.is_some()) + u8::from(file.key.is_some());
    match &file.digest {
        Some(digest) if file.digest_in_data => {
            objects.push(archived_data(digest, data_class, class_key, &mut shared, writer));
        }
        Some(digest) => objects.push(writer.data(digest)),
        None => {}
    }
    if let Some(key) = &file.key {
        objects.push(archived_data(key, data_class, class_key, &mut shared, writer));
    }
    if shared.ns_data.is_some() {
        let (class, at) = writer.container(0xD0, 2, 4);
        let [name_key, list_key] = ["$classname", "$classes"].map(|key| writer.string(key));
        let name = writer.string("NSMutableData");
        let (list, list_at) = writer.container(0xA0, 3, 3);
        let classes = ["NSMutableData", "NSData", "NSObject"].map(|class| writer.string(class));
        writer.put(at, &[name_key, list_key, name, list]);
        writer.put(list_at, &classes);
        (shared.class_name, shared.ns_object) = (Some((name_key, list_key)), Some(classes[2]));
        objects.push(class);
    }
    if let Some(attributes) = &file.attributes {
        objects.push(writer.data(attributes));
    }
    if let Some(target) = &file.target {
        objects.push(writer.string(target));
    }
    let (class, at) = writer.container(0xD0, 2, 4);
    let (name_key, list_key) =
        shared.class_name.unwrap_or_else(|| ["$classname", "$classes"].map(|key| writer.string(key)).into());
    let name = writer.string("MBFile");
    let (list, list_at) = writer.container(0xA0, 2, 2);
    let object = shared.ns_object.unwrap_or_else(|| writer.string("NSObject"));
    writer.put(at, &[name_key, list_key, name, list]);
    writer.put(list_at, &[name, object]);
    objects.push(class);
    objects
}

/// An `NSMutableData` of the archive.
fn archived_data(bytes: &[u8], class: u8, class_key: u8, shared: &mut Shared, writer: &mut Writer<'_>) -> u8 {
    let (object, at) = writer.container(0xD0, 2, 4);
    let key = *shared.ns_data.get_or_insert_with(|| writer.string("NS.data"));
    let (data, uid) = (writer.data(bytes), writer.uid(class));
    writer.put(at, &[key, class_key, data, uid]);
    object
}

/// The table of offsets and the trailer.
fn finish(writer: Writer<'_>) {
    let mut tail = [0; 4 * OBJECTS_MAX + 32];
    let mut length = 0;
    let table = writer.out.len() as u64;
    let width = match table {
        0..0x100 => 1,
        0x100..0x1_0000 => 2,
        _ => 4,
    };
    for offset in &writer.offsets[..writer.count] {
        tail[length..length + width].copy_from_slice(&offset.to_be_bytes()[4 - width..]);
        length += width;
    }
    tail[length + 6] = width as u8;
    tail[length + 7] = 1;
    tail[length + 8..length + 16].copy_from_slice(&(writer.count as u64).to_be_bytes());
    tail[length + 24..length + 32].copy_from_slice(&table.to_be_bytes());
    writer.out.extend_from_slice(&tail[..length + 32]);
}

/// ASCII as bytes, everything else as UTF-16.
fn push_string(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        push_length(0x50, text.len(), out);
        out.extend_from_slice(text.as_bytes());
    } else {
        push_length(0x60, text.encode_utf16().count(), out);
        text.encode_utf16().for_each(|unit| out.extend_from_slice(&unit.to_be_bytes()));
    }
}

/// A marker with a length; from 15 on it is an integer of its own.
fn push_length(marker: u8, length: usize, out: &mut Vec<u8>) {
    if length < 15 {
        out.push(marker | length as u8);
    } else {
        out.push(marker | 0x0F);
        push_integer(length as i64, out);
    }
}

/// In 1, 2 or 4 bytes without a sign, or in 8 with one.
fn push_integer(value: i64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let (marker, from) = match value {
        0..0x100 => (0x10, 7),
        0x100..0x1_0000 => (0x11, 6),
        0x1_0000..0x1_0000_0000 => (0x12, 4),
        _ => (0x13, 0),
    };
    out.push(marker);
    out.extend_from_slice(&bytes[from..]);
}
