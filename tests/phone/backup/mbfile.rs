//! `MBFile`, the column `file` of `Manifest.db`: an NSKeyedArchiver plist with what `stat` says about a file.
//!
//! Written by hand over a template: 50,000 of them are made, or made again to be compared, in each backup.
//! The binary plist format is documented in CoreFoundation's `CFBinaryPList.c`.

use std::sync::OnceLock;

use plist::Value;

use super::encryption::{Encryption, protection_class};
use crate::phone::dataset::{DataFile, FileId};

/// Everything but the relative path, which comes last in the bytes though it is object 0.
struct Template {
    bytes: Vec<u8>,
    offsets: Vec<u8>,
    root: u8,
    size: usize,
    mode: usize,
    inode: usize,
    protection: usize,
    times: [usize; 3],
    /// Where the wrapped key is, in the row of an encrypted file.
    key: usize,
}

struct Builder {
    bytes: Vec<u8>,
    offsets: Vec<u16>,
}

const PATH: u8 = 0;
/// Class and wrapped key.
const KEY_LENGTH: u8 = 44;

impl Builder {
    fn object(&mut self, marker: u8, content: &[u8]) -> u8 {
        self.offsets.push(self.bytes.len() as u16);
        self.bytes.push(marker);
        self.bytes.extend_from_slice(content);
        (self.offsets.len() - 1) as u8
    }

    fn string(&mut self, text: &str) -> u8 {
        let mut bytes = Vec::new();
        push_string(text, &mut bytes);
        self.object(bytes[0], &bytes[1..])
    }

    fn integer(&mut self, value: u64) -> u8 {
        self.object(0x13, &value.to_be_bytes())
    }

    fn reference(&mut self, place: u8) -> u8 {
        self.object(0x80, &[place])
    }

    fn array(&mut self, items: &[u8]) -> u8 {
        self.object(0xA0 | items.len() as u8, items)
    }

    fn dictionary(&mut self, items: &[(&str, u8)]) -> u8 {
        let keys: Vec<u8> = items.iter().map(|(key, _)| self.string(key)).collect();
        let references: Vec<u8> = keys.into_iter().chain(items.iter().map(|(_, value)| *value)).collect();
        self.object(0xD0 | items.len() as u8, &references)
    }

    /// Data of this length, all zero; the length is an integer of its own.
    fn data(&mut self, length: u8) -> u8 {
        let mut content = vec![0x10, length];
        content.resize(2 + usize::from(length), 0);
        self.object(0x4F, &content)
    }

    /// What an archive says about the class of its objects.
    fn class(&mut self, names: &[&str]) -> u8 {
        let names: Vec<u8> = names.iter().map(|name| self.string(name)).collect();
        let classes = self.array(&names);
        self.dictionary(&[("$classes", classes), ("$classname", names[0])])
    }

    /// Where what follows an object's marker is: the 8 bytes of an integer.
    fn value_at(&self, object: u8) -> usize {
        usize::from(self.offsets[usize::from(object)]) + 1
    }
}

fn template(encrypted: bool) -> &'static Template {
    static TEMPLATES: [OnceLock<Template>; 2] = [const { OnceLock::new() }; 2];
    TEMPLATES[usize::from(encrypted)].get_or_init(|| build_template(encrypted))
}

