//! `ExtendedAttributes`: a binary plist inside the raw data of a row. Real ones have up to 1,155 bytes, most of them on
//! pictures, from the photo library.

use plist::{Dictionary, Value};

use super::{DataFile, FLAG_DIRECTORY, content::mix};

/// Which extended attributes a row has; they are made when somebody reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attributes {
    None,
    /// What a text editor leaves.
    Encoding,
    /// What the photo library leaves.
    Picture,
    /// What the system protects.
    Rootless,
    /// So many bytes that mean nothing, for a large manifest.
    Filling(u32),
}

impl Attributes {
    /// Those of a row at this turn.
    pub(super) fn at(turn: u64, domain: &str, flags: u8) -> Self {
        if flags == FLAG_DIRECTORY {
            return if turn % 300 == 6 { Self::Rootless } else { Self::None };
        }
        match turn {
            turn if domain == "CameraRollDomain" && turn.is_multiple_of(6) => Self::Picture,
            turn if turn % 120 == 8 => Self::Encoding,
            _ => Self::None,
        }
    }

    pub(super) fn plist(self, file: &DataFile) -> Option<Vec<u8>> {
        let mut attributes = Dictionary::new();
        let mut put = |key: &str, value: &[u8]| attributes.insert(key.into(), Value::Data(value.to_vec()));
        match self {
            Self::None => return None,
            Self::Encoding => drop(put("com.apple.TextEncoding", b"utf-8;134217984")),
            Self::Rootless => drop(put("com.apple.rootless", b"coreknowledge")),
            Self::Picture => {
                let id = uuid::Uuid::from_slice(&file.file_id.0[..16]).unwrap_or_default();
                let name = file.relative_path.rsplit('/').next().unwrap_or_default();
                for key in ["favorite", "avalanche.type", "grouping.state", "trashed", "hidden", "deferredProcessing"] {
                    put(&format!("com.apple.assetsd.{key}"), &[0, 0]);
                }
                put("com.apple.assetsd.assetType", &[3, 0]);
                put("com.apple.assetsd.UUID", id.as_bytes());
                put("com.apple.assetsd.addedDate", &file.mtime.to_be_bytes());
                put("com.apple.assetsd.customCreationDate", &file.mtime.to_be_bytes());
                put("com.apple.assetsd.originalFilename", name.as_bytes());
                put("com.apple.assetsd.timeZoneName", b"Europe/London");
                put("com.apple.assetsd.cloudAsset.UUID", id.to_string().to_uppercase().as_bytes());
            }
            Self::Filling(length) => {
                let mut random = mix(file.seed ^ u64::from(file.file_id.0[0]));
                let filling: Vec<u8> = (0..length)
                    .map(|_| {
                        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                        (random >> 56) as u8
                    })
                    .collect();
                put("com.apple.cscachefs", &filling);
            }
        }
        let mut bytes = Vec::new();
        // Writing to memory a dictionary of our own can't fail.
        drop(Value::Dictionary(attributes).to_writer_binary(&mut bytes));
        Some(bytes)
    }
}

/// Gives every file attributes that fill the manifest up to so many bytes.
pub(super) fn fill(entries: &mut [DataFile], manifest_bytes_min: u64) {
    /// A row with its places in the indexes, at the least.
    const ROW: u64 = 700;
    let files = entries.iter().filter(|entry| entry.is_file()).count() as u64;
    let missing = manifest_bytes_min.saturating_sub(entries.len() as u64 * ROW);
    if missing == 0 || files == 0 {
        return;
    }
    let each = u32::try_from(missing.div_ceil(files)).unwrap_or(u32::MAX);
    for entry in entries.iter_mut().filter(|entry| entry.is_file()) {
        entry.attributes = Attributes::Filling(each);
    }
}
