//! One of several connections over which photos come at the same time.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use backstay_shared::health::{Failure, FailureId};
use tokio_util::sync::CancellationToken;

use super::{
    DCIM, blocking,
    progress::Tally,
    scan::Item,
    source::{Source, Trouble},
    target::{Kept, Part, Target},
};
use crate::{
    health::diagnose,
    phone::{
        afc::Handle,
        link::{Attached, Muxer, Session},
    },
    transfer::DiskError,
    vault::extract,
};

/// Whole files that wait to be proved together: a sync for each would cost a disk more time than the photos themselves.
const BATCH_FILES_MAX: usize = 64;
const BATCH_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A file over which the connection breaks is tried so often.
const TRIES: u32 = 2;

/// So many such files in a row are no longer about the files.
const BROKEN_FILES_MAX: u32 = 5;

/// What the lanes share.
#[derive(Debug)]
pub struct Work {
    /// The way to the phone.
    pub muxer: Muxer,
    /// The phone.
    pub attached: Attached,
    /// Where photos go.
    pub target: Arc<Target>,
    /// Ends all lanes.
    pub stop: CancellationToken,
    items: Mutex<VecDeque<Item>>,
    tally: Mutex<Tally>,
    whole: Mutex<Vec<(Item, Part)>>,
}

impl Work {
    /// Everything that is to be copied.
    pub fn new(
        muxer: Muxer,
        attached: Attached,
        target: Arc<Target>,
        stop: CancellationToken,
        items: Vec<Item>,
        tally: Tally,
    ) -> Self {
        let (items, tally) = (Mutex::new(items.into()), Mutex::new(tally));
        Self { muxer, attached, target, stop, items, tally, whole: Mutex::default() }
    }

    /// The counts.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Item> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.pop_front().filter(|_| !self.stop.is_cancelled())
    }

    /// A file came whole; with enough of them they are proved.
    async fn keep(&self, item: Item, part: Part) -> Result<(), Failure> {
        let batch = {
            let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
            whole.push((item, part));
            let bytes: u64 = whole.iter().map(|(_, part)| part.length()).sum();
            let is_full = whole.len() >= BATCH_FILES_MAX || bytes >= BATCH_BYTES_MAX;
            if is_full { std::mem::take(&mut *whole) } else { Vec::new() }
        };
        self.prove(batch).await
    }

    /// Proves what is left.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn prove_rest(&self) -> Result<(), Failure> {
        let rest = std::mem::take(&mut *self.whole.lock().unwrap_or_else(PoisonError::into_inner));
        self.prove(rest).await
    }

    async fn prove(&self, batch: Vec<(Item, Part)>) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        let target = self.target.clone();
        let parts = batch.into_iter().map(|(_, part)| part).collect();
        let kept = blocking(move || target.finish(parts)).await?.map_err(|error| diagnose::disk(&error))?;
        let mut tally = self.tally();
        for kept in kept {
            tally.file();
            match kept {
                Kept::New => tally.copied.files += 1,
                Kept::There => tally.copied.there += 1,
            }
        }
        Ok(())
    }

    fn failed(&self, item: &Item, why: String) {
        let mut tally = self.tally();
        tally.file();
        tally.copied.add_failed(format!("{DCIM}/{}", item.path), why);
    }

    /// A new connection to the phone.
    ///
    /// # Errors
    /// The phone's.
    pub async fn connect(&self) -> Result<Source, Failure> {
        let mut session = Session::open(&self.muxer, &self.attached).await?;
        let source = Source::connect(&mut session).await;
        session.close().await;
        source
    }
}

/// Why a file did not come.
enum Stop {
    File(String),
    Link(Failure),
    Disk(DiskError),
    /// Everything ends.
    Asked,
    Other(Failure),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::File(why) => Self::File(why),
            Trouble::Link(failure) => Self::Link(failure),
        }
    }
}

/// Copies until there is nothing left, and ends the others when it can't go on.
///
/// # Errors
/// When the phone can't be reached any more, or the disk fails.
pub async fn run(work: &Work, mut source: Source) -> Result<(), Failure> {
    let mut broken_in_a_row = 0;
    while let Some(item) = work.next() {
        let ended = match copy(work, &mut source, &item).await {
            Ok(true) => {
                broken_in_a_row = 0;
                Ok(())
            }
            Ok(false) if broken_in_a_row + 1 < BROKEN_FILES_MAX => {
                broken_in_a_row += 1;
                Ok(())
            }
            Ok(false) => Err(Failure::from(FailureId::SessionLost).text("the connection breaks at every photo")),
            Err(failure) => Err(failure),
        };
        if ended.is_err() {
            work.stop.cancel();
            return ended;
        }
    }
    Ok(())
}

