//! Two threads that write small files, so that receiving never waits for the file system to make one.
//!
//! All files of a folder go to the same thread: the same path twice stays in order, and the threads do not contend for
//! a folder. The bytes on the way are bounded, hence so is memory. Large files are not for these threads: handing
//! their blocks over costs more than writing them where they arrive, while they are in the processor's cache.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{DiskError, digests::name_of, folders::Folders, place::Place};
use crate::vault::{
    aside::Aside,
    checksum::{self, Checksums},
    name::Name,
};

const THREADS: usize = 2;

/// Files that wait for a thread.
const QUEUE_LENGTH: usize = 256;

/// Bytes that wait for the disk; a read of the socket keeps 256 KiB alive at a time.
const BYTES_IN_FLIGHT_MAX: usize = 8 * 1024 * 1024;

enum Job {
    Write {
        place: Place,
        content: Bytes,
        order: u64,
        whole: bool,
    },
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
    base: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    in_flight: Mutex<usize>,
    less: Condvar,
    error: Mutex<Option<DiskError>>,
    written: Mutex<Vec<Written>>,
}

/// A file that came.
#[derive(Debug)]
pub struct Written {
    /// Its place in the order in which they came: a name may come twice.
    pub order: u64,
    /// Which.
    pub name: Name,
    /// Of what came.
    pub checksums: Checksums,
    /// The phone said that it is complete.
    pub whole: bool,
}

impl Writers {
    /// Starts the threads; places are below `base`.
    ///
    /// # Errors
    /// When the folder can't be opened or a thread not be started.
    pub fn start(base: &Path, aside: Option<&Aside>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for number in 0..THREADS {
            let (sender, receiver) = bounded(QUEUE_LENGTH);
            let mut worker =
                Worker { folders: Folders::open(base, aside)?, base: base.to_owned(), shared: shared.clone() };
            let builder = thread::Builder::new().name(format!("disk-writer-{number}"));
            threads.push(builder.spawn(move || worker.run(&receiver))?);
            queues.push(sender);
        }
        Ok(Self { queues, threads, shared, base: base.to_owned() })
    }

    /// What places are below.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// True once something could not be written.
    pub fn failed(&self) -> bool {
        self.shared.error.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Writes a file of which all that came is here; `whole` when the phone said that it is complete.
    pub fn write(&self, order: u64, place: Place, content: Bytes, whole: bool) {
        let bytes = content.len();
        let in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let too_much = |waiting: &mut usize| *waiting > 0 && *waiting + bytes > BYTES_IN_FLIGHT_MAX;
        let waited = self.shared.less.wait_while(in_flight, too_much);
        *waited.unwrap_or_else(PoisonError::into_inner) += bytes;
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(place.split().0);
        let queue = &self.queues[hash as usize % THREADS];
        if queue.send(Job::Write { place, content, order, whole }).is_err() {
            self.shared.landed(bytes);
            self.shared.fail("writing", &PathBuf::new(), io::Error::other("the disk writer ended"));
        }
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

    /// What was written since the last call; in order for each name, after a [`Writers::drain`] complete.
    pub fn take_written(&self) -> Vec<Written> {
        std::mem::take(&mut *self.shared.written.lock().unwrap_or_else(PoisonError::into_inner))
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

    fn wrote(&self, written: Written) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(written);
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
        for job in jobs {
            match job {
                Job::Write { place, content, order, whole } => {
                    match self.folders.create(&place).and_then(|mut file| file.write_all(&content)) {
                        Ok(()) => self.shared.wrote(Written {
                            order,
                            name: name_of(&place),
                            checksums: checksum::of(&content),
                            whole,
                        }),
                        Err(error) => self.shared.fail("writing", &self.base.join(place.as_str()), error),
                    }
                    self.shared.landed(content.len());
                }
                Job::Forget => self.folders.forget(),
                // Who asked may have gone; then nobody waits.
                Job::Flush { done } => drop(done.send(())),
            }
        }
    }
}
