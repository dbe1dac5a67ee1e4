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

/// What is in a file.
#[derive(Clone)]
pub(super) enum Content {
    /// Kept.
    Bytes(Vec<u8>),
    /// Follows from a seed, and is made for each read anew.
    Made { seed: u64, length: u64 },
}

impl Default for Content {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Made { length, .. } => *length,
        }
    }

    /// The bytes from here on, as far as there are any.
    pub(super) fn read(&self, position: u64, length: u64) -> Vec<u8> {
        let start = position.min(self.length());
        let end = start.saturating_add(length).min(self.length());
        match self {
            Self::Bytes(bytes) => bytes[start as usize..end as usize].to_vec(),
            Self::Made { seed, .. } => {
                let mut bytes = Vec::with_capacity((end - start) as usize + 16);
                for word in start / 8..end.div_ceil(8) {
                    bytes.extend_from_slice(&word_at(*seed, word).to_le_bytes());
                }
                bytes.drain(..(start % 8) as usize);
                bytes.truncate((end - start) as usize);
                bytes
            }
        }
    }

    /// To be changed, which what is made can't be.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        if let Self::Made { length, .. } = *self {
            *self = Self::Bytes(self.read(0, length));
        }
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Made { .. } => unreachable!("it was made just now"),
        }
    }
}

/// The finalizer of splitmix64: any word of a file without those before it.
fn word_at(seed: u64, index: u64) -> u64 {
    let mut word = seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
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
