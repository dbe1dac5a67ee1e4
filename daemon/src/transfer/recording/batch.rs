//! What came or went between two messages: files, counted.

use std::time::Instant;

use super::{
    counts::Counts,
    log::Line,
    shape::{device_kind, shape},
};

/// Files on their way, one list.
#[derive(Debug)]
pub(super) struct Batch {
    begun: Instant,
    /// Files that were named.
    pub(super) files: u64,
    whole: u64,
    /// Bytes of all of them.
    pub(super) bytes: u64,
    empty: u64,
    largest: u64,
    blocks: u64,
    largest_block: u64,
    codes: Counts,
    from: Counts,
    to: Counts,
    /// Bytes of the file that is under way.
    pub(super) current: Option<u64>,
}

impl Batch {
    /// Begins now.
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            files: 0,
            whole: 0,
            bytes: 0,
            empty: 0,
            largest: 0,
            blocks: 0,
            largest_block: 0,
            codes: Counts::default(),
            from: Counts::default(),
            to: Counts::default(),
            current: None,
        }
    }

    /// The next file; one that was under way ended without a code.
    pub(super) fn named(&mut self, device: Option<&str>, file: &str, udid: &str) {
        self.ended("none");
        self.files += 1;
        self.current = Some(0);
        if let Some(device) = device {
            self.from.add(device_kind(device));
        }
        self.to.add(&shape(file, udid));
    }

    /// A block of it.
    pub(super) fn block(&mut self, bytes: u64) {
        self.blocks += 1;
        self.largest_block = self.largest_block.max(bytes);
        self.bytes += bytes;
        if let Some(current) = &mut self.current {
            *current += bytes;
        }
    }

    /// Its end; how many bytes it had.
    pub(super) fn ended(&mut self, code: &str) -> u64 {
        let Some(bytes) = self.current.take() else { return 0 };
        self.codes.add(code);
        if code == "0x00" {
            self.whole += 1;
            self.empty += u64::from(bytes == 0);
            self.largest = self.largest.max(bytes);
        }
        bytes
    }

    /// What there was of it.
    pub(super) fn line(mut self, name: &str, broken: bool) -> Line {
        let unended = if broken { self.current.take() } else { None };
        self.ended("none");
        let line = Line::new('*', name).with("files", self.files).with("whole", self.whole).with("bytes", self.bytes);
        let line = line.with("empty", self.empty).with("largest", self.largest).with("codes", &self.codes);
        let line = if self.from.is_empty() { line } else { line.with("from", &self.from) };
        let line = line.with("to", &self.to).with("blocks", self.blocks).with("largest-block", self.largest_block);
        let line = if broken { line.with("broken", "yes") } else { line };
        line.with_some("in-a-file-after", unended).with("took", format!("{:.1}", self.begun.elapsed().as_secs_f64()))
    }
}
