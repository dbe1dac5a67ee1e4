//! The computer's side: where photos go, and the proof that they are there.
//!
//! A file is written under a temporary name. Once some of them are whole they are synced together, read again from the
//! disk and compared with the BLAKE3 of what came from the phone; only then does a file get its time and its own name.
//! So whatever has its own name is a whole, proved copy of what the phone sent, and nothing that was there before is
//! ever removed or written into.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{
    host::disk,
    transfer::{DiskError, folders::Folders, place::Place},
};

/// Ends the name of a file that is not whole yet.
pub const PART: &str = ".backstay.part";

/// FAT keeps every second second.
const TIME_TOLERANCE: Duration = Duration::from_secs(2);

/// Other files of the same name that are looked at before it is given up.
const SAME_NAMES_MAX: u32 = 1000;

const BUFFER_BYTES: usize = 1024 * 1024;

/// What a file should become.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where it goes.
    pub place: Place,
    /// Its bytes, as the phone says.
    pub size: u64,
    /// When it was changed last, nanoseconds since 1970.
    pub modified: i64,
}

impl Wanted {
    fn time(&self) -> SystemTime {
        let distance = Duration::from_nanos(self.modified.unsigned_abs());
        let epoch = SystemTime::UNIX_EPOCH;
        let time = if self.modified < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
        time.unwrap_or(epoch)
    }

    fn has_time_of(&self, file: &File) -> io::Result<bool> {
        let (there, wanted) = (file.metadata()?.modified()?, self.time());
        let distance = there.duration_since(wanted).unwrap_or_else(|error| error.duration());
        Ok(distance <= TIME_TOLERANCE)
    }

    /// The names that it may get: its own, then `IMG_0001 (2).JPG` and so on.
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let (folder, name) = self.place.split();
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        let numbered = (2..SAME_NAMES_MAX).filter_map(move |number| {
            let name = format!("{stem} ({number}){extension}");
            Place::of_components(folder.split('/').filter(|name| !name.is_empty()).chain([&*name]))
        });
        std::iter::once(self.place.clone()).chain(numbered)
    }
}

/// What became of a file that came whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It has its name now.
    New,
    /// The same content was there under its name, with another time.
    There,
}

/// The folder that photos go to.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    folders: Mutex<Folders>,
}

