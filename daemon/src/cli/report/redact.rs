//! Takes out of a text who it is about: first what this computer knows of names and numbers, then whatever looks like
//! one, then the names of files.

use std::borrow::Cow;

use regex::{Captures, Regex, RegexBuilder};
use serde_json::Value;

/// Parts of paths that say where something is and nothing about anybody.
const PLAIN_PARTS: [&str; 36] = [
    "",
    ".",
    "..",
    "~",
    ".backstay",
    ".config",
    ".local",
    "backstay",
    "Backup",
    "config.toml",
    "containers",
    "DCIM",
    "dev",
    "etc",
    "history",
    "home",
    "ledger.sqlite",
    "Library",
    "Manifest.db",
    "media",
    "Media",
    "MobileSync",
    "mnt",
    "mobile",
    "next",
    "private",
    "receipts",
    "removed",
    "run",
    "Snapshot",
    "state",
    "Status.plist",
    "tmp",
    "Users",
    "usr",
    "var",
];

/// Folders of the system, the same on every computer.
const SYSTEM_FOLDERS: [&str; 9] = [
    "/usr/",
    "/etc/xdg/",
    "/etc/os-release",
    "/run/usbmuxd",
    "/var/run/usbmuxd",
    "/var/lib/lockdown",
    "/sys/",
    "/proc/",
    "/dev/",
];

