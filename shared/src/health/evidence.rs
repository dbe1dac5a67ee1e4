//! A failure as it happened: the id and what was seen.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::wifi::WifiCondition;
use super::{
    FailureId,
    wifi::{self, WifiCheck},
};

/// What was seen when a failure was told apart; every field is optional since every failure shows other things.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The code that the phone or the system gave: an MBErrorDomain code, an errno, a usbmuxd result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// The text that came with it, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What Backstay was doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
    /// The file or folder in question.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy")]
    pub path: Option<PathBuf>,
    /// Bytes that would have been needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_needed: Option<u64>,
    /// Bytes that were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_free: Option<u64>,
    /// Bytes received before it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    /// How many files are concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// The disk in question, as people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// A battery's charge, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// How many days it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// How many seconds it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// How many times it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// The version that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version that is wanted or could be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// Bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// There is no good backup yet that could be called untouched.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_backup_yet: bool,
    /// What came is kept for the next try.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// What was looked at on the way to a phone on Wi-Fi, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wifi: Vec<WifiCheck>,
}

/// A path need not be Unicode; JSON is.
fn lossy<S: serde::Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => serializer.collect_str(&path.display()),
        None => serializer.serialize_none(),
    }
}

impl Evidence {
    /// The values by the names that texts quote them with.
    fn named(&self, name: &str) -> Option<String> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let count = |value: Option<u64>, one: &str| {
            value.map(|value| format!("{value} {one}{}", if value == 1 { "" } else { "s" }))
        };
        let bytes = |value: Option<u64>| value.map(readable_bytes);
        match name {
            "code" => self.code.map(|code| code.to_string()),
            "text" => self.text.clone(),
            "doing" => self.doing.clone(),
            "path" => self.path.as_ref().map(|path| path.display().to_string()),
            "bytes_needed" => bytes(self.bytes_needed),
            "bytes_free" => bytes(self.bytes_free),
            "bytes_missing" => bytes(self.bytes_missing()),
            "bytes_received" => bytes(self.bytes_received),
            "files" => count(self.files, "file"),
            "volume" => self.volume.clone(),
            "percent" => number(self.percent),
            "days" => count(self.days, "day"),
            "duration" => self.seconds.map(readable_seconds),
            "times" => count(self.times, "time"),
            "version" => self.version.clone(),
            "newest" => self.newest.clone(),
            "bytes_per_second" => bytes(self.bytes_per_second),
            "wifi" => wifi::told(&self.wifi),
            _ => None,
        }
    }

    /// A step with the number in it that it is about, so that it can be typed as it stands.
    pub fn in_step(&self, step: &str) -> String {
        match self.bytes_needed {
            Some(needed) => step.replace("--free SIZE", &format!("--free {}MB", needed.div_ceil(1_000_000))),
            None => step.to_owned(),
        }
    }

    /// What would have to be freed.
    pub fn bytes_missing(&self) -> Option<u64> {
        self.bytes_needed?.checked_sub(self.bytes_free?).filter(|missing| *missing > 0)
    }

    /// The sentence with its `{values}` in it; none when one of them was not seen.
    pub(super) fn fill(&self, quote: &str) -> Option<String> {
        let mut filled = String::new();
        let mut rest = quote;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            filled.push_str(before);
            filled.push_str(&self.named(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Some(filled)
    }

    /// What the sentence does not quote: it is told once.
    fn without(&self, quote: &str) -> Self {
        let said = |name: &str| quote.contains(&format!("{{{name}}}"));
        let mut rest = self.clone();
        if said("bytes_needed") {
            rest.bytes_needed = None;
        }
        if said("bytes_free") {
            rest.bytes_free = None;
        }
        if said("bytes_received") {
            rest.bytes_received = None;
        }
        if said("files") {
            rest.files = None;
        }
        if said("path") {
            rest.path = None;
        }
        if said("code") {
            rest.code = None;
        }
        if said("text") {
            rest.text = None;
        }
        rest
    }

    /// One of everything, for tests of the texts.
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            code: Some(28),
            text: Some("Permission denied".into()),
            doing: Some("writing".into()),
            path: Some("/media/backup".into()),
            bytes_needed: Some(41_200_000_000),
            bytes_free: Some(12_000_000_000),
            bytes_received: Some(1_000_000),
            files: Some(3),
            volume: Some("Backup Disk".into()),
            percent: Some(12),
            days: Some(9),
            seconds: Some(600),
            times: Some(3),
            version: Some("18.1".into()),
            newest: Some("26.1".into()),
            bytes_per_second: Some(200_000),
            no_backup_yet: false,
            kept: false,
            wifi: vec![WifiCheck { condition: WifiCondition::Network, holds: true }],
        }
    }
}

/// What many reasons end with.
pub(super) const UNTOUCHED: &str = "Your last good backup is untouched.";

/// What the reason ends with where what came is kept.
const KEPT: &str = "What came is kept: the next try goes on from there, if the iPhone does.";

/// Longer texts are cut: they come from phones, too.
const TEXT_LENGTH_MAX: usize = 2000;

