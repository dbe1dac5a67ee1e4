//! The file of a record: bounded, of this user alone, and never a reason for anything to fail.

use std::{
    fmt::Display,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use backstay_shared::{ids::Udid, paths::make_own_folder};
use chrono::{DateTime, Utc};

/// The first line of a record; the number grows when lines change their meaning.
pub(super) const VERSION_LINE: &str = "backstay-session 1";

/// What stands at the top of each, so that a person can judge what is passed on.
const ABOUT: &str = "\
# What this is: how an iPhone and Backstay talked to each other once, for those who work on Backstay.
# What is in it: which messages went, when, how large and how many; counts and sizes of files; codes and the
#   iPhone's error texts; the models and versions of the iPhone and of this computer's system.
# What is not in it: contents, passwords, keys, and names. Paths are shapes: U stands for the iPhone's identifier,
#   xx/<file> for a file of the backup, <7> for a name of 7 characters; only names that every iPhone has are kept.
# How to read it: seconds since the beginning, then < from the iPhone, > to the iPhone or * seen here, then what it
#   was and its figures. \"batch\" is what came after a DLMessageUploadFiles: codes are 0x00 whole, 0x06 or 0x0b not
#   readable, 0x0b-empty an end that says nothing, none a list that ended first. \"again\": the iPhone asked for the
#   same kind of folder so many times more, and was answered with 0.
";

/// A record that is full takes no more lines of single messages; they are counted, and the end is still written.
pub(super) const BYTES_MAX: u64 = 4 << 20;

/// Records that are kept of each phone.
const KEPT: usize = 3;

/// What is written may wait so long.
const UNWRITTEN_MAX: Duration = Duration::from_secs(1);

/// One line: what it is about, and figures with names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(String);

impl Line {
    /// Begins one; `mark` is `<`, `>` or `*`.
    pub fn new(mark: char, name: &str) -> Self {
        Self(format!("{mark} {name}"))
    }

    /// One more figure; a value with spaces gets quotes.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        let value = value.to_string().replace(['"', '\n', '\r'], "'");
        let quote = if value.is_empty() || value.contains(' ') { "\"" } else { "" };
        self.0.push_str(&format!(" {key}={quote}{value}{quote}"));
        self
    }

    /// Without its figures.
    pub fn name(&self) -> &str {
        let mut words = self.0.split(' ').skip(1);
        words.next().unwrap_or_default()
    }

    /// One more figure, if there is one.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

/// Where lines go. Clones write to the same file; without a file they go nowhere.
#[derive(Debug, Clone, Default)]
pub struct Log(Option<Arc<Mutex<Open>>>);

#[derive(Debug)]
struct Open {
    /// None after the disk refused.
    out: Option<BufWriter<File>>,
    begun: Instant,
    written_at: Instant,
    bytes: u64,
    left_out: u64,
}

impl Log {
    /// Begins a new file in the state folder, and removes the oldest of this phone. A disk that refuses is only noted.
    pub fn begin(state_folder: &Path, udid: &Udid, kind: &str) -> Self {
        match begin(&folder_of(state_folder, udid), kind) {
            Ok(file) => {
                let now = Instant::now();
                let out = Some(BufWriter::new(file));
                let mut open = Open { out, begun: now, written_at: now, bytes: 0, left_out: 0 };
                open.put(&format!("{VERSION_LINE}\n{ABOUT}"));
                Self(Some(Arc::new(Mutex::new(open))))
            }
            Err(error) => {
                tracing::debug!(%error, "the conversation is not recorded");
                Self::default()
            }
        }
    }

    /// One line, unless the file is full.
    pub fn line(&self, line: Line) {
        self.with(|open| if open.bytes < BYTES_MAX { open.line(&line) } else { open.left_out += 1 });
    }

    /// One of the few lines at the end, which are written in any case.
    pub fn last_line(&self, line: Line) {
        self.with(|open| open.line(&line));
    }

    /// Lines that were left out.
    pub fn left_out(&self) -> u64 {
        let mut left_out = 0;
        self.with(|open| left_out = open.left_out);
        left_out
    }

    /// Hands what was written to the system, so that it outlives this process.
    pub fn flush(&self) {
        self.with(Open::flush);
    }

    fn with(&self, act: impl FnOnce(&mut Open)) {
        if let Some(open) = &self.0 {
            act(&mut open.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Open {
    fn line(&mut self, line: &Line) {
        self.put(&format!("{:.3} {}\n", self.begun.elapsed().as_secs_f64(), line.0));
        if self.written_at.elapsed() > UNWRITTEN_MAX {
            self.flush();
        }
    }

    fn put(&mut self, text: &str) {
        self.bytes += text.len() as u64;
        self.try_to(|out| out.write_all(text.as_bytes()));
    }

    fn flush(&mut self) {
        self.written_at = Instant::now();
        self.try_to(BufWriter::flush);
    }

    fn try_to(&mut self, act: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        if let Some(Err(error)) = self.out.as_mut().map(act) {
            tracing::debug!(%error, "the record of the conversation ends here");
            self.out = None;
        }
    }
}

/// Where the records of one phone are.
fn folder_of(state_folder: &Path, udid: &Udid) -> PathBuf {
    state_folder.join("sessions").join(udid.as_str())
}

fn begin(folder: &Path, kind: &str) -> io::Result<File> {
    make_own_folder(folder)?;
    let mut old = files_in(folder);
    old.sort();
    for file in old.iter().rev().skip(KEPT - 1) {
        fs::remove_file(file)?;
    }
    let stamp = Utc::now().format("%Y-%m-%dT%H%M%S%.3fZ");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let opened = options.open(folder.join(format!("{stamp}-{kind}.txt")));
    match opened {
        // Two in one millisecond.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.open(folder.join(format!("{stamp}-{kind}-{}.txt", uuid::Uuid::new_v4().simple())))
        }
        opened => opened,
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "txt")).collect()
}

/// The newest record of each phone that has one, the newest of all last.
pub fn newest(state_folder: &Path) -> Vec<(Udid, PathBuf)> {
    let folders = fs::read_dir(state_folder.join("sessions")).into_iter().flatten().flatten();
    let phones = folders.filter_map(|entry| {
        let udid: Udid = entry.file_name().to_str()?.parse().ok()?;
        Some((udid, files_in(&entry.path()).into_iter().max()?))
    });
    let mut found: Vec<_> = phones.collect();
    // Their names begin with the time.
    found.sort_by(|(_, one), (_, other)| one.file_name().cmp(&other.file_name()));
    found
}

/// When the record of this file was begun, as its name tells.
pub fn begun_at(file: &Path) -> Option<DateTime<Utc>> {
    let stamp = file.file_stem()?.to_str()?.split_once('Z')?.0;
    chrono::NaiveDateTime::parse_from_str(stamp, "%Y-%m-%dT%H%M%S%.f").ok().map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_bounded_and_its_end_is_told() {
        let state = tempfile::tempdir().unwrap();
        let udid: Udid = "00008120-001A2D3E0C40201E".parse().unwrap();
        for _ in 0..5 {
            let log = Log::begin(state.path(), &udid, "backup");
            for _ in 0..100_000 {
                log.line(
                    Line::new('<', "DLMessageCreateDirectory").with("folder", "U/Snapshot/xx").with("text", "a \"b\""),
                );
            }
            assert!(log.left_out() > 20_000, "{}", log.left_out());
            log.last_line(Line::new('*', "end").with("left-out", log.left_out()));
            log.flush();
        }
        let files = files_in(&folder_of(state.path(), &udid));
        assert_eq!(files.len(), KEPT);
        let (_, newest) = newest(state.path()).pop().unwrap();
        assert_eq!(Some(&newest), files.iter().max());
        assert!(begun_at(&newest).is_some_and(|at| (Utc::now() - at).num_seconds() < 100));
        let text = fs::read_to_string(newest).unwrap();
        assert!((text.len() as u64) < BYTES_MAX + 1000, "{}", text.len());
        assert!(text.starts_with(VERSION_LINE) && text.contains(" text=\"a 'b'\"\n"), "{}", &text[..3000]);
        assert!(text.lines().last().unwrap().contains("* end left-out="));
    }

    #[test]
    fn a_folder_that_is_none_harms_nobody() {
        let state = tempfile::NamedTempFile::new().unwrap();
        let log = Log::begin(state.path(), &"00008120-001A2D3E0C40201E".parse().unwrap(), "backup");
        log.line(Line::new('*', "nothing"));
        log.flush();
    }
}
