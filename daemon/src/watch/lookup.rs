//! Something that is asked for on the web, seldom, and remembered on disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Unreadable;
use crate::host::{
    disk,
    web::{self, REPLY_BYTES_MAX},
};

/// After a first failure; each further one doubles it, up to [`RETRY_MAX`].
const RETRY_FIRST: TimeDelta = TimeDelta::minutes(15);

const RETRY_MAX: TimeDelta = TimeDelta::hours(6);

/// The answer, when it came, and what the server wants to hear when it is asked again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept<T> {
    /// When the server last said so.
    pub at: DateTime<Utc>,
    /// Another address has other answers.
    address: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// What was made of it.
    pub content: T,
}

/// Why the last try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In a row.
    pub failures: u32,
    /// The HTTP status, when it was one.
    pub status: Option<u16>,
    /// What went wrong.
    pub text: String,
    try_after: DateTime<Utc>,
}

/// One address.
#[derive(Debug)]
pub struct Lookup<T> {
    address: String,
    file: PathBuf,
    kept: Option<Kept<T>>,
    trouble: Option<Trouble>,
}

impl<T: Serialize + DeserializeOwned> Lookup<T> {
    /// With what an earlier process kept in `file`.
    pub fn new(address: &str, file: PathBuf) -> Self {
        let kept = read(&file).filter(|kept: &Kept<T>| kept.address == address);
        Self { address: address.to_owned(), file, kept, trouble: None }
    }

    /// The last answer, whatever its age.
    pub const fn kept(&self) -> Option<&Kept<T>> {
        self.kept.as_ref()
    }

    /// What is wrong since the last answer.
    pub const fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// When it is to be asked for again, an answer being good for `age_max`.
    pub fn due(&self, now: DateTime<Utc>, age_max: TimeDelta) -> DateTime<Utc> {
        // A clock that was set back makes answers from the future, and waits that never end.
        let wait = |until: DateTime<Utc>, longest: TimeDelta| if until - now > longest { now } else { until };
        match (&self.trouble, &self.kept) {
            (Some(trouble), _) => wait(trouble.try_after, RETRY_MAX),
            (None, Some(kept)) => wait(kept.at + age_max, age_max),
            (None, None) => now,
        }
    }

    /// Asks when it is due.
    pub async fn refresh(
        &mut self,
        now: DateTime<Utc>,
        age_max: TimeDelta,
        parse: impl FnOnce(&[u8]) -> Result<T, Unreadable>,
    ) {
        if self.due(now, age_max) > now {
            return;
        }
        match web::get(&self.address, self.conditions()).await {
            Ok(reply) if reply.status == 304 => match &mut self.kept {
                Some(kept) => {
                    kept.at = now;
                    self.keep();
                }
                None => self.failed(now, None, "the server says that nothing changed, and said nothing before".into()),
            },
            Ok(reply) => match parse(&reply.body) {
                Ok(content) => {
                    let header = |name| reply.headers.get(name).and_then(|value| Some(value.to_str().ok()?.to_owned()));
                    let (etag, last_modified) = (header(ETAG), header(LAST_MODIFIED));
                    self.kept = Some(Kept { at: now, address: self.address.clone(), etag, last_modified, content });
                    self.keep();
                }
                Err(unreadable) => self.failed(now, None, unreadable.to_string()),
            },
            Err(error) => self.failed(now, error.status(), error.to_string()),
        }
    }

    fn conditions(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value: Option<&String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        };
        add(IF_NONE_MATCH, self.kept.as_ref().and_then(|kept| kept.etag.as_ref()));
        add(IF_MODIFIED_SINCE, self.kept.as_ref().and_then(|kept| kept.last_modified.as_ref()));
        headers
    }

    fn keep(&mut self) {
        self.trouble = None;
        let Some(kept) = &self.kept else { return };
        let written = self.file.parent().map_or(Ok(()), disk::make_private).and_then(|()| {
            let text = serde_json::to_vec(kept)?;
            disk::write_durably(&self.file, &text)
        });
        if let Err(error) = written {
            tracing::warn!(file = %self.file.display(), %error, "what was looked up can't be kept");
        }
    }

    fn failed(&mut self, now: DateTime<Utc>, status: Option<u16>, text: String) {
        tracing::debug!(file = %self.file.display(), %text, "a lookup failed");
        let failures = self.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        let pause = (RETRY_FIRST * (1 << (failures - 1).min(8))).min(RETRY_MAX);
        self.trouble = Some(Trouble { failures, status, text, try_after: now + pause });
    }
}

/// What is not there or not readable is asked for anew.
fn read<T: DeserializeOwned>(file: &Path) -> Option<Kept<T>> {
    if fs::metadata(file).ok()?.len() > REPLY_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}
