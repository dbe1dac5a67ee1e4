//! What is on a simulated phone: files that are described in memory and made up byte by byte when somebody reads them.

mod content;
mod mutation;
mod spec;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

pub use mutation::Mutation;
pub use spec::{DataSetSpec, FileGroup, SizeRule};

/// `flags` of a row that has a payload.
pub const FLAG_FILE: u8 = 1;
/// `flags` of a directory's row.
pub const FLAG_DIRECTORY: u8 = 2;

/// SHA-1 of `domain-relative_path`: the name that a file has in a backup.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub [u8; 20]);

impl FileId {
    /// The id of a file that has this place on the phone.
    pub fn of(domain: &str, relative_path: &str) -> Self {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
        context.update(domain.as_bytes());
        context.update(b"-");
        context.update(relative_path.as_bytes());
        let mut id = [0; 20];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }

    /// Reads 40 hex digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 40 {
            return None;
        }
        let value = |digit: u8| char::from(digit).to_digit(16);
        let mut id = [0; 20];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (value(pair[0])? << 4 | value(pair[1])?) as u8;
        }
        Some(Self(id))
    }

    /// 40 lower case hex digits.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(40);
        self.push_hex(&mut hex);
        hex
    }

    /// Appends `xx/<40 hex digits>`, where a backup keeps the payload.
    pub fn push_path(&self, text: &mut String) {
        text.push_str(self.folder());
        text.push('/');
        self.push_hex(text);
    }

    /// The two digits that name the payload's folder.
    pub fn folder(&self) -> &'static str {
        static FOLDERS: OnceLock<Vec<String>> = OnceLock::new();
        &FOLDERS.get_or_init(|| (0..=255).map(|byte| format!("{byte:02x}")).collect())[usize::from(self.0[0])]
    }

    /// `xx/<40 hex digits>`.
    pub fn path(&self) -> String {
        let mut path = String::with_capacity(43);
        self.push_path(&mut path);
        path
    }

    fn push_hex(&self, text: &mut String) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.hex())
    }
}

/// One row of the manifest: a file or a directory of the phone.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// For example `HomeDomain`.
    pub domain: Arc<str>,
    /// Path inside the domain; empty for the domain's own directory.
    pub relative_path: Arc<str>,
    /// Its name in a backup.
    pub file_id: FileId,
    /// Bytes of content, 0 for a directory.
    pub size: u64,
    /// Counts up with every change of the content.
    pub version: u32,
    /// Seconds since 1970; differs between any two versions.
    pub mtime: i64,
    /// As in `stat`.
    pub mode: u16,
    /// [`FLAG_FILE`] or [`FLAG_DIRECTORY`].
    pub flags: u8,
    seed: u64,
}

impl DataFile {
    /// True when the row has a payload.
    pub fn is_file(&self) -> bool {
        self.flags == FLAG_FILE
    }

    /// `domain-relative_path`, as messages for people name it.
    pub fn name(&self) -> String {
        format!("{}-{}", self.domain, self.relative_path)
    }
}

/// Everything on a phone at one moment.
#[derive(Debug, Clone)]
pub struct DataSet {
    seed: u64,
    generation: u32,
    entries: Vec<DataFile>,
}

impl DataSet {
    /// Every row, directories too, in the order of the upload.
    pub fn entries(&self) -> &[DataFile] {
        &self.entries
    }

    /// The rows that have a payload; places in [`super::Fault`]s count these.
    pub fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.entries.iter().filter(|entry| entry.is_file())
    }

    /// The file at this place among the files.
    pub fn file(&self, index: usize) -> Option<&DataFile> {
        self.files().nth(index)
    }

    /// How many files there are, directories not counted.
    pub fn file_count(&self) -> usize {
        self.files().count()
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    /// How many mutations led here.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_form_of_a_backup() {
        let id = FileId::of("HomeDomain", "Library/SMS/sms.db");
        assert_eq!(id.hex(), "3d0d7e5fb2ce288813306e4d4636395e047a3d28");
        assert_eq!(id.path(), "3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28");
        assert_eq!(FileId::parse(&id.hex()), Some(id));
    }

    #[test]
    fn content_does_not_depend_on_how_it_is_read() {
        let data = DataSet::generate(&DataSetSpec::uniform(7, 1, 300_001));
        let file = data.file(0).unwrap();
        let whole = file.content();
        assert_eq!(whole.len(), 300_001);
        let mut pieces = vec![0; 300_001];
        for (index, piece) in pieces.chunks_mut(777).enumerate() {
            file.read_into(index as u64 * 777, piece);
        }
        assert!(whole == pieces);
        let changed = data.mutated(Mutation::Change { count: 1 });
        assert!(changed.file(0).unwrap().content() != whole);
    }

    #[test]
    fn mutations_do_what_they_say() {
        let data = DataSet::generate(&DataSetSpec::mixed(3, 500, 4_000_000));
        assert_eq!(data.file_count(), 500);
        assert!(data.files().any(|file| file.size == 0));
        let changed = data.mutated(Mutation::Change { count: 20 });
        let differing = data.entries().iter().zip(changed.entries()).filter(|(a, b)| a.mtime != b.mtime).count();
        assert_eq!(differing, 20);
        assert_eq!(changed.mutated(Mutation::Remove { count: 50 }).file_count(), 450);
        assert_eq!(changed.mutated(Mutation::Add { count: 5, size: 10 }).file_count(), 505);
        let mut ids: Vec<_> = changed.mutated(Mutation::Add { count: 5, size: 10 }).entries().to_vec();
        ids.sort_by_key(|entry| entry.file_id);
        ids.dedup_by_key(|entry| entry.file_id);
        assert_eq!(ids.len(), changed.entries().len() + 5 + 2);
    }
}
