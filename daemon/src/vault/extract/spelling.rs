//! The same name in other spellings: phones have most names decomposed (NFD), keyboards type them composed (NFC), and a
//! folder and a file in it may differ in this. Upper and lower case is another matter: only some disks take it for one.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Composed: two names are the same to a person when this is.
pub fn composed(name: &str) -> Cow<'_, str> {
    if name.is_ascii() || is_nfc_quick(name.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.nfc().collect())
}

/// What any disk could take for one: composed, without case. By way of capitals, so that `ß` is `ss` and each sigma is one.
pub fn folded(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    let name = name.nfd().collect::<String>().to_uppercase().to_lowercase();
    Cow::Owned(name.nfc().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NFC: &str = "Gr\u{fc}\u{df}e";
    const NFD: &str = "Gru\u{308}\u{df}e";

    #[test]
    fn one_name_in_several_spellings() {
        assert_ne!(NFC, NFD);
        assert_eq!(composed(NFD), NFC);
        assert!(matches!(composed(NFC), Cow::Borrowed(NFC)));
        assert_ne!(composed(NFC), composed(&NFC.to_uppercase()));
        for (one, other) in [
            (NFC, NFD),
            ("GRU\u{308}SSE", NFC),
            ("SpringBoard", "springboard"),
            ("\u{3a3}\u{3af}\u{3c3}\u{3c5}\u{3c6}\u{3bf}\u{3c2}", "\u{3c3}\u{3af}\u{3c3}\u{3c5}\u{3c6}\u{3bf}\u{3c3}"),
        ] {
            assert_eq!(folded(one), folded(other));
        }
        // Neither makes a separator.
        for name in ["a/\u{338}b", "a/\u{301}e", "\u{ff0f}"] {
            assert_eq!(composed(name).matches('/').count(), name.matches('/').count());
            assert_eq!(folded(name).matches('/').count(), name.matches('/').count());
        }
    }
}
