//! Two threads that write what the phone sends, so that receiving never waits for a slow file system call.
//!
//! A file goes to one thread from its first byte to its last, so its blocks stay in order; small files go over whole.
//! The bytes on the way are bounded, hence so is memory.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{DiskError, folders::Folders, place::Place};

const THREADS: usize = 2;

/// Files that wait for a thread.
const QUEUE_LENGTH: usize = 256;

/// Bytes that wait for the disk; a read of the socket keeps 256 KiB alive at a time.
const BYTES_IN_FLIGHT_MAX: usize = 8 * 1024 * 1024;

enum Job {
    Whole {
        place: Place,
        content: Bytes,
    },
    Begin {
        place: Place,
    },
    Block {
        content: Bytes,
    },
    End,
    /// The file in hand is not to be kept.
    Abandon,
    /// Everything before this is on disk when the answer comes.
    Flush {
        done: Sender<()>,
    },
    Forget,
}

/// The threads and their queues.
#[derive(Debug)]
pub struct Writers {
    queues: Vec<Sender<Job>>,
    threads: Vec<thread::JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Whose turn it is; also who has the file that is being sent.
    turn: usize,
}

#[derive(Debug, Default)]
struct Shared {
    in_flight: Mutex<usize>,
    less: Condvar,
    error: Mutex<Option<DiskError>>,
}

impl Writers {
    /// Starts the threads; places are below `base`.
    ///
    /// # Errors
    /// When the folder can't be opened or a thread not be started.
    pub fn start(base: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for number in 0..THREADS {
            let (sender, receiver) = bounded(QUEUE_LENGTH);
            let mut worker = Worker { folders: Folders::open(base)?, base: base.to_owned(), shared: shared.clone() };
            let builder = thread::Builder::new().name(format!("disk-writer-{number}"));
            threads.push(builder.spawn(move || worker.run(&receiver))?);
            queues.push(sender);
        }
        Ok(Self { queues, threads, shared, turn: 0 })
    }

    fn send(&self, job: Job) {
        let bytes = match &job {
            Job::Whole { content, .. } | Job::Block { content } => content.len(),
            _ => 0,
        };
        if bytes > 0 {
            let in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            let mut in_flight = self
                .shared
                .less
                .wait_while(in_flight, |waiting| *waiting > 0 && *waiting + bytes > BYTES_IN_FLIGHT_MAX)
                .unwrap_or_else(PoisonError::into_inner);
            *in_flight += bytes;
        }
        if self.queues[self.turn].send(job).is_err() {
            self.shared.landed(bytes);
            self.shared.fail("writing", &PathBuf::new(), io::Error::other("the disk writer ended"));
        }
    }

    /// A file that is all here.
    pub fn whole(&mut self, place: Place, content: Bytes) {
        self.turn = (self.turn + 1) % self.queues.len();
        self.send(Job::Whole { place, content });
    }

    /// A file that comes in blocks.
    pub fn begin(&mut self, place: Place) {
        self.turn = (self.turn + 1) % self.queues.len();
        self.send(Job::Begin { place });
    }

    /// The next part of it.
    pub fn block(&self, content: Bytes) {
        self.send(Job::Block { content });
    }

    /// Its end.
    pub fn end(&self) {
        self.send(Job::End);
    }

    /// The phone could not read it to its end: what came is removed.
    pub fn abandon(&self) {
        self.send(Job::Abandon);
    }

    /// Waits until all of it is in the file system (not yet synced).
    pub fn drain(&self) {
        let waiting: Vec<Receiver<()>> = self
            .queues
            .iter()
            .filter_map(|queue| {
                let (done, waiting) = bounded(1);
                queue.send(Job::Flush { done }).ok().map(|()| waiting)
            })
            .collect();
        for done in waiting {
            if done.recv().is_err() {
                self.shared.fail("writing", &PathBuf::new(), io::Error::other("the disk writer ended"));
            }
        }
    }

    /// Folders were moved or removed: open handles would lead into the old ones.
    pub fn forget(&self) {
        for queue in &self.queues {
            // A writer that ended is told by the next drain.
            drop(queue.send(Job::Forget));
        }
    }

    /// The first error, which also explains all later ones.
    pub fn take_error(&self) -> Option<DiskError> {
        self.shared.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.queues.clear();
        for thread in self.threads.drain(..) {
            // A panic in there was printed by its own thread.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn fail(&self, operation: &'static str, path: &Path, source: io::Error) {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.get_or_insert(DiskError { operation, path: path.to_owned(), source });
    }

    fn landed(&self, bytes: usize) {
        *self.in_flight.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        self.less.notify_one();
    }
}

struct Worker {
    folders: Folders,
    base: PathBuf,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(&mut self, jobs: &Receiver<Job>) {
        let mut current: Option<(Place, File)> = None;
        for job in jobs {
            match job {
                Job::Whole { place, content } => {
                    let written = self.folders.create(&place).and_then(|mut file| file.write_all(&content));
                    self.note("writing", &place, written);
                    self.shared.landed(content.len());
                }
                Job::Begin { place } => match self.folders.create(&place) {
                    Ok(file) => current = Some((place, file)),
                    Err(error) => self.note("creating", &place, Err(error)),
                },
                Job::Block { content } => {
                    if let Some((place, file)) = &mut current
                        && let Err(error) = file.write_all(&content)
                    {
                        self.shared.fail("writing", &self.base.join(place.as_str()), error);
                        current = None;
                    }
                    self.shared.landed(content.len());
                }
                Job::End => current = None,
                Job::Abandon => {
                    if let Some((place, _)) = current.take() {
                        let removed = self.folders.remove_file(&place).map(|_| ());
                        self.note("removing", &place, removed);
                    }
                }
                Job::Forget => self.folders.forget(),
                // Who asked may have gone; then nobody waits.
                Job::Flush { done } => drop(done.send(())),
            }
        }
    }

    fn note(&self, operation: &'static str, place: &Place, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            self.shared.fail(operation, &self.base.join(place.as_str()), error);
        }
    }
}
