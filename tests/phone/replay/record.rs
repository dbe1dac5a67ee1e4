//! A record as `backstay report --session` saves it, read line by line.

use std::collections::BTreeMap;

/// Where the files of a backup go first.
pub(super) const OF_FILES: &str = "U/Snapshot/xx/<file>";

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Seconds since the beginning.
    pub at: f64,
    /// `<` from the phone, `>` to it, `*` what the computer saw.
    pub mark: char,
    /// What it is about.
    pub name: String,
    fields: BTreeMap<String, String>,
}

/// All of them, in their order.
#[derive(Debug, Clone)]
pub struct Record {
    pub lines: Vec<Line>,
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let (at, rest) = text.split_once(' ')?;
        let (mark, rest) = rest.split_once(' ')?;
        let (name, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut fields = BTreeMap::new();
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (value, after) = quoted.split_once('"')?;
                    (value, after.strip_prefix(' ').unwrap_or(after))
                }
                None => after.split_once(' ').unwrap_or((after, "")),
            };
            fields.insert(key.to_owned(), value.to_owned());
            rest = after;
        }
        let mark = mark.chars().next().filter(|mark| ['<', '>', '*'].contains(mark))?;
        Some(Self { at: at.parse().ok()?, mark, name: name.to_owned(), fields })
    }

    /// True for a line of this mark and name.
    pub fn is(&self, mark: char, name: &str) -> bool {
        self.mark == mark && self.name == name
    }

    /// A figure as it stands there.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    /// A figure as a number.
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// A code, which has `0x` in front.
    pub fn code(&self) -> Option<u8> {
        u8::from_str_radix(self.text("code")?.strip_prefix("0x")?, 16).ok()
    }

    /// Counts by kind.
    pub fn counts(&self, key: &str) -> BTreeMap<String, u64> {
        let inner = self.text(key).and_then(|text| text.strip_prefix('{')?.strip_suffix('}')).unwrap_or_default();
        let pair = |text: &str| {
            let (kind, count) = text.rsplit_once(':')?;
            Some((kind.to_owned(), count.parse().ok()?))
        };
        inner.split(',').filter_map(pair).collect()
    }

    /// Every key, for comparing.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl Record {
    /// Reads a record. A last line that a crash cut is left out.
    ///
    /// # Errors
    /// What can't be read, with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut lines = whole.lines();
        if lines.next() != Some("backstay-session 1") {
            return Err("no session record of version 1".into());
        }
        let told = lines.filter(|line| !line.starts_with('#') && !line.is_empty());
        let parsed = told.map(|line| Line::parse(line).ok_or_else(|| format!("not understood: {line}")));
        Ok(Self { lines: parsed.collect::<Result<_, _>>()? })
    }

    /// The first line of this mark and name.
    pub fn line(&self, mark: char, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.is(mark, name))
    }

    /// What two records of the same conversation have in common: without times, and without what differs from computer
    /// to computer and from data to data.
    pub fn normalised(&self) -> Vec<String> {
        self.lines.iter().map(normalised).collect()
    }
}

fn normalised(line: &Line) -> String {
    const TIMES_AND_ROOM: &[&str] = &["took", "seconds", "free", "amount", "longest-silence", "bytes-before-it"];
    // Names are made up, and with them which folders there are and where files sort.
    const OF_NAMES: &[&str] = &["entries", "message-bytes", "largest-message", "times"];
    let of_files = line.name == "batch" && line.counts("to").contains_key(OF_FILES);
    let left_out = |key: &str| match line.name.as_str() {
        _ if TIMES_AND_ROOM.contains(&key) || OF_NAMES.contains(&key) => true,
        // A manifest is as long as its names are.
        "batch" | "fetched" if !of_files => ["bytes", "largest", "blocks", "largest-block"].contains(&key),
        // Where on the phone a file is follows from its name.
        "batch" => ["largest-block", "blocks", "from"].contains(&key),
        "DLMessageUploadFiles" => key == "bytes",
        "silence" | "totals" => key == "bytes" || key == "messages",
        "unreadable" => key == "from",
        "row" => key == "size",
        // With the length of a text that may not be known.
        "Response" => key == "keys",
        "tree" => ["manifest-db", "manifest-plist", "kinds"].contains(&key),
        _ => false,
    };
    let digitless = |key: &str, value: &str| match key {
        // A number of another length.
        "text" => value.split(|character: char| "<>".contains(character)).step_by(2).collect::<Vec<_>>().join("<>"),
        _ => value.to_owned(),
    };
    let mut told = format!("{} {}", line.mark, line.name);
    for (key, value) in line.keys().filter(|(key, _)| !left_out(key)) {
        told.push_str(&format!(" {key}={}", digitless(key, value)));
    }
    told
}
