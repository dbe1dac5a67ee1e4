//! A phone asks for some hundred folders in a row: one line for all that are of one kind.

use super::log::{Line, Log};

/// Messages that differ in nothing but the folder.
const OF_FOLDERS: [&str; 2] = ["DLContentsOfDirectory", "DLMessageCreateDirectory"];

/// What was asked last, and how often more.
#[derive(Debug, Default)]
pub(super) struct Again {
    last: Option<Line>,
    times: u64,
    entries: u64,
    /// The last message was counted; its answer is, too, if it is a plain one.
    counts: bool,
}

impl Again {
    /// The phone asks.
    pub(super) fn asked(&mut self, log: &Log, line: Line) {
        self.counts = OF_FOLDERS.contains(&line.name()) && self.last.as_ref() == Some(&line);
        if self.counts {
            self.times += 1;
            return;
        }
        self.tell(log);
        self.last = Some(line.clone());
        log.line(line);
    }

    /// It is answered so; `items` is the message itself.
    pub(super) fn answered(&mut self, log: &Log, line: Line, items: &[plist::Value]) {
        let is_plain = items.get(1).and_then(plist::Value::as_signed_integer) == Some(0);
        if self.counts && is_plain {
            let listed = items.get(3).and_then(plist::Value::as_dictionary).map_or(0, plist::Dictionary::len);
            self.entries += listed as u64;
            return;
        }
        self.tell(log);
        log.line(line);
    }

    /// What was counted, before any other line.
    pub(super) fn tell(&mut self, log: &Log) {
        if self.times > 0 {
            log.line(Line::new('*', "again").with("times", self.times).with("entries", self.entries));
        }
        (self.times, self.entries) = (0, 0);
    }
}
