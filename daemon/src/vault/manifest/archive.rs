//! The column `file` of `Manifest.db`: a binary property list that NSKeyedArchiver made of an `MBFile`.

/// What a row tells of its file. Nothing of it is believed: `Size` is that of the live file on the phone, not of the copy
/// that was sent (about 1 % of real rows differ, in both directions, most of them SQLite databases).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// `Size`: bytes, as the phone recorded them.
    pub size: Option<u64>,
    /// `LastModified`: seconds since 1970.
    pub modified: Option<i64>,
    /// `Mode`, as in `stat`.
    pub mode: Option<u32>,
    /// `Digest`: SHA-1 of the stored bytes, which are the encrypted ones in an encrypted backup. The domain decides
    /// whether a file has one.
    pub digest: Option<&'a [u8]>,
    /// `EncryptionKey`: its protection class and the wrapped key.
    pub key: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// Reads an archive straight from the binary property list: 400,000 of these are read after every backup, and
    /// building each as a tree of values takes ten times as long. None for bytes that are not the archive of a file.
    pub fn read(archive: &'a [u8]) -> Option<Self> {
        let list = BinaryList::new(archive)?;
        let (keys, values) = list.dictionary(list.top)?;
        let objects = list.array(list.lookup(keys, values, b"$objects")?)?;
        let (top_keys, top_values) = list.dictionary(list.lookup(keys, values, b"$top")?)?;
        let root = list.followed(objects, list.lookup(top_keys, top_values, b"root")?)?;
        let (keys, values) = list.dictionary(root)?;
        let mut record = Self::default();
        for index in 0..keys.count.min(KEYS_MAX) {
            let value = list.reference(values.start, index)?;
            match list.text(list.reference(keys.start, index)?) {
                Some(b"Size") => record.size = list.integer(value),
                Some(b"LastModified") => record.modified = list.integer(value).map(u64::cast_signed),
                Some(b"Mode") => record.mode = list.integer(value).and_then(|mode| u32::try_from(mode).ok()),
                Some(b"Digest") => record.digest = list.bytes_of(objects, value),
                Some(b"EncryptionKey") => record.key = list.bytes_of(objects, value),
                _ => {}
            }
        }
        Some(record)
    }

    /// True for what `Mode` calls a plain file.
    pub fn is_plain_file(&self) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == 0o100_000)
    }
}

/// An `MBFile` has some fifteen keys.
const KEYS_MAX: usize = 64;

/// The few parts of Apple's binary property list that the reader above needs. Every access is checked: the bytes
/// come from the phone.
struct BinaryList<'a> {
    bytes: &'a [u8],
    offset_size: usize,
    reference_size: usize,
    top: usize,
    table: usize,
}

/// Where the references of a dictionary's keys begin, and how many there are.
#[derive(Clone, Copy)]
struct References {
    start: usize,
    count: usize,
}

impl<'a> BinaryList<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let trailer = bytes.strip_prefix(b"bplist00")?.last_chunk::<26>()?;
        let word = |range: std::ops::Range<usize>| usize::try_from(big_endian(trailer.get(range)?)?).ok();
        Some(Self {
            bytes,
            offset_size: trailer[0].into(),
            reference_size: trailer[1].into(),
            top: word(10..18)?,
            table: word(18..26)?,
        })
    }

    /// Position of an object.
    fn position(&self, object: usize) -> Option<usize> {
        let start = self.table.checked_add(object.checked_mul(self.offset_size)?)?;
        usize::try_from(big_endian(self.bytes.get(start..start.checked_add(self.offset_size)?)?)?).ok()
    }

    fn reference(&self, start: usize, index: usize) -> Option<usize> {
        let start = start.checked_add(index.checked_mul(self.reference_size)?)?;
        usize::try_from(big_endian(self.bytes.get(start..start.checked_add(self.reference_size)?)?)?).ok()
    }

    /// Length and start of the content of an object of this kind (the marker's high half).
    fn counted(&self, object: usize, kind: u8) -> Option<(usize, usize)> {
        let position = self.position(object)?;
        let marker = *self.bytes.get(position)?;
        if marker >> 4 != kind {
            return None;
        }
        match usize::from(marker & 0xF) {
            0xF => {
                let size = 1_usize.checked_shl((self.bytes.get(position + 1)? & 0xF).into())?;
                let start = position + 2;
                let count = big_endian(self.bytes.get(start..start.checked_add(size)?)?)?;
                Some((usize::try_from(count).ok()?, start + size))
            }
            count => Some((count, position + 1)),
        }
    }

    fn dictionary(&self, object: usize) -> Option<(References, References)> {
        let (count, start) = self.counted(object, 0xD)?;
        let values = start.checked_add(count.checked_mul(self.reference_size)?)?;
        Some((References { start, count }, References { start: values, count }))
    }

    fn lookup(&self, keys: References, values: References, name: &[u8]) -> Option<usize> {
        (0..keys.count.min(KEYS_MAX)).find_map(|index| {
            let key = self.text(self.reference(keys.start, index)?)?;
            if key == name { self.reference(values.start, index) } else { None }
        })
    }

    /// The bytes of a text of ASCII characters.
    fn text(&self, object: usize) -> Option<&'a [u8]> {
        let (length, start) = self.counted(object, 0x5)?;
        self.bytes.get(start..start.checked_add(length)?)
    }

    fn array(&self, object: usize) -> Option<References> {
        let (count, start) = self.counted(object, 0xA)?;
        let fits = count.checked_mul(self.reference_size)? <= self.bytes.len();
        fits.then_some(References { start, count })
    }

    /// What a number that refers to one of the archive's objects stands for.
    fn followed(&self, objects: References, value: usize) -> Option<usize> {
        let index = self.uid(value)?;
        if index < objects.count { self.reference(objects.start, index) } else { None }
    }

    /// Bytes in each form that archives have them in: another object that is data, one that is an `NSData` with its
    /// `NS.data`, or data in place.
    fn bytes_of(&self, objects: References, value: usize) -> Option<&'a [u8]> {
        let Some(object) = self.followed(objects, value) else { return self.data(value) };
        self.data(object).or_else(|| {
            let (keys, values) = self.dictionary(object)?;
            self.data(self.lookup(keys, values, b"NS.data")?)
        })
    }

    fn integer(&self, object: usize) -> Option<u64> {
        let position = self.position(object)?;
        let marker = *self.bytes.get(position)?;
        if marker >> 4 != 0x1 {
            return None;
        }
        let size = 1_usize.checked_shl((marker & 0xF).into())?;
        let bytes = self.bytes.get(position + 1..(position + 1).checked_add(size)?)?;
        // What does not fit a signed number of 8 bytes has 16.
        match bytes {
            [0, 0, 0, 0, 0, 0, 0, 0, low @ ..] if bytes.len() == 16 => big_endian(low),
            bytes => big_endian(bytes),
        }
    }

    /// The number by which an archive refers to one of its objects.
    fn uid(&self, object: usize) -> Option<usize> {
        let position = self.position(object)?;
        let marker = *self.bytes.get(position)?;
        if marker >> 4 != 0x8 {
            return None;
        }
        let size = usize::from(marker & 0xF) + 1;
        usize::try_from(big_endian(self.bytes.get(position + 1..(position + 1).checked_add(size)?)?)?).ok()
    }

    fn data(&self, object: usize) -> Option<&'a [u8]> {
        let (length, start) = self.counted(object, 0x4)?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