/// One failure with its evidence. This is the error type of everything that can end a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which failure of the catalogue.
    pub id: FailureId,
    /// What was seen; boxed, since errors travel through every result.
    pub evidence: Box<Evidence>,
}

impl std::error::Error for Failure {}

impl From<FailureId> for Failure {
    fn from(id: FailureId) -> Self {
        Self { id, evidence: Box::default() }
    }
}

impl Failure {
    /// Adds the text that came with the failure.
    #[must_use]
    pub fn text(mut self, text: impl fmt::Display) -> Self {
        // Much of it comes from a phone and goes to a terminal.
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        self.evidence.text = Some(text.to_string().chars().take(TEXT_LENGTH_MAX).map(plain).collect());
        self
    }

    /// Adds what Backstay was doing.
    #[must_use]
    pub fn doing(mut self, doing: impl Into<String>) -> Self {
        self.evidence.doing.get_or_insert(doing.into());
        self
    }

    /// Adds the file or folder in question.
    #[must_use]
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.evidence.path.get_or_insert(path.into());
        self
    }

    /// Adds the code that was given.
    #[must_use]
    pub fn code(mut self, code: i64) -> Self {
        self.evidence.code = Some(code);
        self
    }

    /// What happened and why, with the values in it, for a person.
    pub fn explanation(&self) -> String {
        let entry = self.id.entry();
        let mut text = match self.evidence.no_backup_yet {
            true => entry.why.replace(&format!(" {UNTOUCHED}"), ""),
            false => entry.why.clone(),
        };
        let quoted = entry.quotes.iter().find_map(|quote| Some((quote, self.evidence.fill(quote)?)));
        let seen = match quoted {
            Some((quote, filled)) => {
                text.push(' ');
                text.push_str(&filled);
                self.evidence.without(quote).to_string()
            }
            None => self.evidence.to_string(),
        };
        if !seen.is_empty() {
            text.push(' ');
            text.push_str(&seen);
        }
        if self.evidence.kept {
            text.push(' ');
            text.push_str(KEPT);
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.id, self.id.entry().title)?;
        let seen = self.evidence.to_string();
        if seen.is_empty() { Ok(()) } else { write!(formatter, " {seen}") }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(bytes) = self.bytes_needed {
            parts.push(format!("needs {}", readable_bytes(bytes)));
        }
        if let Some(bytes) = self.bytes_free {
            parts.push(format!("{} free", readable_bytes(bytes)));
        }
        if let Some(files) = self.files {
            parts.push(format!("{files} file{}", if files == 1 { "" } else { "s" }));
        }
        if let Some(path) = &self.path {
            parts.push(path.display().to_string());
        }
        if let Some(doing) = &self.doing {
            parts.push(format!("while {doing}"));
        }
        if let Some(bytes) = self.bytes_received {
            parts.push(format!("after {}", readable_bytes(bytes)));
        }
        match (self.code, &self.text) {
            (Some(code), Some(text)) => parts.push(format!("{text} [{code}]")),
            (Some(code), None) => parts.push(format!("code {code}")),
            (None, Some(text)) => parts.push(text.clone()),
            (None, None) => {}
        }
        if parts.is_empty() { Ok(()) } else { write!(formatter, "({})", parts.join(", ")) }
    }
}

/// Bytes for people, in powers of 1000 as iOS counts them: `41.2 GB`.
pub fn readable_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Seconds for people, as exact as they need it: `90 s`, `12 min`, `3 h`.
fn readable_seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_stand_in_the_explanation() {
        let mut failure = Failure::from(FailureId::HostDiskFull).doing("writing Manifest.db").code(28);
        failure.evidence.bytes_needed = Some(41_200_000_000);
        failure.evidence.bytes_free = Some(12_000_000_000);
        let told = failure.explanation();
        let quote =
            "It needs 41.2 GB, and 12.0 GB is free; 29.2 GB more would do. (while writing Manifest.db, code 28)";
        assert!(told.ends_with(quote), "{told}");
        failure.evidence.volume = Some("Backup Disk".into());
        assert!(failure.explanation().contains("12.0 GB is free on Backup Disk;"), "{}", failure.explanation());
        failure.evidence.bytes_free = None;
        let told = failure.explanation();
        assert!(told.ends_with("(needs 41.2 GB, while writing Manifest.db, code 28)"), "no quote fits: {told}");
    }

    #[test]
    fn counts_and_spans_for_people() {
        let seen = |days, seconds| Evidence { days: Some(days), seconds: Some(seconds), ..Evidence::default() };
        for (days, seconds, told) in
            [(1, 1, "1 day, 1 s"), (9, 119, "9 days, 119 s"), (0, 120, "0 days, 2 min"), (2, 7200, "2 days, 2 h")]
        {
            assert_eq!(seen(days, seconds).fill("{days}, {duration}").as_deref(), Some(told));
        }
        assert_eq!(seen(1, 1).fill("{days}, {files}"), None, "what was not seen is not told");
    }

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_999, "1.0 MB"),
            (256_000_000_000, "256 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(readable_bytes(bytes), text);
        }
    }
}
