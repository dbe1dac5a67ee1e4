//! A record of each conversation with a phone, without contents and names: what `backstay report --session` saves, so
//! that a person can show how a real iPhone converses. It is always made, and never fails anything.
//!
//! Which lines answer what only a phone can tell:
//!
//! | question | lines |
//! |---|---|
//! | Is a file that could not be read moved, listed, and with which size? Which files are they? | `* unreadable` (code, bytes before, text, shape), `* moved`, `* row` |
//! | Does the run after a broken first backup go on, start over or end with 205? | `* tree` (`state`, `snapshot`, `kept`), the messages after it, `* end` |
//! | Which folders are listed at the start and the end? | `< DLContentsOfDirectory` and the `> status` after it, by their place among `* batch` |
//! | Does a forced full run remove old files? How long do messages get? | `> Backup Options={ForceFullBackup:true}`, `< DLMessageRemoveItems` (`items`, `kinds`), `* totals` (`most-…`, `largest-message`) |
//! | Does a path begin with a slash? What does Cancel on the phone post? | `to` and `kinds` of `* batch` and of messages, `* end refused=`; `* notification` |
//! | The longest silence, and what came before it? Heartbeats during a transfer? | `* silence`, `* totals longest-silence`; `* heartbeat` |
//! | In a restore: messages that move, copy or upload? An answer before the restart? | `<` lines after `> Restore`, `* end` |
//! | Does Finder list and restore our tree? | not in a record: a person looks |
//! | Are certificates of this profile accepted? | `* pairing` and that anything follows it |

mod about;
mod again;
mod batch;
mod counts;
mod log;
mod message;
mod shape;
mod unreadable;
mod words;

use std::{
    io,
    time::{Duration, Instant},
};

pub use self::{
    about::{begin, tell_heartbeats, tell_phone, tell_tree},
    log::{Line, Log, begun_at, newest},
    unreadable::Unreadables,
};
use self::{again::Again, batch::Batch, counts::Counts, shape::shape, words::plain};
use backstay_shared::health::Failure;

use super::{DiskError, Refused, TransferError, device_link_code, place::Place, value::Value};
use crate::vault::name::Name;

/// A longer silence gets a line.
const SILENCE: Duration = Duration::from_secs(5);

/// What writes down one conversation; without a file it does nothing.
#[derive(Debug, Default)]
pub struct Recorder(Option<Box<State>>);

#[derive(Debug)]
struct State {
    log: Log,
    udid: String,
    /// Since when the phone has owed something.
    waiting_since: Option<Instant>,
    /// The last message of the phone.
    asked: String,
    /// Messages that are as the one before.
    again: Again,
    /// Files on their way to here.
    upload: Option<Batch>,
    /// Files on their way to the phone.
    download: Option<Batch>,
    /// The file that comes.
    device_path: String,
    file_path: String,
    unreadables: Unreadables,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    messages: Counts,
    bytes_came: u64,
    files: u64,
    largest_message: usize,
    most_moved: usize,
    most_removed: usize,
    longest_silence: Duration,
    bytes_before: u64,
}

impl Recorder {
    /// Writes to this file about the phone of this identifier.
    pub fn new(log: Log, udid: &str) -> Self {
        Self(Some(Box::new(State {
            log,
            udid: udid.to_owned(),
            waiting_since: None,
            asked: String::new(),
            again: Again::default(),
            upload: None,
            download: None,
            device_path: String::new(),
            file_path: String::new(),
            unreadables: Unreadables::default(),
            totals: Totals::default(),
        })))
    }

    /// The phone owes something; also called again while it does.
    pub fn waits(&mut self) {
        if let Some(state) = &mut self.0 {
            state.waiting_since.get_or_insert_with(Instant::now);
        }
    }

    /// So many bytes came from the phone.
    pub fn got(&mut self, bytes: usize) {
        if let Some(state) = &mut self.0 {
            state.tell_silence();
            state.totals.bytes_came += bytes as u64;
        }
    }

    /// A message came. It is recorded before it is checked.
    pub fn came(&mut self, bytes: &[u8]) {
        if let Some(state) = &mut self.0 {
            state.came(bytes);
        }
    }

    /// A message went.
    pub fn went(&mut self, items: &[plist::Value]) {
        if let Some(state) = &mut self.0 {
            state.went(items);
        }
    }

    /// A file comes.
    pub fn file(&mut self, device_path: &str, file_path: &str) {
        if let Some(state) = &mut self.0
            && let Some(batch) = &mut state.upload
        {
            batch.named(Some(device_path), file_path, &state.udid);
            device_path.clone_into(&mut state.device_path);
            file_path.clone_into(&mut state.file_path);
        }
    }

