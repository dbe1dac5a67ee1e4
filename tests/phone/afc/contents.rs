//! What is in the media folder of every simulated phone.

/// Folders that are there from the start.
pub(super) const FOLDERS: &[&str] = &[
    "Books",
    "DCIM",
    "DCIM/100APPLE",
    "Downloads",
    "PhotoData",
    "PublicStaging",
    "Recordings",
    "iTunes_Control",
    "iTunes_Control/Device",
    "iTunes_Control/iTunes",
];

/// 1 May 2024, when the first picture was taken.
pub(super) const FIRST_MODIFIED: u64 = 1_714_550_400_000_000_000;

const PICTURES: usize = 4;

/// Files that are there from the start: pictures, and some of those that iTunes keeps and backups carry along.
pub(super) fn files() -> Vec<(String, Vec<u8>)> {
    let property_list = |key: &str| {
        let mut bytes = Vec::new();
        let list = plist::Dictionary::from_iter([(key, plist::Value::from(1_u64))]);
        drop(plist::to_writer_xml(&mut bytes, &list));
        bytes
    };
    let mut files = vec![
        ("Books/iBooksData2.plist".to_owned(), property_list("Books")),
        ("iTunes_Control/iTunes/IC-Info.sidb".to_owned(), b"simulated sidb".repeat(8)),
        ("iTunes_Control/iTunes/IC-Info.sidv".to_owned(), b"simulated sidv".repeat(8)),
        ("iTunes_Control/iTunes/StorageKit.plist".to_owned(), property_list("StorageKit")),
        ("iTunes_Control/iTunes/VoiceMemos.plist".to_owned(), property_list("VoiceMemos")),
        ("iTunes_Control/iTunes/iTunesPrefs".to_owned(), b"frpd simulated".repeat(16)),
        ("iTunes_Control/iTunes/iTunesPrefs.plist".to_owned(), property_list("iTunesPrefs")),
    ];
    files.extend((1..=PICTURES).map(|number| (format!("DCIM/100APPLE/IMG_{number:04}.JPG"), picture(number))));
    files
}

/// The picture of this number, larger the later it was taken.
fn picture(number: usize) -> Vec<u8> {
    picture_of(number, 40_000 * number)
}

/// Begins and ends as a JPEG does; no viewer would like what is between.
pub(super) fn picture_of(number: usize, bytes: usize) -> Vec<u8> {
    let mut state = number as u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let header = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x48\x00\x48\x00\x00";
    header.iter().copied().chain(noise.take(bytes)).chain([0xff, 0xd9]).collect()
}