impl Target {
    /// Makes the folder, for its owner alone, when it is not there.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let failed = |operation| move |source| DiskError { operation, path: path.to_owned(), source };
        disk::make_private(path).map_err(failed("creating"))?;
        let folders = Folders::open(path, None).map_err(failed("opening"))?;
        Ok(Self { path: path.to_owned(), folders: Mutex::new(folders) })
    }

    fn folders(&self) -> MutexGuard<'_, Folders> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, operation: &'static str, place: &Place) -> impl FnOnce(io::Error) -> DiskError + use<> {
        let path = self.path.join(place.as_str());
        move |source| DiskError { operation, path, source }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file goes, for messages.
    pub fn path_of(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// Bytes that are free there.
    ///
    /// # Errors
    /// When it can't be asked.
    pub fn free_bytes(&self) -> Result<u64, DiskError> {
        disk::free_bytes(&self.path).map_err(|source| self.whole("reading", source))
    }

    /// Brings everything to the disk, names too.
    ///
    /// # Errors
    /// When the disk could not take it all.
    pub fn sync(&self) -> Result<(), DiskError> {
        disk::sync_tree(&self.path).map_err(|source| self.whole("syncing", source))
    }

    fn whole(&self, operation: &'static str, source: io::Error) -> DiskError {
        DiskError { operation, path: self.path.clone(), source }
    }

    /// True when a file of this size and time is there under one of the names that it may have got.
    ///
    /// # Errors
    /// Of the file system.
    pub fn holds(&self, wanted: &Wanted) -> Result<bool, DiskError> {
        for place in wanted.places() {
            let found = match self.folders().read(&place) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                // A folder, a link, or nobody's business: the name is taken.
                Err(_) => continue,
            };
            let same = || Ok(found.metadata()?.len() == wanted.size && wanted.has_time_of(&found)?);
            if same().map_err(self.failed("reading", &place))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Begins a file, or goes on with one that an earlier copy left in good order.
    ///
    /// # Errors
    /// Of the file system; `ResourceBusy` while somebody else copies a file of this name.
    pub fn begin(&self, wanted: Wanted) -> Result<Part, DiskError> {
        let (folder, name) = wanted.place.split();
        let names = folder.split('/').filter(|name| !name.is_empty());
        let name = format!("{name}{PART}");
        let temporary = Place::of_components(names.clone().chain([&*name])).unwrap_or_else(|| wanted.place.clone());
        let mut folders = self.folders();
        if let Some(folder) = Place::of_components(names) {
            folders.create_folder(&folder).map_err(|error| match error.kind() {
                // Something that is no folder, or a link, is in the way.
                io::ErrorKind::AlreadyExists => self.failed("creating", &folder)(io::ErrorKind::NotADirectory.into()),
                _ => self.failed("creating", &folder)(error),
            })?;
        }
        let opened = match folders.append(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened.map_err(self.failed("opening", &temporary))?),
        };
        if let Some(file) = opened {
            lock(&file).map_err(self.failed("locking", &temporary))?;
            let length = file.metadata().map_err(self.failed("reading", &temporary))?.len();
            // It got the photo's time when it was synced: one of a crash has another, and may hold anything.
            if length <= wanted.size && wanted.has_time_of(&file).map_err(self.failed("reading", &temporary))? {
                let read = folders.read(&temporary).and_then(|file| hash(file, length));
                let hasher = read.map_err(self.failed("reading", &temporary))?;
                return Ok(Part { wanted, temporary, file, hasher, length });
            }
            folders.remove_file(&temporary).map_err(self.failed("removing", &temporary))?;
        }
        let file = folders.create_new(&temporary).map_err(self.failed("creating", &temporary))?;
        lock(&file).map_err(self.failed("locking", &temporary))?;
        Ok(Part { wanted, temporary, file, hasher: blake3::Hasher::new(), length: 0 })
    }

    /// Proves whole files and gives them their names. What became of each, in order.
    ///
    /// # Errors
    /// Of the file system, or when the disk does not give back what was written.
    pub fn finish(&self, parts: Vec<Part>) -> Result<Vec<Kept>, DiskError> {
        self.sync()?;
        parts.into_iter().map(|part| self.prove(part)).collect()
    }

    fn prove(&self, part: Part) -> Result<Kept, DiskError> {
        let temporary = &part.temporary;
        let came = part.hasher.finalize();
        let again = self.folders().read(temporary).and_then(|file| {
            forget_cached(&file);
            hash(file, u64::MAX)
        });
        let again = again.map_err(self.failed("reading", temporary))?;
        if again.finalize() != came || again.count() != part.wanted.size {
            let source =
                io::Error::new(io::ErrorKind::InvalidData, "the disk gives back something else than was written");
            return Err(self.failed("comparing", temporary)(source));
        }
        part.file.set_modified(part.wanted.time()).map_err(self.failed("writing", temporary))?;
        for place in part.wanted.places() {
            let renamed = self.folders().rename_new(temporary, &place);
            match renamed {
                Ok(()) => return Ok(Kept::New),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(self.failed("renaming", temporary)(error));
                }
                Err(_) => {}
            }
            if self.is_the_same(&place, &part, came) {
                self.folders().remove_file(temporary).map_err(self.failed("removing", temporary))?;
                return Ok(Kept::There);
            }
        }
        Err(self.failed("renaming", temporary)(io::ErrorKind::InvalidFilename.into()))
    }

    /// True when what has this name holds what came; it gets the photo's time then, so that the next copy knows.
    fn is_the_same(&self, place: &Place, part: &Part, came: blake3::Hash) -> bool {
        let Ok(file) = self.folders().read(place) else { return false };
        let same_size = file.metadata().is_ok_and(|facts| facts.is_file() && facts.len() == part.wanted.size);
        let content = || hash(file.try_clone()?, u64::MAX);
        if !same_size || !content().is_ok_and(|there| there.finalize() == came) {
            return false;
        }
        if let Err(error) = file.set_modified(part.wanted.time()) {
            tracing::debug!(place = place.as_str(), %error, "the time of a photo can't be set");
        }
        true
    }

    /// Throws away a file that did not come whole and is of no use to a later copy.
    pub fn drop_part(&self, part: Part) {
        if let Err(error) = self.folders().remove_file(&part.temporary) {
            tracing::warn!(place = part.temporary.as_str(), %error, "what is left of a photo can't be removed");
        }
    }
}

/// A file on its way.
#[derive(Debug)]
pub struct Part {
    wanted: Wanted,
    temporary: Place,
    file: File,
    hasher: blake3::Hasher,
    length: u64,
}

impl Part {
    /// Bytes that it has.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that it lacks.
    pub const fn missing(&self) -> u64 {
        self.wanted.size.saturating_sub(self.length)
    }

    /// Adds what came.
    ///
    /// # Errors
    /// Of the file system.
    pub fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Puts it in good order, so that a later copy may go on with it.
    pub fn put_by(self) {
        let synced = self.file.sync_data().and_then(|()| self.file.set_modified(self.wanted.time()));
        if let Err(error) = synced {
            // Without its time it is begun anew.
            tracing::debug!(place = self.temporary.as_str(), %error, "a part of a photo is not kept");
        }
    }
}

/// Held while a file is on its way: two copies into one folder stay out of each other's way.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "a photo of this name is being copied right now"))
        }
        // Some network drives have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// So that the next read comes from the disk, where the system can be asked for it.
#[cfg(target_os = "linux")]
fn forget_cached(file: &File) {
    if let Err(error) = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed) {
        tracing::debug!(%error, "a photo is read again from memory");
    }
}

#[cfg(not(target_os = "linux"))]
fn forget_cached(_file: &File) {}

fn hash(file: File, bytes_max: u64) -> io::Result<blake3::Hasher> {
    let mut file = file.take(bytes_max);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher),
            Ok(length) => {
                hasher.update(&buffer[..length]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
