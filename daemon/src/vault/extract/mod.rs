//! Takes files out of a snapshot, under the names that the person knows.
//!
//! One thread reads the manifest, some write files, and the caller hears of every file; all of them over bounded
//! queues, so memory is flat. Nothing is written outside the destination, through a link, or over what is there.

pub mod names;
pub mod selection;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use self::selection::Selection;
use super::{
    manifest::{ManifestError, ManifestFile, Rows},
    proof::Rule,
    reader::Reader,
    verify::Finding,
};
use crate::transfer::{DiskError, folders::Folders, place::Place};

const THREADS: usize = 4;

/// Files on the way between the threads.
const QUEUE_LENGTH: usize = 256;

/// A large file is told about, and can be stopped, after each piece.
const PIECE_BYTES: u64 = 16 * 1024 * 1024;

/// What is to be taken out, and where to.
#[derive(Debug)]
pub struct Order<'a> {
    /// Which files.
    pub selection: &'a Selection,
    /// An existing folder.
    pub destination: &'a Path,
    /// Replace what is there.
    pub overwrite: bool,
}

/// What became of a file, told as it happens.
#[derive(Debug)]
pub enum Event {
    /// So many bytes more are there.
    Copied {
        /// How many.
        bytes: u64,
    },
    /// A file is there.
    Done,
    /// Something of that name is there and was left as it is.
    Existing {
        /// Where.
        path: PathBuf,
    },
    /// The backup does not hold it as its manifest says.
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
    modified: Option<SystemTime>,
}

impl Item {
    fn new(file: &ManifestFile<'_>) -> Self {
        Self {
            file_id: file.file_id.to_owned(),
            domain: file.domain.to_owned(),
            relative_path: file.relative_path.to_owned(),
            key: file.record.key.map(<[u8]>::to_vec),
            modified: modified(file),
        }
    }
}

/// When the phone changed the file last, as far as its row tells.
pub fn modified(file: &ManifestFile<'_>) -> Option<SystemTime> {
    let seconds = file.record.modified?;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    if seconds < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) }
}

/// Takes the files out; `tell` hears of each.
///
/// # Errors
/// When it ended before all files were tried.
pub fn extract(
    reader: &Reader,
    order: &Order<'_>,
    cancel: &AtomicBool,
    mut tell: impl FnMut(Event),
) -> Result<(), ExtractError> {
    let mut workers = Vec::new();
    for _ in 0..THREADS {
        workers.push(Worker::new(reader, order, cancel)?);
    }
    let stop = AtomicBool::new(false);
    let (items, queue) = bounded(QUEUE_LENGTH);
    let (events, heard) = bounded(QUEUE_LENGTH);
    thread::scope(|scope| {
        let scan = scope.spawn(|| {
            let items = items;
            reader.manifest().for_each_file(|file| {
                if order.selection.holds(&file) && !stop.load(Ordering::Relaxed) && !cancel.load(Ordering::Relaxed) {
                    // The workers are gone only when they have stopped.
                    drop(items.send(Item::new(&file)));
                }
            })
        });
        let working: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                let (queue, events, stop) = (queue.clone(), events.clone(), &stop);
                scope.spawn(move || {
                    let done = worker.run(&queue, &events);
                    if done.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    done
                })
            })
            .collect();
        drop((queue, events));
        for event in heard {
            tell(event);
        }
        let ended_early = || io::Error::other("a thread ended early");
        let at_destination = |source| disk_error("writing", order.destination, source);
        for worker in working {
            worker.join().unwrap_or_else(|_| Err(at_destination(ended_early())))?;
        }
        scan.join().unwrap_or_else(|_| Ok(Rows::default()))?;
        if cancel.load(Ordering::Relaxed) { Err(ExtractError::Cancelled) } else { Ok(()) }
    })
}

fn disk_error(operation: &'static str, path: &Path, source: io::Error) -> DiskError {
    DiskError { operation, path: path.to_owned(), source }
}

struct Worker<'a> {
    reader: &'a Reader,
    order: &'a Order<'a>,
    cancel: &'a AtomicBool,
    source: Folders,
    target: Folders,
    /// The folder of the file before: most files share it.
    made: Option<String>,
}

