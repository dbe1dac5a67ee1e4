//! A thread that takes the checksums of large files while they are written.
//!
//! The bytes on the way are bounded, hence so is memory. It is ahead of any link to a phone; where it is not, the
//! receiving thread waits for it.

use std::{
    io, mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::writers::Written;
use crate::vault::{checksum::Hasher, name::Name};

/// Pieces that wait; each keeps a read of the socket alive.
const QUEUE_LENGTH: usize = 16;

enum Job {
    /// The next bytes of the file.
    Bytes(Bytes),
    /// The file ends here.
    End { order: u64, name: Name, whole: bool },
    /// Everything before this is known when the answer comes.
    Flush { done: Sender<()> },
}

/// The thread and its queue.
#[derive(Debug)]
pub struct Hashing {
    queue: Option<Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    taken: Arc<Mutex<Vec<Written>>>,
}

impl Hashing {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start() -> io::Result<Self> {
        let (queue, jobs) = bounded(QUEUE_LENGTH);
        let taken = Arc::new(Mutex::new(Vec::new()));
        let body = {
            let taken = taken.clone();
            move || work(&jobs, &taken)
        };
        let thread = thread::Builder::new().name("checksums".into()).spawn(body)?;
        Ok(Self { queue: Some(queue), thread: Some(thread), taken })
    }

    /// The next bytes of the file that is being received.
    pub fn update(&self, bytes: Bytes) {
        self.send(Job::Bytes(bytes));
    }

    /// That file is all here; `whole` when the phone said so.
    pub fn end(&self, order: u64, name: Name, whole: bool) {
        self.send(Job::End { order, name, whole });
    }

    /// The checksums since the last call; waits for what is on its way.
    pub fn take(&self) -> Vec<Written> {
        let (done, waiting) = bounded(1);
        self.send(Job::Flush { done });
        if waiting.recv().is_err() {
            // Its files then have no checksum, and the check of the list says that nothing proves them.
            tracing::error!("the thread that takes checksums ended");
        }
        mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, job: Job) {
        if let Some(queue) = &self.queue {
            // As above.
            drop(queue.send(job));
        }
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed by its own thread.
            drop(thread.join());
        }
    }
}

fn work(jobs: &Receiver<Job>, taken: &Mutex<Vec<Written>>) {
    // Few large files have a digest in the phone's list: photos, videos and the data of apps have none. The SHA-1 of those
    // that do is taken when the list is checked, by reading them.
    let mut hasher = Hasher::of_blake3();
    for job in jobs {
        match job {
            Job::Bytes(bytes) => hasher.update(&bytes),
            Job::End { order, name, whole } => {
                let checksums = mem::replace(&mut hasher, Hasher::of_blake3()).finish();
                let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.push(Written { order, name, checksums, whole });
            }
            // The receiver is gone only when the conversation ended.
            Job::Flush { done } => drop(done.send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::checksum;

    #[test]
    fn each_file_has_its_own() {
        let hashing = Hashing::start().unwrap();
        let name = |text: &str| Name::new(text);
        for (order, pieces) in [(0, &["a", "bc"][..]), (1, &[]), (2, &["d"])] {
            pieces.iter().for_each(|piece| hashing.update(Bytes::from_static(piece.as_bytes())));
            hashing.end(order, name("x"), order != 1);
        }
        let taken: Vec<_> = hashing.take().into_iter().map(|file| (file.order, file.checksums, file.whole)).collect();
        let expected = [(0, checksum::of(b"abc"), true), (1, checksum::of(b""), false), (2, checksum::of(b"d"), true)];
        assert_eq!(taken.len(), expected.len());
        for ((order, checksums, whole), expected) in taken.into_iter().zip(expected) {
            assert!(checksums.is_of_same(&expected.1) && checksums.sha1.is_none(), "{checksums:?}");
            assert_eq!((order, whole), (expected.0, expected.2));
        }
        assert!(hashing.take().is_empty());
    }
}