/// What is taken out, and what is put there.
#[derive(Debug)]
pub struct Redaction {
    known: Vec<(Regex, String)>,
    number_like: Vec<(Regex, &'static str)>,
    url: Regex,
    serial_like: Regex,
    path: Regex,
    file: Regex,
    /// Makes the same name the same stranger within one report, and another in the next.
    salt: [u8; 32],
}

impl Redaction {
    /// Knows these values and what to call them; the longest is looked for first.
    ///
    /// # Errors
    /// Never in practice: the expressions are our own, and values are taken literally.
    pub fn new(values: Vec<(String, String)>) -> Result<Self, regex::Error> {
        let mut values: Vec<(String, String)> = values
            .into_iter()
            .filter(|(value, _)| is_telling(value))
            .flat_map(|(value, name)| spellings(&value).into_iter().map(move |spelling| (spelling, name.clone())))
            .collect();
        // Of two names for one value the first one given stays: the sort is stable.
        values.sort_by(|one, other| (other.0.len(), &one.0).cmp(&(one.0.len(), &other.0)));
        values.dedup_by(|one, other| one.0 == other.0);
        let known = values.into_iter().map(|(value, name)| Ok((literally(&value)?, name))).collect::<Result<_, _>>()?;
        let mut number_like = Vec::new();
        for (pattern, name) in [
            (r"\b[0-9a-f]{64}\b", "<digest>"),
            (r"\b[0-9a-f]{40}\b", "<id>"),
            (r"\b[0-9a-f]{8}-[0-9a-f]{16}\b", "<id>"),
            (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
            (r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b", "<mac>"),
            (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "<mail>"),
            (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "<ip>"),
            (r"\b(?:[0-9a-f]{1,4}:){3,7}:?[0-9a-f]{1,4}\b|\bfe80::[0-9a-f:]+", "<ip>"),
            (r"\+\d[\d ().-]{6,}\d", "<number>"),
            (r"\b\d{14,20}\b", "<number>"),
        ] {
            number_like.push((any_case(pattern)?, name));
        }
        Ok(Self {
            known,
            number_like,
            url: any_case(r#"\b([a-z][a-z0-9+]*)://([^\s/"'<>]*)[^\s"'<>]*"#)?,
            // The end of a time looks like one.
            serial_like: Regex::new(r":\d\d\.\d{3,9}Z|\b[A-Z0-9]{10,12}\b")?,
            path: Regex::new(
                r#"[\w.<>~@ -]{0,40}?[\w.<>~@-]*/[^\s"'(),;=]*/[^\s"'(),;=]*(?:(?: [^\s"'(),;:=/]+){1,6}?\.[A-Za-z0-9]{2,5}\b)?"#,
            )?,
            file: any_case(
                r"[^\s/]+\.(jpe?g|heic|png|gif|mov|mp4|m4[av]|mp3|aae|pdf|docx?|xlsx?|pages|numbers|txt|vcf|zip)\b",
            )?,
            salt: *blake3::hash(uuid::Uuid::new_v4().as_bytes()).as_bytes(),
        })
    }

    /// The text without them.
    pub fn text(&self, text: &str) -> String {
        let mut text = self.without_values(text);
        replace(&mut text, &self.path, &|found| {
            // What is left of an address of Apple's.
            if found[0].trim_start().starts_with("//") {
                return found[0].to_owned();
            }
            let sentence_end = found[0].trim_end_matches(['.', ':']).len();
            let (path, end) = found[0].split_at(sentence_end);
            // What stands before the path belongs to the sentence.
            let start = path.find('/').and_then(|slash| path[..slash].rfind(' ')).map_or(0, |space| space + 1);
            format!("{}{}{end}", &path[..start], self.path(&path[start..]))
        });
        replace(&mut text, &self.file, &|found| format!("<file>.{}", &found[1]));
        self.without_serials(text)
    }

    /// The record of a conversation without them: its paths are shapes already, and say nothing.
    pub fn record(&self, text: &str) -> String {
        self.without_serials(self.without_values(text))
    }

    fn without_values(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (expression, name) in &self.known {
            replace(&mut text, expression, &|_| name.clone());
        }
        replace(&mut text, &self.url, &|found| address(&found[0], &found[1], &found[2]));
        for (expression, name) in &self.number_like {
            replace(&mut text, expression, &|_| (*name).to_owned());
        }
        text
    }

    fn without_serials(&self, mut text: String) -> String {
        replace(&mut text, &self.serial_like, &|found| {
            let mixed = !found[0].starts_with(':')
                && found[0].bytes().any(|byte| byte.is_ascii_digit())
                && found[0].bytes().any(|byte| byte.is_ascii_alphabetic());
            if mixed { "<serial>".to_owned() } else { found[0].to_owned() }
        });
        text
    }

    /// A path with its folders and its file made strangers; the first folder of a phone's path, its domain, and the
    /// ending of the file stay.
    pub fn path(&self, path: &str) -> String {
        if SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
            return path.to_owned();
        }
        let parts: Vec<&str> = path.split('/').collect();
        let last = parts.len() - 1;
        let told = parts.iter().enumerate().map(|(index, part)| {
            let placeholder = part.starts_with('<') && part.ends_with('>');
            let domain = index == 0 && part.ends_with("Domain") && part.bytes().all(|byte| byte.is_ascii_alphabetic());
            if PLAIN_PARTS.contains(part) || placeholder || domain {
                return (*part).to_owned();
            }
            let ending = part.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| {
                index == last && ending.len() <= 5 && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
            let stranger = self.stranger(part);
            ending.map_or_else(|| stranger.clone(), |ending| format!("{stranger}.{ending}"))
        });
        told.collect::<Vec<_>>().join("/")
    }

    /// Everything in it.
    pub fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        // A whole path, whatever is in its names. What is known of it gets its own name first.
                        Value::String(path) if name == "path" => *path = self.path(&self.known_only(path)),
                        value => self.value(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn known_only(&self, text: &str) -> String {
        self.known.iter().fold(text.to_owned(), |text, (expression, name)| {
            expression.replace_all(&text, |_: &Captures<'_>| name.clone()).into_owned()
        })
    }

    fn stranger(&self, name: &str) -> String {
        blake3::keyed_hash(&self.salt, name.as_bytes()).to_hex()[..8].to_owned()
    }
}

fn replace(text: &mut String, expression: &Regex, with: &dyn Fn(&Captures<'_>) -> String) {
    if let Cow::Owned(replaced) = expression.replace_all(text, with) {
        *text = replaced;
    }
}

/// Of addresses only Apple's say nothing about a person: others hold host names, topics and tokens.
fn address(whole: &str, scheme: &str, host: &str) -> String {
    let of_apple = host == "apple.com" || host.ends_with(".apple.com");
    if of_apple && !whole.contains(['?', '@', '#']) { whole.to_owned() } else { format!("{scheme}://<address>") }
}

/// Names that every other phone or computer has, too, and what is too short to be looked for in a text.
fn is_telling(value: &str) -> bool {
    let common = ["iphone", "ipad", "ipod", "root", "localhost", "user", "backup", "backstay", "home"];
    value.trim().chars().count() >= 2 && !common.contains(&value.trim().to_lowercase().as_str()) && value.trim() != "/"
}

/// As it is, as JSON, as Rust and as a shell write it, and an identifier without its dash.
fn spellings(value: &str) -> Vec<String> {
    let value = value.trim();
    let quoted = |text: String| text[1..text.len().saturating_sub(1).max(1)].to_owned();
    let json = quoted(Value::String(value.to_owned()).to_string());
    let debug = quoted(format!("{value:?}"));
    let shell = value.replace('\'', r"'\''");
    let url = value.replace(' ', "%20");
    let mut all = vec![value.to_owned(), json, debug, shell, url];
    let hexadecimal = value.len() >= 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if hexadecimal {
        all.push(value.replace('-', ""));
    }
    all.sort();
    all.dedup();
    all
}

/// Whole words only: a phone called Tom is not in tomorrow.
fn literally(value: &str) -> Result<Regex, regex::Error> {
    let word =
        |character: Option<char>| character.is_some_and(|character| character.is_alphanumeric() || character == '_');
    let (begin, end) = (word(value.chars().next()), word(value.chars().last()));
    let boundary = |there: bool| if there { r"\b" } else { "" };
    any_case(&format!("{}{}{}", boundary(begin), regex::escape(value), boundary(end)))
}

fn any_case(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).case_insensitive(true).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction() -> Redaction {
        let known = [
            ("Anna's \"new\" iPhone", "<phone-1>"),
            ("00008120-001A2D3E0C40201E", "<phone-1-id>"),
            ("F2LX1234ABCD", "<phone-1-number>"),
            ("Tom", "<user>"),
            ("/home/tom", "~"),
            ("/media/tom/My Disk", "<disk-1>"),
            ("iPhone", "<phone-2>"),
        ];
        Redaction::new(known.map(|(value, name)| (value.to_owned(), name.to_owned())).to_vec()).unwrap()
    }

    #[test]
    fn known_values_go_in_every_spelling() {
        let redaction = redaction();
        for (text, told) in [
            ("Anna's \"new\" iPhone is here", "<phone-1> is here"),
            (r#"{"name":"Anna's \"new\" iPhone"}"#, r#"{"name":"<phone-1>"}"#),
            (r#"backstay pair 'Anna'\''s "new" iPhone'"#, "backstay pair '<phone-1>'"),
            ("udid=00008120-001a2d3e0c40201e ok", "udid=<phone-1-id> ok"),
            ("usb 00008120001A2D3E0C40201E", "usb <phone-1-id>"),
            ("serial F2LX1234ABCD", "serial <phone-1-number>"),
            ("tomorrow Tom's iPhone", "tomorrow <user>'s iPhone"),
        ] {
            assert_eq!(redaction.text(text), told);
        }
    }

    #[test]
    fn unknown_numbers_go_by_their_looks() {
        let redaction = redaction();
        for (text, told) in [
            ("5d2b8bcf0c83fbd8e8fa2cbbf5a1e2c4d1d0f0aa", "<id>"),
            ("00008030-000A2D3E0C402ABC", "<id>"),
            ("WiFi 02:00:5e:10:00:ff.", "WiFi <mac>."),
            ("write to anna@example.org", "write to <mail>"),
            ("at 192.168.1.20:62078", "at <ip>:62078"),
            ("fe80::1c2b:3d4e", "<ip>"),
            ("call +49 170 1234567 now", "call <number> now"),
            ("IMEI 356789012345678", "IMEI <number>"),
            ("C39X1234ABCD", "<serial>"),
            ("https://ntfy.example.org/annas-topic?x=1", "https://<address>"),
            ("https://support.apple.com/contact", "https://support.apple.com/contact"),
        ] {
            assert_eq!(redaction.text(text), told);
        }
    }

    #[test]
    fn a_record_keeps_its_shapes_and_loses_what_slipped_in() {
        let redaction = redaction();
        let line =
            "1.000 < DLMessageMoveItems kinds={U/Snapshot/xx/<file>->U/xx/<file>:128} from=/.b/6/<10>/<4>.sqlite";
        assert_eq!(redaction.record(line), line);
        let slipped = "text=Tom udid=00008120-001A2D3E0C40201E serial=C39X1234ABCD mac=02:00:5e:10:00:ff";
        assert_eq!(redaction.record(slipped), "text=<user> udid=<phone-1-id> serial=<serial> mac=<mac>");
    }

    #[test]
    fn what_support_needs_stays() {
        let redaction = redaction();
        for text in [
            "2026-11-25T22:10:11.123456Z  INFO backstay::phone::run: a backup begins run=1764108611123",
            "Multiple errors uploading files (MBErrorDomain/105)",
            "/usr/sbin/usbmuxd and /var/run/usbmuxd",
            "iPhone15,2, iOS 18.5, battery 80 %, 41.2 GB free",
            "needs 41.2 GB, 12.0 GB free [28]",
            "\"at\": \"2026-12-01T16:48:11.123456789Z\"",
        ] {
            assert_eq!(redaction.text(text), text);
        }
    }

    #[test]
    fn files_are_strangers_with_a_domain_and_an_ending() {
        let redaction = redaction();
        for (text, begin, end, gone) in [
            (
                "while reading CameraRollDomain/Media/DCIM/100APPLE/IMG_0815.HEIC.",
                "while reading CameraRollDomain/Media/DCIM/",
                ".HEIC.",
                "0815",
            ),
            ("path=/home/tom/Private Things/x/letter to eve.pdf", "path=~/", ".pdf", "eve"),
            ("/media/tom/My Disk/.backstay/x", "<disk-1>/.backstay/", "", "My Disk"),
            ("error in IMG_0815.HEIC", "error in <file>.HEIC", "", "0815"),
        ] {
            let told = redaction.text(text);
            assert!(told.starts_with(begin) && told.ends_with(end) && !told.contains(gone), "{told}");
        }
        let same = |text: &str| redaction.path(text);
        assert_eq!(same("/x/letter.pdf"), same("/x/letter.pdf"), "the same stranger in one report");
        assert_ne!(same("/x/letter.pdf"), self::redaction().path("/x/letter.pdf"), "another one in the next");
    }

    #[test]
    fn objects_are_gone_through_to_the_bottom() {
        let mut value = serde_json::json!({
            "phones": [{ "name": "Anna's \"new\" iPhone", "evidence": { "path": "/media/tom/My Disk/a b/c.jpg", "code": 28 } }],
        });
        redaction().value(&mut value);
        let told = value.to_string();
        assert!(told.contains("<phone-1>") && told.contains("<disk-1>/") && told.contains("28"), "{told}");
        assert!(!told.contains("a b") && !told.contains("Anna"), "{told}");
    }
}
