//! Texts of the phone without names: known words and short numbers stay, the rest becomes lengths.

use super::shape::shape;

/// Words of the phone's error texts, in small letters. Source: texts in public logs, and the system's own for each errno.
const KNOWN: &[&str] = &[
    "a",
    "agent",
    "already",
    "an",
    "and",
    "another",
    "app",
    "apps",
    "argument",
    "at",
    "back",
    "backup",
    "bad",
    "be",
    "been",
    "before",
    "broken",
    "busy",
    "by",
    "can't",
    "cancelled",
    "cannot",
    "changed",
    "clone",
    "closed",
    "code",
    "common",
    "computer",
    "connection",
    "contents",
    "copying",
    "corrupt",
    "could",
    "couldn't",
    "create",
    "creating",
    "cross-device",
    "data",
    "database",
    "delete",
    "denied",
    "descriptor",
    "device",
    "did",
    "didn't",
    "digest",
    "directory",
    "disconnected",
    "disk",
    "does",
    "domain",
    "downloading",
    "empty",
    "encrypted",
    "encryption",
    "entry",
    "eof",
    "error",
    "errors",
    "escrow",
    "exist",
    "exists",
    "failed",
    "failure",
    "file",
    "files",
    "finished",
    "for",
    "found",
    "free",
    "from",
    "full",
    "had",
    "has",
    "have",
    "host",
    "in",
    "incorrect",
    "input/output",
    "insufficient",
    "interrupted",
    "invalid",
    "io",
    "is",
    "items",
    "key",
    "keybag",
    "keychain",
    "left",
    "length",
    "link",
    "locked",
    "long",
    "lost",
    "manifest",
    "match",
    "message",
    "missing",
    "mkbackuperrordomain",
    "move",
    "moving",
    "multi",
    "multiple",
    "name",
    "no",
    "not",
    "null",
    "of",
    "on",
    "open",
    "opening",
    "operation",
    "or",
    "out",
    "parse",
    "passcode",
    "password",
    "path",
    "permission",
    "permitted",
    "phone",
    "plist",
    "properties",
    "property",
    "protected",
    "protocol",
    "purge",
    "read",
    "reading",
    "references",
    "remove",
    "restore",
    "room",
    "service",
    "size",
    "snapshot",
    "some",
    "space",
    "status",
    "such",
    "supported",
    "system",
    "temporarily",
    "the",
    "timed",
    "timeout",
    "to",
    "too",
    "unable",
    "unavailable",
    "unexpected",
    "unlocked",
    "uploading",
    "version",
    "volume",
    "waiting",
    "was",
    "with",
    "write",
    "wrong",
    "yet",
    "zero-length",
];

/// Digits of a number that may stay: codes have so many, and longer ones, also in pieces, may be a person's.
const DIGITS_MAX: usize = 3;

/// Longer texts are cut.
const LENGTH_MAX: usize = 300;

/// No more of a text is looked at.
const TEXT_LENGTH_MAX: usize = 2000;

/// The text without what it may say of a person; of texts that are all known, it is the text itself.
pub(super) fn plain(text: &str, udid: &str) -> String {
    let text: String = text.chars().take(TEXT_LENGTH_MAX).collect();
    let mut told = Vec::new();
    for word in text.split_whitespace() {
        told.push(plain_word(word, udid));
        if told.iter().map(|word| word.len() + 1).sum::<usize>() > LENGTH_MAX {
            told.push("...".into());
            break;
        }
    }
    told.join(" ")
}

fn plain_word(word: &str, udid: &str) -> String {
    let punctuation = |character: char| ",.:;!?()[]\"'-=".contains(character);
    let begin = &word[..word.len() - word.trim_start_matches(punctuation).len()];
    let inner = word.trim_matches(punctuation);
    let end = &word[(begin.len() + inner.len()).min(word.len())..];
    format!("{begin}{}{end}", known(inner, udid))
}

fn known(word: &str, udid: &str) -> String {
    let digits = |text: &str| !text.is_empty() && text.len() <= DIGITS_MAX && text.bytes().all(|b| b.is_ascii_digit());
    if word.is_empty() || word == "..." || digits(word) || KNOWN.contains(&word.to_lowercase().as_str()) {
        return word.to_owned();
    }
    // MBErrorDomain/104
    if let Some((domain, number)) = word.split_once(['/', ':'])
        && ["MBErrorDomain", "NSPOSIXErrorDomain", "NSCocoaErrorDomain", "NSOSStatusErrorDomain"].contains(&domain)
        && digits(number.trim_start_matches('-'))
    {
        return word.to_owned();
    }
    shape(word, udid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_phone_says_stays_and_whom_it_is_about_goes() {
        let udid = "00008120-001A2D3E0C40201E";
        for known in [
            "Multiple errors uploading files (MBErrorDomain/104)",
            "Input/output error (5)",
            "No such file or directory",
            "Error reading backup properties: Cannot parse a NULL or zero-length data (MBErrorDomain/11)",
            "Device locked - timeout waiting for passcode entry (MBErrorDomain/208)",
            "Failed to create snapshot: File exists (17) at path /private/var",
        ] {
            assert_eq!(plain(known, udid), known);
        }
        for (text, told) in [
            ("Can't read HomeDomain-Library/Anna/eve.txt (5)", "Can't read HomeDomain-Library/<4>/<3>.txt (5)"),
            ("Error of Anna's phone +4917012345678.", "Error of <6> phone <14>."),
            ("00008120-001A2D3E0C40201E is busy", "U is busy"),
        ] {
            assert_eq!(plain(text, udid), told);
            assert_eq!(plain(told, udid), told, "once is enough");
        }
        assert!(plain(&"error ".repeat(1000), udid).len() < LENGTH_MAX + 20);
    }
}
