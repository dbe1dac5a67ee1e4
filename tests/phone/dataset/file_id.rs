//! The name of a file in a backup.

use std::{fmt, sync::OnceLock};

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
