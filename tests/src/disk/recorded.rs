//! A disk that remembers each write and each flush, and so can tell what a power cut at any moment could leave.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags, spawn_mount,
};
use rustix::mount::{UnmountFlags, unmount};

use crate::random::Random;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A new disk is mostly zeros, which are kept and written in no image.
const PIECE: usize = 64 * 1024;

const NAME: &str = "disk.img";
const FILE: INodeNo = INodeNo(2);
const REMEMBERED: Duration = Duration::from_secs(3600);
/// The kernel's requests are answered by so many.
const THREADS: usize = 2;

#[derive(Debug, Clone)]
enum Event {
    Write {
        offset: usize,
        content: Arc<[u8]>,
    },
    /// Everything before it is on the platter.
    Barrier,
}

#[derive(Debug, Default)]
struct Record {
    content: Vec<u8>,
    /// The content when recording began: its pieces that are not all zeros, with their places.
    base: Vec<(usize, Box<[u8]>)>,
    events: Vec<Event>,
}

type Shared = Arc<Mutex<Record>>;

fn locked(record: &Shared) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A moment of the recording: so many events have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub usize);

/// Mounted while it lives; the disk is the file [`RecordedDisk::image`].
pub struct RecordedDisk {
    record: Shared,
    mount_point: PathBuf,
    _session: BackgroundSession,
}

impl RecordedDisk {
    /// A disk of zeros.
    pub fn mount(bytes: usize, mount_point: &Path) -> io::Result<Self> {
        let record = Shared::default();
        locked(&record).content = vec![0; bytes];
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("backstay-recorded".into())];
        config.n_threads = Some(THREADS);
        let session = spawn_mount(Served { record: record.clone() }, mount_point, &config)?;
        Ok(Self { record, mount_point: mount_point.to_owned(), _session: session })
    }

    /// The file to make a volume of.
    pub fn image(&self) -> PathBuf {
        self.mount_point.join(NAME)
    }

    /// Forgets what was written so far; what is there now counts as being on the platter.
    pub fn begin_recording(&self) {
        let mut record = locked(&self.record);
        let pieces = record.content.chunks(PIECE).enumerate();
        let used = pieces.filter(|(_, piece)| piece.iter().any(|byte| *byte != 0));
        record.base = used.map(|(index, piece)| (index * PIECE, piece.into())).collect();
        record.events.clear();
    }

    /// The moment after everything so far.
    pub fn now(&self) -> Moment {
        Moment(locked(&self.record).events.len())
    }

    /// The moments right after each flush.
    pub fn barriers(&self) -> Vec<Moment> {
        let record = locked(&self.record);
        let barriers = record.events.iter().enumerate().filter(|(_, event)| matches!(event, Event::Barrier));
        barriers.map(|(index, _)| Moment(index + 1)).collect()
    }

    /// Bytes written while recording.
    pub fn bytes_written(&self) -> u64 {
        let length = |event: &Event| if let Event::Write { content, .. } = event { content.len() as u64 } else { 0 };
        locked(&self.record).events.iter().map(length).sum()
    }

    /// Writes the image of a disk after the power went at that moment: all that was written before the last flush is
    /// there, of the rest a random part, some of it torn between two sectors.
    pub fn image_at(&self, moment: Moment, random: &mut Random, path: &Path) -> io::Result<()> {
        let record = locked(&self.record);
        // A new file each time: another mount namespace may still hold the file system of an earlier image.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let image = File::create(path)?;
        image.set_len(record.content.len() as u64)?;
        for (offset, piece) in &record.base {
            image.write_all_at(piece, *offset as u64)?;
        }
        let events = &record.events[..moment.0.min(record.events.len())];
        let sure = events.iter().rposition(|event| matches!(event, Event::Barrier)).unwrap_or(0);
        // From nothing at all to everything: how much a disk had got to differs as well.
        let kept_of_four = random.below(5);
        for (index, event) in events.iter().enumerate() {
            let Event::Write { offset, content } = event else { continue };
            let mut kept = 0..content.len();
            if index >= sure {
                if random.below(4) >= kept_of_four {
                    continue;
                }
                let sectors = content.len() / SECTOR;
                if sectors > 1 && random.below(4) == 0 {
                    let torn = random.below(sectors as u64) as usize * SECTOR;
                    // Disks sort what they write: the first part is not always the one that made it.
                    kept = if random.below(2) == 0 { 0..torn } else { torn..content.len() };
                }
            }
            image.write_all_at(&content[kept.clone()], (offset + kept.start) as u64)?;
        }
        Ok(())
    }
}

impl Drop for RecordedDisk {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.mount_point, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.mount_point.display());
        }
    }
}

struct Served {
    record: Shared,
}

impl Served {
    fn attributes(&self, node: INodeNo) -> FileAttr {
        let folder = node == INodeNo::ROOT;
        let size = if folder { 0 } else { locked(&self.record).content.len() as u64 };
        FileAttr {
            ino: node,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if folder { FileType::Directory } else { FileType::RegularFile },
            perm: if folder { 0o700 } else { 0o600 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == NAME {
            reply.entry(&REMEMBERED, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&REMEMBERED, &self.attributes(node));
    }

    /// Times are of no interest here; the size is fixed.
    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match size {
            None => reply.attr(&REMEMBERED, &self.attributes(node)),
            Some(_) => reply.error(Errno::EPERM),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // No page cache between the device and the record.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let record = locked(&self.record);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(record.content.len());
        let end = start.saturating_add(size as usize).min(record.content.len());
        reply.data(&record.content[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        content: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut record = locked(&self.record);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(target) = offset.checked_add(content.len()).and_then(|end| record.content.get_mut(offset..end)) else {
            return reply.error(Errno::ENOSPC);
        };
        target.copy_from_slice(content);
        record.events.push(Event::Write { offset, content: content.into() });
        drop(record);
        reply.written(content.len() as u32);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        locked(&self.record).events.push(Event::Barrier);
        reply.ok();
    }

    /// A close is no barrier.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if offset == 0 && reply.add(FILE, 1, FileType::RegularFile, NAME) {
            return reply.error(Errno::EINVAL);
        }
        reply.ok();
    }
}