fn big_endian(bytes: &[u8]) -> Option<u64> {
    (1..=8).contains(&bytes.len()).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 44] = [7; 44];
    const DIGEST: [u8; 20] = [9; 20];

    fn archive(size: u64) -> Vec<u8> {
        let dictionary = |entries: Vec<(&str, plist::Value)>| {
            plist::Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        };
        let file = dictionary(vec![
            ("Mode", 33188.into()),
            ("Size", size.into()),
            ("RelativePath", plist::Value::Uid(plist::Uid::new(2))),
            ("EncryptionKey", plist::Value::Uid(plist::Uid::new(4))),
            ("Digest", plist::Value::Uid(plist::Uid::new(5))),
            ("$class", plist::Value::Uid(plist::Uid::new(3))),
        ]);
        let key = dictionary(vec![("NS.data", plist::Value::Data(KEY.to_vec()))]);
        let digest = plist::Value::Data(DIGEST.to_vec());
        let path = "Media/DCIM/100APPLE/IMG_0001.HEIC".into();
        let objects = vec!["$null".into(), file, path, dictionary(vec![]), key, digest];
        let root = dictionary(vec![
            ("$version", 100_000.into()),
            ("$archiver", "NSKeyedArchiver".into()),
            ("$top", dictionary(vec![("root", plist::Value::Uid(plist::Uid::new(1)))])),
            ("$objects", plist::Value::Array(objects)),
        ]);
        let mut bytes = Vec::new();
        root.to_writer_binary(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_record_is_read_as_the_real_reader_does() {
        for size in [0, 1, 255, 256, 65_536, 5_000_000_000, i64::MAX as u64, u64::MAX] {
            let bytes = archive(size);
            let record = Record::read(&bytes).unwrap();
            assert_eq!((record.size, record.key, record.mode), (Some(size), Some(&KEY[..]), Some(33188)));
            assert_eq!(record.digest, Some(&DIGEST[..]));
            assert!(record.is_plain_file());
        }
    }

    /// Real archives have numbers as short as they can be, other writers all of them in 8 bytes.
    #[test]
    fn numbers_of_each_length_are_read() {
        let bytes = [&b"bplist00"[..], &[0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0x14], &[0; 15], &[9, 0x10, 5]].concat();
        let (list, offsets) = (bytes.len(), [8_u8, 17, 34]);
        let trailer =
            [&[0, 0, 0, 0, 0, 0, 1, 1], &3_u64.to_be_bytes()[..], &[0; 8], &(list as u64).to_be_bytes()].concat();
        let bytes = [&bytes[..], &offsets, &trailer].concat();
        let list = BinaryList::new(&bytes).unwrap();
        assert_eq!([0, 1, 2].map(|object| list.integer(object)), [Some(0), Some(9), Some(5)]);
    }

    /// An array that claims 2^64 entries is not walked.
    #[test]
    fn a_lying_count_costs_nothing() {
        let mut bad = archive(1);
        let array = bad.iter().rposition(|byte| *byte == 0xA6).unwrap();
        bad.splice(array..=array, [0xAF, 0x13, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(Record::read(&bad), None);
    }

    /// Every one-byte change and every truncation: any answer, but no panic.
    #[test]
    fn broken_archives_are_survived() {
        let good = archive(5_000_000_000);
        for length in 0..good.len() {
            let _answer: Option<Record<'_>> = Record::read(&good[..length]);
        }
        for index in 0..good.len() {
            for value in [0, 1, 0x0F, 0x7F, 0xAF, 0xDF, 0xFF] {
                let mut bad = good.clone();
                bad[index] = value;
                let _answer: Option<Record<'_>> = Record::read(&bad);
            }
        }
    }
}