impl<'a> Worker<'a> {
    fn new(reader: &'a Reader, order: &'a Order<'a>, cancel: &'a AtomicBool) -> Result<Self, DiskError> {
        let open = |path: &Path| Folders::open(path, None).map_err(|source| disk_error("opening", path, source));
        let (source, target) = (open(reader.tree())?, open(order.destination)?);
        Ok(Self { reader, order, cancel, source, target, made: None })
    }

    fn run(mut self, queue: &Receiver<Item>, events: &Sender<Event>) -> Result<(), DiskError> {
        for item in queue {
            if self.cancel.load(Ordering::Relaxed) {
                break;
            }
            let event = match self.take_out(&item, events) {
                Ok(event) => event,
                Err(Trouble::Damaged(what)) => Event::Damaged(Finding {
                    path: self.reader.tree().join(&item.file_id[..2]).join(&item.file_id),
                    domain: item.domain,
                    relative_path: item.relative_path,
                    what,
                    rule: Rule::Form,
                }),
                Err(Trouble::Target(error)) if is_about_one_file(&error.source) => Event::Unwritable(error),
                Err(Trouble::Target(error)) => return Err(error),
            };
            if events.send(event).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn take_out(&mut self, item: &Item, events: &Sender<Event>) -> Result<Event, Trouble> {
        let payload =
            Place::of_components([&item.file_id[..2], &item.file_id]).ok_or(Trouble::Damaged("has no name"))?;
        let place = names::place_of(&item.domain, &item.relative_path)
            .ok_or(Trouble::Damaged("has a name that leaves its folder"))?;
        let file = self.source.read(&payload).map_err(|error| Trouble::of_source(&error))?;
        let mut content = self.reader.content(file, item.key.as_deref()).map_err(|error| Trouble::of_source(&error))?;
        let path = self.order.destination.join(place.as_str());
        let target_trouble = |operation| {
            let path = path.clone();
            move |source| Trouble::Target(DiskError { operation, path, source })
        };
        let folder = place.split().0;
        if self.made.as_deref() != Some(folder) {
            let folder_place = Place::of_components(folder.split('/')).ok_or(Trouble::Damaged("has no folder"))?;
            self.target.create_folder(&folder_place).map_err(|error| match error.kind() {
                // Something that is no folder, or a link, is in the way.
                io::ErrorKind::AlreadyExists => target_trouble("creating")(io::ErrorKind::NotADirectory.into()),
                _ => target_trouble("creating")(error),
            })?;
            self.made = Some(folder.to_owned());
        }
        let created = if self.order.overwrite { self.target.create(&place) } else { self.target.create_new(&place) };
        let mut target = match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Event::Existing { path }),
            created => created.map_err(target_trouble("creating"))?,
        };
        let copied = self.copy(&mut content, &mut target, events);
        if !matches!(copied, Ok(true)) {
            // A part of a file is worse than none; the trouble itself is what is told.
            drop(self.target.remove_file(&place));
        }
        match copied {
            Ok(true) => {
                if let Some(Err(error)) = item.modified.map(|modified| target.set_modified(modified)) {
                    tracing::debug!(path = %path.display(), %error, "the time of a file can't be set");
                }
                Ok(Event::Done)
            }
            Ok(false) => Ok(Event::Copied { bytes: 0 }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Trouble::of_source(&error)),
            Err(error) => Err(target_trouble("writing")(error)),
        }
    }

    /// False when it was stopped.
    fn copy(
        &self,
        content: &mut super::reader::Content,
        target: &mut File,
        events: &Sender<Event>,
    ) -> io::Result<bool> {
        loop {
            match content.copy_piece(target, PIECE_BYTES)? {
                0 => return Ok(true),
                // Nobody listens when the caller is gone, and then this ends with the next file.
                bytes => drop(events.send(Event::Copied { bytes })),
            }
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
    }
}

enum Trouble {
    Damaged(&'static str),
    Target(DiskError),
}

impl Trouble {
    fn of_source(error: &io::Error) -> Self {
        Self::Damaged(match error.kind() {
            io::ErrorKind::NotFound => "is missing",
            io::ErrorKind::IsADirectory => "is no file",
            io::ErrorKind::InvalidData => "does not end as an encrypted file does, or has a key of another backup",
            _ => "can't be read",
        })
    }
}

/// True for what another file need not meet.
pub(crate) fn is_about_one_file(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    matches!(error.kind(), FileTooLarge | InvalidFilename | InvalidInput | IsADirectory | NotADirectory)
}
