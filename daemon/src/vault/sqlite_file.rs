//! What the beginning of an SQLite database tells of its length.
//!
//! Source: "Database File Format" of SQLite, section 1.3.

/// Length of the header.
pub(super) const HEADER_BYTES: usize = 100;

/// Every SQLite database begins so.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Bytes of a page; none for other files than databases.
pub(super) fn page_bytes(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        page => u64::from(page),
    };
    (header.starts_with(MAGIC) && page.is_power_of_two() && (512..=65_536).contains(&page)).then_some(page)
}

/// Bytes that the database has at least; none for other files, and where the header does not know.
///
/// The count of pages in the header holds only while the change counter is the one for which it was written: older
/// versions of SQLite changed databases without it.
pub(super) fn bytes_min(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    let number = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let page = page_bytes(header)?;
    let (changes, pages, counted_at) = (number(24), number(28), number(92));
    (changes == counted_at && pages > 0).then(|| u64::from(pages) * page)
}
