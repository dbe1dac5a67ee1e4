//! A file system whose every operation passes the gate and is then carried out on a folder.

use std::{
    ffi::OsStr,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    BsdFileFlags, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};
use rustix::{
    fs::{
        AtFlags, CWD, Dir, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, chmodat, fstat, fstatvfs,
        ftruncate, linkat, mkdirat, openat, renameat_with, unlinkat, utimensat,
    },
    io::Errno,
};

use super::{
    nodes::Nodes,
    plan::{Gate, Kind},
};

/// The folder changes through this file system only, so the kernel may remember what it saw; a name costs one lookup,
/// as on a real disk.
const REMEMBERED: Duration = Duration::from_secs(3600);

pub(super) struct Passthrough {
    nodes: Nodes,
    gate: Arc<Gate>,
    /// False on file systems such as FAT, which have no exchange of names either.
    hard_links: Arc<AtomicBool>,
}

fn told(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

fn of(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Answers with the error of a closure that ended early.
macro_rules! answer {
    ($reply:ident, $body:expr, $done:expr) => {
        let carry_out = || -> Result<_, Errno> { $body };
        match carry_out() {
            Ok(done) => $done(done),
            Err(errno) => $reply.error(told(errno)),
        }
    };
}

impl Passthrough {
    pub(super) fn new(folder: &Path, gate: Arc<Gate>, hard_links: Arc<AtomicBool>) -> std::io::Result<Self> {
        Ok(Self { nodes: Nodes::new(folder)?, gate, hard_links })
    }

    fn pass(&self, kind: Kind, node: INodeNo) -> Result<(), Errno> {
        self.gate.pass(kind, self.nodes.path(node))
    }

    fn pass_in(&self, kind: Kind, folder: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let folder = self.nodes.path(folder);
        let name = name.to_string_lossy();
        self.gate.pass(kind, if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") })
    }

    fn pass_open(&self, kind: Kind, handle: FileHandle) -> Result<Arc<super::nodes::Open>, Errno> {
        let open = self.nodes.open(handle)?;
        self.gate.pass(kind, open.path.clone())?;
        Ok(open)
    }

    fn open_node(&self, node: INodeNo, flags: OFlags) -> Result<FileHandle, Errno> {
        let magic = Nodes::magic(&*self.nodes.handle(node)?);
        let file = openat(CWD, magic, flags | OFlags::CLOEXEC, Mode::empty())?;
        Ok(self.nodes.keep_open(file.into(), self.nodes.path(node)))
    }

    fn set(
        &self,
        node: INodeNo,
        handle: Option<FileHandle>,
        mode: Option<u32>,
        size: Option<u64>,
        times: [Option<TimeOrNow>; 2],
    ) -> Result<fuser::FileAttr, Errno> {
        let known = self.nodes.handle(node)?;
        let magic = Nodes::magic(&known);
        if let Some(mode) = mode {
            chmodat(CWD, &magic, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
        }
        if let Some(size) = size {
            match handle.map(|handle| self.nodes.open(handle)) {
                Some(open) => ftruncate(&open?.file, size)?,
                None => ftruncate(openat(CWD, &magic, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?, size)?,
            }
        }
        if times.iter().any(Option::is_some) {
            let [last_access, last_modification] = times.map(timespec);
            utimensat(CWD, &magic, &Timestamps { last_access, last_modification }, AtFlags::empty())?;
        }
        Ok(self.nodes.attributes(&fstat(&*known)?))
    }
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(TimeOrNow::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(TimeOrNow::SpecificTime(time)) => {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            Timespec { tv_sec: since.as_secs().cast_signed(), tv_nsec: since.subsec_nanos().into() }
        }
    }
}

impl Filesystem for Passthrough {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(
            reply,
            {
                self.pass_in(Kind::Lookup, parent, name)?;
                self.nodes.look_up(&*self.nodes.handle(parent)?, name)
            },
            |attributes| reply.entry(&REMEMBERED, &attributes, Generation(0))
        );
    }

    fn forget(&self, _: &Request, node: INodeNo, lookups: u64) {
        self.nodes.forget(node, lookups);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(
            reply,
            {
                self.pass(Kind::GetAttributes, node)?;
                Ok(self.nodes.attributes(&fstat(&*self.nodes.handle(node)?)?))
            },
            |attributes| reply.attr(&REMEMBERED, &attributes)
        );
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        answer!(
            reply,
            {
                self.pass(Kind::SetAttributes, node)?;
                self.set(node, handle, mode, size, [accessed, modified])
            },
            |attributes| reply.attr(&REMEMBERED, &attributes)
        );
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        answer!(
            reply,
            {
                self.pass_in(Kind::MakeFolder, parent, name)?;
                let folder = self.nodes.handle(parent)?;
                mkdirat(&*folder, name, Mode::from_raw_mode(mode & !umask))?;
                self.nodes.look_up(&*folder, name)
            },
            |attributes| reply.entry(&REMEMBERED, &attributes, Generation(0))
        );
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(
            reply,
            {
                self.pass_in(Kind::Unlink, parent, name)?;
                unlinkat(&*self.nodes.handle(parent)?, name, AtFlags::empty())
            },
            |()| reply.ok()
        );
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(
            reply,
            {
                self.pass_in(Kind::RemoveFolder, parent, name)?;
                unlinkat(&*self.nodes.handle(parent)?, name, AtFlags::REMOVEDIR)
            },
            |()| reply.ok()
        );
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer!(
            reply,
            {
                let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
                self.pass_in(if exchange { Kind::Exchange } else { Kind::Rename }, new_parent, new_name)?;
                if exchange && !self.hard_links.load(Ordering::Relaxed) {
                    return Err(Errno::INVAL);
                }
                let (from, to) = (self.nodes.handle(parent)?, self.nodes.handle(new_parent)?);
                let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
                renameat_with(&*from, name, &*to, new_name, flags)
            },
            |()| reply.ok()
        );
    }

    fn link(&self, _: &Request, node: INodeNo, new_parent: INodeNo, new_name: &OsStr, reply: ReplyEntry) {
        answer!(
            reply,
            {
                self.pass_in(Kind::Link, new_parent, new_name)?;
                if !self.hard_links.load(Ordering::Relaxed) {
                    return Err(Errno::PERM);
                }
                let (from, to) = (self.nodes.handle(node)?, self.nodes.handle(new_parent)?);
                linkat(CWD, Nodes::magic(&from), &*to, new_name, AtFlags::SYMLINK_FOLLOW)?;
                self.nodes.look_up(&*to, new_name)
            },
            |attributes| reply.entry(&REMEMBERED, &attributes, Generation(0))
        );
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        answer!(
            reply,
            {
                self.pass(Kind::Open, node)?;
                let kept = OFlags::from_bits_retain(flags.0.cast_unsigned());
                self.open_node(node, kept - OFlags::NOFOLLOW - OFlags::APPEND - OFlags::DIRECT)
            },
            |handle| reply.opened(handle, FopenFlags::empty())
        );
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        answer!(
            reply,
            {
                self.pass_in(Kind::Create, parent, name)?;
                let folder = self.nodes.handle(parent)?;
                let flags = OFlags::from_bits_retain(flags.cast_unsigned()) - OFlags::APPEND - OFlags::DIRECT;
                let flags = flags | OFlags::CREATE | OFlags::CLOEXEC;
                let file = openat(&*folder, name, flags, Mode::from_raw_mode(mode & !umask & 0o7777))?;
                let attributes = self.nodes.look_up(&*folder, name)?;
                Ok((attributes, self.nodes.keep_open(file.into(), self.nodes.path(attributes.ino))))
            },
            |(attributes, handle)| {
                reply.created(&REMEMBERED, &attributes, Generation(0), handle, FopenFlags::empty());
            }
        );
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        answer!(
            reply,
            {
                let open = self.pass_open(Kind::Read, handle)?;
                let (mut content, mut length) = (vec![0; size as usize], 0);
                loop {
                    match open.file.read_at(&mut content[length..], offset + length as u64).map_err(of)? {
                        0 => break,
                        more => length += more,
                    }
                }
                content.truncate(length);
                Ok(content)
            },
            |content: Vec<u8>| reply.data(&content)
        );
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        content: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer!(
            reply,
            {
                let open = self.pass_open(Kind::Write, handle)?;
                open.file.write_all_at(content, offset).map_err(of)
            },
            |()| reply.written(content.len() as u32)
        );
    }

    fn flush(&self, _: &Request, _: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        answer!(reply, self.pass_open(Kind::Close, handle), |_| reply.ok());
    }

    /// The end of an open file is the kernel's business alone: nobody sees its result, and it is not counted.
    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.nodes.close(handle);
        reply.ok();
    }

    /// Counted and answered; the folder below needs no sync, since no power cut is played here.
    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.pass_open(Kind::Sync, handle), |_| reply.ok());
    }

    fn opendir(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer!(
            reply,
            {
                self.pass(Kind::OpenFolder, node)?;
                self.open_node(node, OFlags::RDONLY | OFlags::DIRECTORY)
            },
            |handle| reply.opened(handle, FopenFlags::empty())
        );
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        answer!(
            reply,
            {
                let open = self.pass_open(Kind::ReadFolder, handle)?;
                // Read anew for each piece; offsets are places in the sorted list, so that runs are alike.
                let mut entries = Dir::read_from(&open.file)?.collect::<Result<Vec<_>, _>>()?;
                entries.sort_by(|one, other| one.file_name().cmp(other.file_name()));
                Ok(entries)
            },
            |entries: Vec<rustix::fs::DirEntry>| {
                use std::os::unix::ffi::OsStrExt;
                for (place, entry) in entries.iter().enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
                    let kind = match entry.file_type() {
                        rustix::fs::FileType::Directory => FileType::Directory,
                        rustix::fs::FileType::Symlink => FileType::Symlink,
                        _ => FileType::RegularFile,
                    };
                    let name = OsStr::from_bytes(entry.file_name().to_bytes());
                    if reply.add(self.nodes.number(entry.ino()), place as u64 + 1, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
        );
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.nodes.close(handle);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.pass_open(Kind::SyncFolder, handle), |_| reply.ok());
    }

    fn statfs(&self, _: &Request, node: INodeNo, reply: ReplyStatfs) {
        answer!(
            reply,
            {
                self.pass(Kind::FreeSpace, node)?;
                fstatvfs(&*self.nodes.handle(node)?)
            },
            |facts: rustix::fs::StatVfs| reply.statfs(
                facts.f_blocks,
                facts.f_bfree,
                facts.f_bavail,
                facts.f_files,
                facts.f_ffree,
                facts.f_bsize as u32,
                facts.f_namemax as u32,
                facts.f_frsize as u32,
            )
        );
    }
}