    /// A block of it.
    pub fn block(&mut self, bytes: usize) {
        if let Some(batch) = self.0.as_mut().and_then(|state| state.upload.as_mut()) {
            batch.block(bytes as u64);
        }
    }

    /// It ended with this code.
    pub fn file_ended(&mut self, code: u8, empty_word: bool) {
        if let Some(batch) = self.0.as_mut().and_then(|state| state.upload.as_mut()) {
            batch.ended(&format!("{code:#04x}{}", if empty_word { "-empty" } else { "" }));
        }
    }

    /// The phone could not read it.
    pub fn unreadable(&mut self, code: u8, text: &str) {
        if let Some(state) = &mut self.0 {
            state.unreadable(code, text);
        }
    }

    /// A file went to the phone, or why not.
    pub fn sent(&mut self, place: &Place, bytes: u64, error: Option<&io::Error>) {
        if let Some(state) = &mut self.0
            && let Some(batch) = &mut state.download
        {
            batch.named(None, place.as_str(), &state.udid);
            batch.block(bytes);
            match error {
                None => batch.ended("0x00"),
                Some(error) => batch.ended(&device_link_code(error).to_string()),
            };
        }
    }

    /// The conversation is over, and how; afterwards only what is found in the backup is added.
    pub fn ended(&mut self, outcome: Result<&(), &TransferError>, disk_error: Option<&DiskError>) -> Ending {
        let Some(state) = &mut self.0 else { return Ending::default() };
        state.tell_silence();
        state.again.tell(&state.log);
        state.end_batches(outcome.is_err());
        state.unreadables.tell_moves(&state.log);
        state.log.last_line(state.totals_line());
        state.log.last_line(end_line(outcome, disk_error, &state.udid));
        state.log.flush();
        Ending { log: state.log.clone(), unreadables: std::mem::take(&mut state.unreadables) }
    }
}

/// What is left of a record when the conversation is over.
#[derive(Debug, Default, Clone)]
pub struct Ending {
    /// Where to write.
    pub log: Log,
    /// Whose rows are looked for.
    pub unreadables: Unreadables,
}

impl State {
    fn came(&mut self, bytes: &[u8]) {
        let totals = &mut self.totals;
        totals.largest_message = totals.largest_message.max(bytes.len());
        let items = match Value::parse(bytes) {
            Ok(Value::List(items)) => items,
            Ok(_) | Err(_) => {
                self.again.tell(&self.log);
                return self.log.line(Line::new('<', "no-message").with("message-bytes", bytes.len()));
            }
        };
        let name = message::name(items.first().and_then(Value::text).unwrap_or_default());
        totals.messages.add(&name);
        match items.get(1) {
            Some(Value::Map(moves)) if name.starts_with("DLMessageMove") => {
                totals.most_moved = totals.most_moved.max(moves.len());
                if self.unreadables.count > 0 {
                    for (from, _) in moves {
                        let below = from.split_once('/').map_or("", |(_, below)| below);
                        self.unreadables.moved(&Name::new(below));
                    }
                }
            }
            Some(Value::List(paths)) if name.starts_with("DLMessageRemove") => {
                totals.most_removed = totals.most_removed.max(paths.len());
            }
            _ => {}
        }
        self.again.asked(&self.log, message::of_phone(bytes.len(), &items, &self.udid));
        self.upload = (name == "DLMessageUploadFiles").then(Batch::new);
        self.download = (name == "DLMessageDownloadFiles").then(Batch::new);
        self.asked = name;
    }

    fn went(&mut self, items: &[plist::Value]) {
        self.end_batches(false);
        let text = |at: usize| items.get(at).and_then(plist::Value::as_string);
        let line = match (text(0), items.get(1)) {
            (Some("DLMessageProcessMessage"), Some(plist::Value::Dictionary(content))) => message::request(content),
            (Some("DLMessageStatusResponse"), _) => {
                message::status(items, &self.udid, self.asked == "DLMessageGetFreeDiskSpace")
            }
            (Some("DLMessageVersionExchange"), _) => Line::new('>', "DLMessageVersionExchange")
                .with("answer", text(1).map_or_else(String::new, message::name))
                .with_some("version", items.get(2).and_then(plist::Value::as_signed_integer)),
            (other, _) => Line::new('>', &other.map_or_else(|| "no-name".into(), message::name)),
        };
        self.again.answered(&self.log, line, items);
        // What was said up to here outlives a crash.
        self.log.flush();
    }

