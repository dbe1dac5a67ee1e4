//! Takes files out of a snapshot, under the names that the person knows.
//!
//! One thread reads the manifest, some write files, and the caller hears of every file; all of them over bounded
//! queues, so memory is flat but for names that some disk could take for one: these come last, in a fixed order. Nothing
//! is written outside the destination, through a link, or over what is there.

pub mod names;
pub mod placing;
pub mod selection;
pub mod spelling;
pub mod twins;
mod worker;

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crossbeam_channel::{Sender, bounded};

use self::{placing::NamesInUse, selection::Selection, twins::Twins, worker::Worker};
use super::{
    manifest::{ManifestError, ManifestFile, Rows},
    proof::Sha1,
    reader::Reader,
    verify::Finding,
};
use crate::transfer::DiskError;

const THREADS: usize = 4;

/// Files on the way between the threads.
const QUEUE_LENGTH: usize = 256;

/// What is to be taken out, and where to.
#[derive(Debug)]
pub struct Order<'a> {
    /// Which files.
    pub selection: &'a Selection,
    /// Those of them with names that some disk could take for one.
    pub twins: &'a Twins,
    /// An existing folder.
    pub destination: &'a Path,
    /// Replace what is there.
    pub overwrite: bool,
}

/// What became of a file, told as it happens.
#[derive(Debug)]
pub enum Event {
    /// So many bytes more were written; their file goes again when it proves to be damaged.
    Copied {
        /// How many.
        bytes: u64,
    },
    /// A file is there, and whole.
    Done {
        /// How long it is.
        bytes: u64,
    },
    /// Something of that name is there and was left as it is.
    Existing {
        /// Where.
        path: PathBuf,
    },
    /// A file or a folder is there under another name than the phone's, which the disk does not take.
    Renamed {
        /// As the phone calls it.
        domain: String,
        /// Below the domain; empty for the domain itself.
        relative_path: String,
        /// Where it is.
        path: PathBuf,
    },
    /// The backup does not hold it as it should, and nothing of it is written.
    Damaged(Finding),
    /// The destination takes no file of that name or size; the others may go.
    Unwritable(DiskError),
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The manifest can't be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The destination can't be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A person stopped it.
    #[error("stopped on request")]
    Cancelled,
}

/// A row on its way to a thread.
struct Item {
    file_id: String,
    domain: String,
    relative_path: String,
    key: Option<Vec<u8>>,
    digest: Option<Sha1>,
    modified: Option<i64>,
}

impl Item {
    fn new(file: &ManifestFile<'_>) -> Self {
        Self {
            file_id: file.file_id.to_owned(),
            domain: file.domain.to_owned(),
            relative_path: file.relative_path.to_owned(),
            key: file.record.key.map(<[u8]>::to_vec),
            digest: file.record.digest.and_then(|digest| Sha1::try_from(digest).ok()),
            modified: file.record.modified,
        }
    }
}

/// Takes the files out; `tell` hears of each. What the manifest holds beside them is returned.
///
/// # Errors
/// When it ended before all files were tried.
pub fn extract(
    reader: &Reader,
    order: &Order<'_>,
    cancel: &AtomicBool,
    mut tell: impl FnMut(Event),
) -> Result<Rows, ExtractError> {
    let (events, heard) = bounded(QUEUE_LENGTH);
    thread::scope(|scope| {
        let conductor = scope.spawn(|| conduct(reader, order, cancel, events));
        for event in heard {
            tell(event);
        }
        let rows = conductor.join().unwrap_or_else(|_| Err(ended_early(order)))?;
        if cancel.load(Ordering::Relaxed) { Err(ExtractError::Cancelled) } else { Ok(rows) }
    })
}

/// First the files whose names are theirs alone, by several threads; then the others, in the order of their names.
fn conduct(
    reader: &Reader,
    order: &Order<'_>,
    cancel: &AtomicBool,
    events: Sender<Event>,
) -> Result<Rows, ExtractError> {
    let in_use = NamesInUse::default();
    let worker = || Worker::new(reader, order, cancel, &in_use);
    let workers = (0..THREADS).map(|_| worker()).collect::<Result<Vec<_>, _>>()?;
    let stop = AtomicBool::new(false);
    let (items, queue) = bounded(QUEUE_LENGTH);
    let (rows, mut twins) = thread::scope(|scope| {
        let scan = scope.spawn(|| {
            let (items, mut twins) = (items, Vec::new());
            let rows = reader.manifest().for_each_file(|file| {
                if !order.selection.holds(&file) || stop.load(Ordering::Relaxed) || cancel.load(Ordering::Relaxed) {
                    return;
                }
                if order.twins.concern(file.domain, file.relative_path) {
                    twins.push(Item::new(&file));
                } else {
                    // The workers are gone only when they have stopped.
                    drop(items.send(Item::new(&file)));
                }
            });
            rows.map(|rows| (rows, twins))
        });
        let working: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                let (queue, events, stop) = (queue.clone(), &events, &stop);
                scope.spawn(move || {
                    let done = worker.run(queue, events);
                    if done.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    done
                })
            })
            .collect();
        drop(queue);
        for worker in working {
            worker.join().map_err(|_| ended_early(order))??;
        }
        Ok::<_, ExtractError>(scan.join().map_err(|_| ended_early(order))??)
    })?;
    twins.sort_by(|one: &Item, other| (&one.domain, &one.relative_path).cmp(&(&other.domain, &other.relative_path)));
    worker()?.run(twins, &events)?;
    Ok(rows)
}

fn ended_early(order: &Order<'_>) -> ExtractError {
    disk_error("writing", order.destination, io::Error::other("a thread ended early")).into()
}

fn disk_error(operation: &'static str, path: &Path, source: io::Error) -> DiskError {
    DiskError { operation, path: path.to_owned(), source }
}

/// True for what another file need not meet.
pub(crate) fn is_about_one_file(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    matches!(error.kind(), FileTooLarge | InvalidFilename | InvalidInput | IsADirectory | NotADirectory)
}

#[cfg(test)]
mod tests;
