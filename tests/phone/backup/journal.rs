//! What the phone remembers of a backup that is under way, or broke off: quince saw phones go on with the tree of a failed
//! run without a second transfer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    digests::{Stored, stored},
    encryption::Encryption,
    stop::Stop,
};
use crate::phone::{
    Phone,
    dataset::{DataFile, FileId},
};

/// The last backup that began to send files and did not end well.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Option<Run>>);

#[derive(Clone, Default)]
pub(super) struct Run {
    /// It did not build on the backup before.
    pub(super) full: bool,
    /// Files that were sent whole: of which version, and how many bytes.
    sent: HashMap<FileId, (Stored, u64)>,
}

impl Run {
    /// How many bytes it sent of this version of a file, if it did.
    pub(super) fn sent(&self, file: &DataFile, encryption: Option<&Encryption>) -> Option<u64> {
        let (version, length) = self.sent.get(&file.file_id)?;
        (*version == stored(file, encryption)).then_some(*length)
    }
}

impl Journal {
    fn run(&self) -> MutexGuard<'_, Option<Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run that broke off, if there is one.
    pub(super) fn broken(&self) -> Option<Run> {
        self.run().clone()
    }

    /// A run begins to send. What `kept` names it has from the one before.
    pub(super) fn begin(&self, full: bool, kept: impl Fn(FileId) -> bool) {
        let mut run = self.run();
        let mut sent = run.take().unwrap_or_default().sent;
        sent.retain(|id, _| kept(*id));
        *run = Some(Run { full, sent });
    }

    /// A file was sent whole.
    pub(super) fn note(&self, file: &DataFile, encryption: Option<&Encryption>, bytes: u64) {
        if let Some(run) = &mut *self.run() {
            run.sent.insert(file.file_id, (stored(file, encryption), bytes));
        }
    }

    /// The run ended well.
    pub(super) fn end(&self) {
        *self.run() = None;
    }
}

/// A backup that has its snapshot; dropped without its end the connection broke.
pub(super) struct UnderWay<'p> {
    phone: &'p Phone,
    abrupt: bool,
}

impl<'p> UnderWay<'p> {
    pub(super) fn new(phone: &'p Phone) -> Self {
        Self { phone, abrupt: true }
    }

    pub(super) fn ended(mut self, outcome: &Result<(), Stop>) {
        self.abrupt = matches!(outcome, Err(Stop::Link(_)));
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.abrupt {
            self.phone.ended_abruptly();
        }
    }
}