/// Copies a file; false when the connection broke over it each time.
async fn copy(work: &Work, source: &mut Source, item: &Item) -> Result<bool, Failure> {
    let mut broke = String::new();
    for _ in 0..TRIES {
        match fetch(work, source, item).await {
            Ok(part) => return work.keep(item.clone(), part).await.map(|()| true),
            Err(Stop::Asked) => return Ok(true),
            Err(Stop::File(why)) => {
                work.failed(item, why);
                return Ok(true);
            }
            Err(Stop::Disk(error)) if is_about_one_file(&error.source) => {
                work.failed(item, error.source.to_string());
                return Ok(true);
            }
            Err(Stop::Disk(error)) => return Err(diagnose::disk(&error)),
            Err(Stop::Other(failure)) => return Err(failure),
            // The phone may have hung up over this very file, and the others are to come all the same.
            Err(Stop::Link(failure)) => match work.connect().await {
                Ok(anew) => {
                    tracing::warn!(path = &*item.path, %failure, "the connection broke over a photo; a new one is open");
                    broke = failure.id.entry().title.clone();
                    *source = anew;
                }
                Err(_) => return Err(failure),
            },
        }
    }
    work.failed(item, format!("the connection breaks while it is read: {broke}"));
    Ok(false)
}

fn is_about_one_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ResourceBusy || extract::is_about_one_file(error)
}

/// Brings a file, whole, under its temporary name.
async fn fetch(work: &Work, source: &mut Source, item: &Item) -> Result<Part, Stop> {
    let wanted = item.wanted().ok_or_else(|| Stop::File("has a name that can't be kept".into()))?;
    let target = work.target.clone();
    let part = blocking(move || target.begin(wanted)).await.map_err(Stop::Other)?.map_err(Stop::Disk)?;
    work.tally().through(part.length());
    let mut part = Some(part);
    let received = receive(work, source, item, &mut part).await;
    let Some(part) = part else { return Err(Stop::Other(FailureId::HostIoError.into())) };
    let stop = match received {
        Ok(()) => return Ok(part),
        Err(stop) => stop,
    };
    work.tally().back(part.length());
    let target = work.target.clone();
    let is_of_use = !matches!(stop, Stop::File(_));
    blocking(move || if is_of_use { part.put_by() } else { target.drop_part(part) }).await.map_err(Stop::Other)?;
    Err(stop)
}

/// Adds to the part what it lacks. It is lent to a thread for each piece, and missing only when that thread died.
async fn receive(work: &Work, source: &mut Source, item: &Item, part: &mut Option<Part>) -> Result<(), Stop> {
    let (from, missing) = part.as_ref().map_or((0, 0), |part| (part.length(), part.missing()));
    if missing == 0 {
        return Ok(());
    }
    let path = format!("{DCIM}/{}", item.path);
    let file = source.open(&path, from).await?;
    let received = receive_open(work, source, file, part).await;
    if !matches!(received, Err(Stop::Link(_))) {
        source.close(file).await?;
    }
    received.map_err(|stop| match stop {
        Stop::Disk(DiskError { operation, source, .. }) => {
            Stop::Disk(DiskError { operation, path: work.target.path_of(&item.path), source })
        }
        stop => stop,
    })
}

async fn receive_open(work: &Work, source: &mut Source, file: Handle, lent: &mut Option<Part>) -> Result<(), Stop> {
    let mut missing = lent.as_ref().map_or(0, Part::missing);
    let mut piece = source.read(file, missing).await?;
    loop {
        let length = piece.len() as u64;
        missing -= length;
        let Some(mut part) = lent.take() else { return Ok(()) };
        let writing = blocking(move || {
            let added = part.add(&piece);
            (part, added)
        });
        // The next piece comes while this one is written.
        let reading = async { if missing > 0 { Some(source.read(file, missing).await) } else { None } };
        let (written, next) = tokio::join!(writing, reading);
        let (part, added) = written.map_err(Stop::Other)?;
        *lent = Some(part);
        added.map_err(|source| Stop::Disk(DiskError { operation: "writing", path: Default::default(), source }))?;
        work.tally().came(length);
        match next {
            None => return Ok(()),
            Some(next) => piece = next?,
        }
        if work.stop.is_cancelled() {
            return Err(Stop::Asked);
        }
    }
}