fn build_template(encrypted: bool) -> Template {
    let mut build = Builder { bytes: b"bplist00".to_vec(), offsets: vec![0] };
    let [size, mode, inode, protection] = [(); 4].map(|()| build.integer(0));
    let [birth, modified, status_changed] = [(); 3].map(|()| build.integer(0));
    let (mobile, none) = (build.integer(501), build.integer(0));
    let (class, path) = (build.reference(3), build.reference(2));
    let mut values = vec![
        ("LastModified", modified),
        ("Flags", none),
        ("GroupID", mobile),
        ("$class", class),
        ("LastStatusChange", status_changed),
        ("RelativePath", path),
        ("Birth", birth),
        ("Size", size),
        ("InodeNumber", inode),
        ("Mode", mode),
        ("UserID", mobile),
        ("ProtectionClass", protection),
    ];
    if encrypted {
        values.push(("EncryptionKey", build.reference(4)));
    }
    let file = build.dictionary(&values);
    let class = build.class(&["MBFile", "NSObject"]);
    let null = build.string("$null");
    let mut objects = vec![null, file, PATH, class];
    let mut key = 0;
    if encrypted {
        let bytes = build.data(KEY_LENGTH);
        key = build.value_at(bytes) + 2;
        let class = build.reference(5);
        objects.push(build.dictionary(&[("NS.data", bytes), ("$class", class)]));
        objects.push(build.class(&["NSMutableData", "NSData", "NSObject"]));
    }
    let objects = build.array(&objects);
    let first = build.reference(1);
    let top = build.dictionary(&[("root", first)]);
    let (version, archiver) = (build.integer(100_000), build.string("NSKeyedArchiver"));
    let root =
        build.dictionary(&[("$version", version), ("$archiver", archiver), ("$top", top), ("$objects", objects)]);
    build.offsets[usize::from(PATH)] = build.bytes.len() as u16;
    Template {
        offsets: build.offsets.iter().flat_map(|offset| offset.to_be_bytes()).collect(),
        root,
        size: build.value_at(size),
        mode: build.value_at(mode),
        inode: build.value_at(inode),
        protection: build.value_at(protection),
        times: [birth, modified, status_changed].map(|integer| build.value_at(integer)),
        key,
        bytes: build.bytes,
    }
}

/// ASCII as bytes, everything else as UTF-16; lengths from 15 on are an integer of their own.
fn push_string(text: &str, out: &mut Vec<u8>) {
    let wide = !text.is_ascii();
    let length = if wide { text.encode_utf16().count() } else { text.len() };
    let marker = if wide { 0x60 } else { 0x50 };
    if length < 15 {
        out.push(marker | length as u8);
    } else {
        out.extend_from_slice(&[marker | 0x0F, 0x11]);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    }
    if wide {
        text.encode_utf16().for_each(|unit| out.extend_from_slice(&unit.to_be_bytes()));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Replaces `out` by the blob of this row.
pub(super) fn encode(file: &DataFile, encryption: Option<&Encryption>, out: &mut Vec<u8>) {
    let key = encryption.filter(|_| file.is_file()).map(|encryption| encryption.wrapped_file_key(file));
    let template = template(key.is_some());
    out.clear();
    out.extend_from_slice(&template.bytes);
    let mut put = |place: usize, value: u64| out[place..place + 8].copy_from_slice(&value.to_be_bytes());
    put(template.size, file.size);
    put(template.mode, u64::from(file.mode));
    put(template.inode, inode(&file.file_id));
    put(template.protection, protection_class(file).into());
    template.times.iter().for_each(|place| put(*place, file.mtime.cast_unsigned()));
    if let Some(key) = key {
        out[template.key..template.key + key.len()].copy_from_slice(&key);
    }
    push_string(&file.relative_path, out);
    let table = out.len() as u64;
    out.extend_from_slice(&template.offsets);
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 2, 1]);
    out.extend_from_slice(&(template.offsets.len() as u64 / 2).to_be_bytes());
    out.extend_from_slice(&u64::from(template.root).to_be_bytes());
    out.extend_from_slice(&table.to_be_bytes());
}

fn inode(id: &FileId) -> u64 {
    id.0[..4].iter().fold(0, |inode, byte| inode << 8 | u64::from(*byte))
}

/// What a restore needs of a blob, wherever it comes from: the size, and the wrapped key if there is one.
pub(super) fn decode(blob: &[u8]) -> Option<(u64, Option<Vec<u8>>)> {
    let archive: Value = plist::from_bytes(blob).ok()?;
    let archive = archive.as_dictionary()?;
    let objects = archive.get("$objects")?.as_array()?;
    let follow = |value: &Value| objects.get(usize::try_from(value.as_uid()?.get()).ok()?)?.as_dictionary();
    let file = follow(archive.get("$top")?.as_dictionary()?.get("root")?)?;
    let key = match file.get("EncryptionKey") {
        None => None,
        Some(key) => Some(follow(key)?.get("NS.data")?.as_data()?.to_owned()),
    };
    Some((file.get("Size")?.as_unsigned_integer()?, key))
}
