//! `MBFile`, the column `file` of `Manifest.db`: an NSKeyedArchiver plist with what `stat` says about a file.
//!
//! Written by hand over a template: 50,000 of them are made, or made again to be compared, in each backup.
//! The binary plist format is documented in CoreFoundation's `CFBinaryPList.c`.

use std::sync::OnceLock;

use plist::Value;

use crate::phone::dataset::{DataFile, FileId};

/// Everything but the relative path, which comes last in the bytes though it is object 0.
struct Template {
    bytes: Vec<u8>,
    offsets: Vec<u8>,
    root: u8,
    size: usize,
    mode: usize,
    inode: usize,
    times: [usize; 3],
}

struct Builder {
    bytes: Vec<u8>,
    offsets: Vec<u16>,
}

const PATH: u8 = 0;

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

    /// Where the 8 bytes of an integer object are.
    fn value_at(&self, integer: u8) -> usize {
        usize::from(self.offsets[usize::from(integer)]) + 1
    }
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let mut build = Builder { bytes: b"bplist00".to_vec(), offsets: vec![0] };
        let [size, mode, inode] = [(); 3].map(|()| build.integer(0));
        let [birth, modified, status_changed] = [(); 3].map(|()| build.integer(0));
        let (mobile, none, protection) = (build.integer(501), build.integer(0), build.integer(3));
        let (class, path) = (build.reference(3), build.reference(2));
        let file = build.dictionary(&[
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
        ]);
        let (name, object) = (build.string("MBFile"), build.string("NSObject"));
        let classes = build.array(&[name, object]);
        let class = build.dictionary(&[("$classes", classes), ("$classname", name)]);
        let null = build.string("$null");
        let objects = build.array(&[null, file, PATH, class]);
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
            times: [birth, modified, status_changed].map(|integer| build.value_at(integer)),
            bytes: build.bytes,
        }
    })
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
pub(super) fn encode(file: &DataFile, out: &mut Vec<u8>) {
    let template = template();
    out.clear();
    out.extend_from_slice(&template.bytes);
    let mut put = |place: usize, value: u64| out[place..place + 8].copy_from_slice(&value.to_be_bytes());
    put(template.size, file.size);
    put(template.mode, u64::from(file.mode));
    put(template.inode, inode(&file.file_id));
    template.times.iter().for_each(|place| put(*place, file.mtime.cast_unsigned()));
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

/// What a restore needs of a blob, wherever it comes from: the size.
pub(super) fn size(blob: &[u8]) -> Option<u64> {
    let archive: Value = plist::from_bytes(blob).ok()?;
    let archive = archive.as_dictionary()?;
    let root = archive.get("$top")?.as_dictionary()?.get("root")?.as_uid()?.get();
    let file = archive.get("$objects")?.as_array()?.get(usize::try_from(root).ok()?)?.as_dictionary()?;
    file.get("Size")?.as_unsigned_integer()
}
