//! Databases begin as SQLite's do, since who has to tell a whole one from a cut one looks there
//! (<https://www.sqlite.org/fileformat2.html>, section 1.3).

/// Bytes of the header.
pub(super) const HEADER: usize = 100;
/// The usual page, and the largest here.
pub(super) const PAGE_MAX: u64 = 4096;
const PAGE_MIN: u64 = 512;
/// 3.43.2, as iOS 17 has it.
const VERSION: u32 = 3_043_002;

/// True for the names of databases.
pub(super) fn is_database(path: &str) -> bool {
    path.ends_with(".sqlite") || path.ends_with(".db")
}

/// The page size of a database of so many bytes, if it can be one.
pub(super) fn page_size(size: u64) -> Option<u64> {
    let mut page = PAGE_MAX;
    while page >= PAGE_MIN {
        if size >= page && size.is_multiple_of(page) {
            return Some(page);
        }
        page /= 2;
    }
    None
}

/// Whole pages of about so many bytes; as it is when that is less than one.
pub(super) fn whole_pages(size: u64) -> u64 {
    let page = if size >= 4 * PAGE_MAX { PAGE_MAX } else { PAGE_MIN };
    if size < page { size } else { size / page * page }
}

/// The first bytes of a database of so many pages; the change counter tells the version.
pub(super) fn header(page: u64, size: u64, version: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let counter = (version + 1).to_be_bytes();
    put(0, b"SQLite format 3\0");
    put(16, &(page as u16).to_be_bytes());
    // Write-ahead log, no reserved bytes, the fixed fractions of a payload.
    put(18, &[2, 2, 0, 64, 32, 32]);
    put(24, &counter);
    put(28, &((size / page) as u32).to_be_bytes());
    // Schema cookie, its format, and UTF-8.
    put(43, &[1]);
    put(47, &[4]);
    put(59, &[1]);
    put(92, &counter);
    put(96, &VERSION.to_be_bytes());
    header
}
