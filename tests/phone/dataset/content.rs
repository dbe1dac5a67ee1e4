//! The bytes of a file, made up on demand.
//!
//! A file is a row of pages. Each page is a slice of one shared random pool from a place of its own and starts with a
//! stamp that belongs to this page of this version of this file alone, so that a page that is missing, moved, old or from
//! another file is noticed, and yet the bytes cost no more than a copy.

use std::sync::OnceLock;

use super::{DataFile, FileId, sqlite};

const PAGE: usize = 64 * 1024;
const STAMP: usize = 32;
const POOL: usize = 2 * 1024 * 1024;

fn pool() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut bytes = vec![0; POOL];
        blake3::Hasher::new().update(b"simulated phone").finalize_xof().fill(&mut bytes);
        bytes
    })
}

/// One step of SplitMix64: a cheap mixer whose outputs differ in every bit.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

fn key(seed: u64, id: &FileId, version: u32) -> u64 {
    let (words, _) = id.0.as_chunks::<4>();
    words.iter().fold(mix(seed) ^ u64::from(version), |key, word| mix(key ^ u64::from(u32::from_le_bytes(*word))))
}

struct Page {
    /// What is not of the pool: the stamp, behind a database's header on the first page of one.
    head: [u8; sqlite::HEADER + STAMP],
    /// How much of it counts.
    length: usize,
    start: usize,
}

impl Page {
    fn of(key: u64, number: u64) -> Self {
        let mut head = [0; sqlite::HEADER + STAMP];
        let mut word = mix(key ^ mix(number));
        let start = word as usize % (POOL - PAGE);
        for bytes in head[..STAMP].chunks_exact_mut(8) {
            word = mix(word);
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self { head, length: STAMP, start }
    }

    fn with_header(mut self, header: &[u8; sqlite::HEADER]) -> Self {
        self.head.copy_within(..STAMP, sqlite::HEADER);
        self.head[..sqlite::HEADER].copy_from_slice(header);
        self.length = self.head.len();
        self
    }
}

impl DataFile {
    /// Calls `take` with the bytes from `offset` on, `length` of them, piece by piece.
    fn visit(&self, offset: u64, length: usize, mut take: impl FnMut(&[u8])) {
        assert!(offset + length as u64 <= self.size, "read past the end of {}", self.name());
        let key = key(self.seed, &self.file_id, self.version);
        let (mut offset, mut left) = (offset, length);
        while left > 0 {
            let inside = (offset % PAGE as u64) as usize;
            let count = left.min(PAGE - inside);
            let mut page = Page::of(key, offset / PAGE as u64);
            if let Some(header) = self.database_header().filter(|_| offset < PAGE as u64) {
                page = page.with_header(&header);
            }
            let stamped = page.length.saturating_sub(inside).min(count);
            if stamped > 0 {
                take(&page.head[inside..inside + stamped]);
            }
            take(&pool()[page.start + inside + stamped..page.start + inside + count]);
            offset += count as u64;
            left -= count;
        }
    }

    /// How the content begins if it is a database.
    fn database_header(&self) -> Option<[u8; sqlite::HEADER]> {
        let page = sqlite::page_size(self.size).filter(|_| sqlite::is_database(&self.relative_path))?;
        Some(sqlite::header(page, self.size, self.version))
    }

    /// Fills `buffer` with the bytes from `offset` on. They must lie within the file.
    pub fn read_into(&self, offset: u64, buffer: &mut [u8]) {
        let mut filled = 0;
        self.visit(offset, buffer.len(), |bytes| {
            buffer[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        });
    }

    /// Appends `length` bytes from `offset` on to `buffer`.
    pub fn append_to(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) {
        self.visit(offset, length, |bytes| buffer.extend_from_slice(bytes));
    }

    /// The places and lengths of the pieces of at most `length` bytes that make up the file.
    pub fn chunks(&self, length: usize) -> impl Iterator<Item = (u64, usize)> + use<> {
        let size = self.size;
        (0..size).step_by(length).map(move |offset| (offset, (size - offset).min(length as u64) as usize))
    }

    /// All bytes; meant for small files.
    pub fn content(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(self.size as usize);
        self.append_to(0, self.size as usize, &mut content);
        content
    }

    /// BLAKE3 of the content.
    pub fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (offset, length) in self.chunks(1 << 20) {
            self.visit(offset, length, |bytes| {
                hasher.update(bytes);
            });
        }
        hasher.finalize()
    }
}
