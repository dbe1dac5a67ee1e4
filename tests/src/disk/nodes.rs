//! The files and folders that the kernel knows of, each with a handle that follows it through renames.

use std::{
    collections::HashMap,
    fs::File,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use fuser::{FileAttr, FileHandle, FileType, INodeNo};
use rustix::{
    fs::{Mode, OFlags, Stat, fstat, openat, readlinkat},
    io::Errno,
};

struct Node {
    handle: Arc<OwnedFd>,
    lookups: u64,
}

/// An open file, or a folder with its listing.
pub(super) struct Open {
    pub(super) path: String,
    pub(super) file: File,
}

/// The tables.
pub(super) struct Nodes {
    top: PathBuf,
    top_number: u64,
    nodes: Mutex<HashMap<u64, Node>>,
    open: Mutex<HashMap<u64, Arc<Open>>>,
    next_open: AtomicU64,
}

/// The number of a node: the backing file system's own, save for the top folder, which is 1 to the kernel.
impl Nodes {
    pub(super) fn new(top: &Path) -> std::io::Result<Self> {
        let top = top.canonicalize()?;
        let handle = openat(rustix::fs::CWD, &top, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let top_number = fstat(&handle)?.st_ino;
        let node = Node { handle: Arc::new(handle), lookups: 1 };
        Ok(Self {
            top,
            top_number,
            nodes: Mutex::new(HashMap::from([(INodeNo::ROOT.0, node)])),
            open: Mutex::default(),
            next_open: AtomicU64::new(1),
        })
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<u64, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle of a node that the kernel knows.
    pub(super) fn handle(&self, number: INodeNo) -> Result<Arc<OwnedFd>, Errno> {
        self.nodes().get(&number.0).map(|node| node.handle.clone()).ok_or(Errno::STALE)
    }

    /// A path that opens the node itself, wherever it is now.
    pub(super) fn magic(handle: &OwnedFd) -> String {
        format!("/proc/self/fd/{}", handle.as_raw_fd())
    }

    /// Where the node is, below the top.
    pub(super) fn path(&self, number: INodeNo) -> String {
        let Ok(handle) = self.handle(number) else { return String::new() };
        let path = readlinkat(rustix::fs::CWD, Self::magic(&handle), Vec::new()).unwrap_or_default();
        let path = PathBuf::from(path.to_string_lossy().into_owned());
        path.strip_prefix(&self.top).unwrap_or(&path).to_string_lossy().into_owned()
    }

    /// Looks a name up; the kernel then knows it once more.
    pub(super) fn look_up(&self, folder: impl AsFd, name: &std::ffi::OsStr) -> Result<FileAttr, Errno> {
        let handle = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let attributes = self.attributes(&fstat(&handle)?);
        let mut nodes = self.nodes();
        let lookups = nodes.get(&attributes.ino.0).map_or(0, |node| node.lookups);
        // The newest handle knows the name that was asked for last, which is the one to report.
        nodes.insert(attributes.ino.0, Node { handle: Arc::new(handle), lookups: lookups + 1 });
        Ok(attributes)
    }

    pub(super) fn forget(&self, number: INodeNo, lookups: u64) {
        let mut nodes = self.nodes();
        if number == INodeNo::ROOT {
            return;
        }
        if let Some(node) = nodes.get_mut(&number.0) {
            node.lookups = node.lookups.saturating_sub(lookups);
            if node.lookups == 0 {
                nodes.remove(&number.0);
            }
        }
    }

    pub(super) fn keep_open(&self, file: File, path: String) -> FileHandle {
        let number = self.next_open.fetch_add(1, Ordering::Relaxed);
        self.opened().insert(number, Arc::new(Open { path, file }));
        FileHandle(number)
    }

    pub(super) fn open(&self, handle: FileHandle) -> Result<Arc<Open>, Errno> {
        self.opened().get(&handle.0).cloned().ok_or(Errno::BADF)
    }

    pub(super) fn close(&self, handle: FileHandle) {
        self.opened().remove(&handle.0);
    }

    /// A node's number as the kernel knows it.
    pub(super) const fn number(&self, backing: u64) -> INodeNo {
        if backing == self.top_number { INodeNo::ROOT } else { INodeNo(backing) }
    }

    pub(super) fn attributes(&self, stat: &Stat) -> FileAttr {
        let time = |seconds: i64, nanoseconds: u64| {
            let whole = Duration::new(seconds.max(0).unsigned_abs(), u32::try_from(nanoseconds).unwrap_or(0));
            SystemTime::UNIX_EPOCH + whole
        };
        let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => FileType::Directory,
            rustix::fs::FileType::Symlink => FileType::Symlink,
            _ => FileType::RegularFile,
        };
        FileAttr {
            ino: self.number(stat.st_ino),
            size: stat.st_size.unsigned_abs(),
            blocks: stat.st_blocks.unsigned_abs(),
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            crtime: SystemTime::UNIX_EPOCH,
            kind,
            perm: (stat.st_mode & 0o7777) as u16,
            nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}