    fn unreadable(&mut self, code: u8, text: &str) {
        let Some(batch) = &mut self.upload else { return };
        let before = batch.ended(&format!("{code:#04x}"));
        let (device_path, file_path) = (&self.device_path, &self.file_path);
        let below = file_path.split_once('/').map_or("", |(_, below)| below);
        let Some(number) = self.unreadables.add(&Name::new(below)) else { return };
        let line = Line::new('*', "unreadable").with("number", number).with("file", batch.files);
        let line = line.with("code", format!("{code:#04x}")).with("before", before);
        let line = line.with("text", plain(text, &self.udid)).with("from", shape(device_path, &self.udid));
        self.log.line(line.with("to", shape(file_path, &self.udid)));
    }

    fn end_batches(&mut self, broken: bool) {
        if let Some(batch) = self.upload.take() {
            self.totals.files += batch.files;
            self.tell_batch(batch.line("batch", broken), broken);
        }
        if let Some(batch) = self.download.take() {
            self.tell_batch(batch.line("fetched", broken), broken);
        }
    }

    fn tell_batch(&self, line: Line, broken: bool) {
        if broken { self.log.last_line(line) } else { self.log.line(line) }
    }

    /// One that was too long, if it is over now.
    fn tell_silence(&mut self) {
        let Some(silent) = self.waiting_since.take().map(|since| since.elapsed()).filter(|time| *time > SILENCE) else {
            return;
        };
        self.again.tell(&self.log);
        let bytes = self.totals.bytes_came;
        if silent > self.totals.longest_silence {
            (self.totals.longest_silence, self.totals.bytes_before) = (silent, bytes);
        }
        let line = Line::new('*', "silence").with("seconds", format!("{:.1}", silent.as_secs_f64()));
        let line = line.with("after", if self.asked.is_empty() { "nothing" } else { &self.asked }).with("bytes", bytes);
        let line = match &self.upload {
            Some(batch) => line.with("batch-files", batch.files).with("in-a-file", yes(batch.current.is_some())),
            None => line,
        };
        self.log.line(line);
        self.log.flush();
    }

    fn totals_line(&self) -> Line {
        let totals = &self.totals;
        let line = Line::new('*', "totals").with("messages", &totals.messages).with("files", totals.files);
        let line = line.with("bytes", totals.bytes_came).with("unreadable", self.unreadables.count);
        let line = line.with("largest-message", totals.largest_message).with("most-moved", totals.most_moved);
        let line = line.with("most-removed", totals.most_removed);
        let line = line.with("longest-silence", format!("{:.1}", totals.longest_silence.as_secs_f64()));
        line.with("bytes-before-it", totals.bytes_before).with("lines-left-out", self.log.left_out())
    }
}

fn end_line(outcome: Result<&(), &TransferError>, disk_error: Option<&DiskError>, udid: &str) -> Line {
    let line = Line::new('*', "end");
    let line = match outcome {
        Ok(&()) => line.with("how", "success"),
        Err(error) => match error {
            TransferError::LinkLost(error) => {
                line.with("how", "link-lost").with("errno", error.raw_os_error().unwrap_or(0))
            }
            TransferError::Refused(Refused::Path { path, why }) => {
                line.with("how", "refused").with("refused", shape(path, udid)).with("why", why)
            }
            TransferError::Refused(Refused::Length { what, bytes, .. }) => {
                line.with("how", "refused").with("refused", what).with("length", bytes)
            }
            TransferError::Refused(Refused::Malformed { what }) => {
                line.with("how", "refused").with("refused", plain(what, udid))
            }
            TransferError::Device { code, text } => {
                line.with("how", "phone-error").with("code", code).with("text", plain(text, udid))
            }
            TransferError::NoCommonVersion => line.with("how", "no-common-version"),
            TransferError::NoResult => line.with("how", "no-result"),
            TransferError::Stalled { seconds } => line.with("how", "stalled").with("seconds", seconds),
            TransferError::LinkDead { seconds } => line.with("how", "link-dead").with("seconds", seconds),
            TransferError::NobodyTyped { seconds } => line.with("how", "nobody-typed").with("seconds", seconds),
            TransferError::DiskFailed => line.with("how", "disk-failed"),
            TransferError::Busy { seconds } => line.with("how", "busy").with("seconds", seconds),
            TransferError::CancelledOnPhone => line.with("how", "cancelled-on-phone"),
            TransferError::Cancelled => line.with("how", "cancelled"),
        },
    };
    match disk_error {
        Some(DiskError { operation, source, .. }) => {
            line.with("disk", operation).with("errno", source.raw_os_error().unwrap_or(0))
        }
        None => line,
    }
}

/// What became of the run, under the name that the catalogue of failures has for it.
pub fn tell_result(log: &Log, failure: Option<&Failure>) {
    log.last_line(
        Line::new('*', "run").with("failure", failure.map_or_else(|| "none".into(), |failure| failure.id.to_string())),
    );
    log.flush();
}

fn yes(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}
