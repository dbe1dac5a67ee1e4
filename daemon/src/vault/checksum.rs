//! The checksums of a file: BLAKE3, which is quick, for what Backstay itself compares, and SHA-1, which the phone
//! compares when it restores.

use std::{
    io::{self, Read},
    path::Path,
};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::{
    ledger::Digest,
    proof::{Expected, Rule, Sha1},
    tree::{self, Unreadable},
};

/// Read and hashed at a time: it stays in the processor's cache for the second of the two.
const PIECE_BYTES: usize = 128 * 1024;

/// Both, and the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksums {
    /// Bytes.
    pub size: u64,
    /// BLAKE3.
    pub digest: Digest,
    /// SHA-1, where it was taken.
    pub sha1: Option<Sha1>,
}

impl Checksums {
    /// True for the same bytes, as far as BLAKE3 tells.
    pub fn is_of_same(&self, other: &Self) -> bool {
        (self.size, self.digest) == (other.size, other.digest)
    }
}

/// Takes both at once, or BLAKE3 alone.
#[derive(Clone)]
pub struct Hasher {
    blake3: blake3::Hasher,
    sha1: Option<Context>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { blake3: blake3::Hasher::new(), sha1: Some(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)) }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hasher(..)")
    }
}

impl Hasher {
    /// One that takes BLAKE3 alone, which costs a quarter of both.
    pub fn of_blake3() -> Self {
        Self { blake3: blake3::Hasher::new(), sha1: None }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.blake3.update(piece);
            if let Some(sha1) = &mut self.sha1 {
                sha1.update(piece);
            }
        }
    }

    /// Of all of it.
    pub fn finish(self) -> Checksums {
        let sha1 = self.sha1.map(|context| {
            let mut sha1 = Sha1::default();
            sha1.copy_from_slice(context.finish().as_ref());
            sha1
        });
        Checksums { size: self.blake3.count(), digest: *self.blake3.finalize().as_bytes(), sha1 }
    }
}

/// Compares the bytes of a file with what they must be, and takes no other checksum than that needs.
pub struct Comparison(Comparing);

enum Comparing {
    Held(Box<blake3::Hasher>, Digest),
    Listed(Context, Sha1),
}

impl Comparison {
    /// Before the first byte.
    pub fn with(expected: Expected) -> Self {
        Self(match expected {
            Expected::Held(digest) => Comparing::Held(Box::default(), digest),
            Expected::Listed(sha1) => Comparing::Listed(Context::new(&SHA1_FOR_LEGACY_USE_ONLY), sha1),
        })
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Comparing::Held(hasher, _) => {
                hasher.update(bytes);
            }
            Comparing::Listed(hasher, _) => hasher.update(bytes),
        }
    }

    /// What is wrong with the file, and the rule that says so, once all of it was seen; `None` when it is what it must be.
    pub fn finish(self) -> Option<(&'static str, Rule)> {
        let (is_same, expected) = match self.0 {
            Comparing::Held(hasher, digest) => (*hasher.finalize().as_bytes() == digest, Expected::Held(digest)),
            Comparing::Listed(hasher, sha1) => (*hasher.finish().as_ref() == sha1, Expected::Listed(sha1)),
        };
        (!is_same).then(|| expected.damage())
    }
}

impl std::fmt::Debug for Comparison {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Comparison(..)")
    }
}

/// Of bytes that are all here.
pub fn of(bytes: &[u8]) -> Checksums {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Of a file; `goes_on` is asked between two pieces. None when it said no.
///
/// # Errors
/// Of the file system.
pub fn of_file_while(path: &Path, goes_on: impl Fn() -> bool) -> io::Result<Option<Checksums>> {
    let mut file = tree::open(path)?;
    let mut hasher = Hasher::default();
    let mut piece = vec![0; PIECE_BYTES];
    while goes_on() {
        match file.read(&mut piece)? {
            0 => return Ok(Some(hasher.finish())),
            length => hasher.update(&piece[..length]),
        }
    }
    Ok(None)
}

/// Of a file.
///
/// # Errors
/// When it can't be read.
pub fn of_file(path: &Path) -> Result<Checksums, Unreadable> {
    let unreadable = |source| Unreadable { path: path.to_owned(), source };
    let hashed = of_file_while(path, || true).map_err(unreadable)?;
    hashed.ok_or_else(|| unreadable(io::ErrorKind::Interrupted.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source of the values: the test vectors of SHA-1 (RFC 3174) and of BLAKE3 (b3sum).
    #[test]
    fn both_are_what_others_take_them_for() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let Checksums { size, digest, sha1 } = of(b"abc");
        assert_eq!((size, hex(&sha1.unwrap()).as_str()), (3, "a9993e364706816aba3e25717850c26c9cd0d89d"));
        assert_eq!(hex(&digest), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        let folder = tempfile::tempdir().unwrap();
        let (path, content) = (folder.path().join("x"), vec![7; 3 * PIECE_BYTES + 1]);
        std::fs::write(&path, &content).unwrap();
        assert_eq!(of_file(&path).unwrap(), of(&content));
        assert_eq!(of_file_while(&path, || false).unwrap(), None);
    }
}
