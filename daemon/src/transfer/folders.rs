//! Files by folder: each folder is opened once and its files are reached from it, without following links.

use std::{collections::HashMap, io, path::Path};

use super::place::Place;
use crate::vault::{aside::Aside, extract::spelling::composed};

/// Most folders that are held open at a time; a backup has 256 and as many in its `Snapshot`.
const OPEN_FOLDERS_MAX: usize = 600;

/// The folder that holds the phone's folder, and handles on the folders below it.
#[derive(Debug)]
pub struct Folders {
    #[cfg(unix)]
    base: rustix::fd::OwnedFd,
    #[cfg(unix)]
    open: HashMap<String, rustix::fd::OwnedFd>,
    #[cfg(not(unix))]
    base: std::path::PathBuf,
    #[cfg(not(unix))]
    open: HashMap<String, ()>,
    /// On a disk that can't clone.
    aside: Option<Aside>,
}

#[cfg(unix)]
mod unix {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, linkat, mkdirat, openat, renameat, statat, unlinkat},
        io::Errno,
    };

    use super::{Aside, Folders, HashMap, OPEN_FOLDERS_MAX, Path, Place, composed, io};

    fn open_folder(parent: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
        // Component by component: O_NOFOLLOW guards only the last one.
        let mut current: Option<OwnedFd> = None;
        for component in path.split('/') {
            let within = current.as_ref().map_or(parent, |fd| fd.as_fd());
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            current = Some(openat(within, component, flags, Mode::empty())?);
        }
        current.ok_or(Errno::INVAL)
    }

    impl Folders {
        /// Opens the folder that holds the phone's folder.
        ///
        /// # Errors
        /// When it can't be opened.
        pub fn open(base: &Path, aside: Option<&Aside>) -> io::Result<Self> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let base = openat(CWD, base, flags, Mode::empty())?;
            Ok(Self { base, open: HashMap::new(), aside: aside.cloned() })
        }

        fn at(&mut self, folder: &str) -> io::Result<BorrowedFd<'_>> {
            if folder.is_empty() {
                return Ok(self.base.as_fd());
            }
            if !self.open.contains_key(folder) {
                if self.open.len() >= OPEN_FOLDERS_MAX {
                    self.open.clear();
                }
                let opened = open_folder(self.base.as_fd(), folder)?;
                self.open.insert(folder.to_owned(), opened);
            }
            self.open.get(folder).map(AsFd::as_fd).ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        /// Makes a file that was not there; one that was is replaced, never written into: it may be a link to a file
        /// of the last good backup.
        ///
        /// # Errors
        /// Of the file system; a folder of that name is never removed for a file.
        pub fn create(&mut self, place: &Place) -> io::Result<std::fs::File> {
            match self.create_new(place) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !self.set_aside(place)? {
                        let (folder, name) = place.split();
                        unlinkat(self.at(folder)?, name, AtFlags::empty())?;
                    }
                    self.create_new(place)
                }
                other => other,
            }
        }

        /// Makes a file where there is nothing.
        ///
        /// # Errors
        /// `AlreadyExists` when there is something, be it a link; or of the file system.
        pub fn create_new(&mut self, place: &Place) -> io::Result<std::fs::File> {
            let (folder, name) = place.split();
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(openat(self.at(folder)?, name, flags, Mode::RUSR | Mode::WUSR)?.into())
        }

        /// Opens a file to write on at its end.
        ///
        /// # Errors
        /// Of the file system; what is no plain file is one.
        pub fn append(&mut self, place: &Place) -> io::Result<std::fs::File> {
            let (folder, name) = place.split();
            // Nobody waits for the other end of a pipe.
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file: std::fs::File = openat(self.at(folder)?, name, flags, Mode::empty())?.into();
            if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::AlreadyExists.into()) }
        }

        /// Gives a file another name in its folder, and never takes one that something else has.
        ///
        /// # Errors
        /// `AlreadyExists` when something has it; or of the file system.
        pub fn rename_new(&mut self, from: &Place, to: &Place) -> io::Result<()> {
            let ((folder, old), (_, new)) = (from.split(), to.split());
            let within = self.at(folder)?;
            #[cfg(any(target_os = "linux", target_vendor = "apple"))]
            match renameat_with(within, old, within, new, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
                renamed => return Ok(renamed?),
            }
            // A link is refused as well where the name is taken.
            match linkat(within, old, within, new, AtFlags::empty()) {
                Ok(()) => Ok(unlinkat(within, old, AtFlags::empty())?),
                Err(Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
                // Neither is to be had on this disk: a look beforehand is the best there is.
                Err(_) => match statat(within, new, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => Ok(renameat(within, old, within, new)?),
                    Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                    Err(error) => Err(error.into()),
                },
            }
        }

        /// Opens a file to read it.
        ///
        /// # Errors
        /// Of the file system.
        pub fn read(&mut self, place: &Place) -> io::Result<std::fs::File> {
            let (folder, name) = place.split();
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // Nobody waits for the other end of a pipe.
            let flags = flags | OFlags::NONBLOCK;
            let file: std::fs::File = openat(self.at(folder)?, name, flags, Mode::empty())?.into();
            if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::IsADirectory.into()) }
        }

        /// True when the disk finds something under this name that its folder does not list so, or that `other` is a name
        /// of, too: the disk takes two spellings for one. `None` when nothing has this name.
        ///
        /// # Errors
        /// Of the file system.
        pub fn has_another_name(&mut self, place: &Place, other: Option<&Place>) -> io::Result<Option<bool>> {
            let mut find = |place: &Place| -> io::Result<_> {
                let (folder, name) = place.split();
                match statat(self.at(folder)?, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(facts) => Ok(Some((facts.st_dev, facts.st_ino))),
                    Err(Errno::NOENT) => Ok(None),
                    Err(error) if super::is_no_name(&error.into()) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            };
            let Some(here) = find(place)? else { return Ok(None) };
            if let Some(other) = other
                && find(other)? == Some(here)
            {
                return Ok(Some(true));
            }
            let (folder, name) = place.split();
            // Some disks decompose what they are given, and list it so.
            let name = composed(name);
            for entry in Dir::read_from(self.at(folder)?)? {
                if composed(&entry?.file_name().to_string_lossy()) == name {
                    return Ok(Some(false));
                }
            }
            Ok(Some(true))
        }

        /// Makes a folder, and those above it that are missing.
        ///
        /// # Errors
        /// Of the file system; a folder that is there is none.
        pub fn create_folder(&mut self, place: &Place) -> io::Result<()> {
            let path = place.as_str();
            for end in path.match_indices('/').map(|(end, _)| end).chain([path.len()]) {
                let (folder, name) = path[..end].rsplit_once('/').unwrap_or(("", &path[..end]));
                match mkdirat(self.at(folder)?, name, Mode::RWXU) {
                    Ok(()) => {}
                    Err(Errno::EXIST) => {
                        let there = statat(self.at(folder)?, name, AtFlags::SYMLINK_NOFOLLOW)?;
                        if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
                            return Err(io::ErrorKind::AlreadyExists.into());
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        }

        /// Moves a file or folder; a file in its place is replaced.
        ///
        /// # Errors
        /// Of the file system.
        pub fn rename(&mut self, from: &Place, to: &Place) -> io::Result<()> {
            if self.aside.is_some() && self.is_file(to)? {
                self.set_aside(to)?;
            }
            let (from_folder, from_name) = from.split();
            let (to_folder, to_name) = to.split();
            self.at(from_folder)?;
            self.at(to_folder)?;
            let within = |folder: &str| {
                if folder.is_empty() { Some(self.base.as_fd()) } else { self.open.get(folder).map(AsFd::as_fd) }
            };
            let (Some(source), Some(target)) = (within(from_folder), within(to_folder)) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            Ok(renameat(source, from_name, target, to_name)?)
        }

        /// Removes a file; true when it was one, false when it is a folder.
        ///
        /// # Errors
        /// Of the file system.
        pub fn remove_file(&mut self, place: &Place) -> io::Result<bool> {
            if self.aside.is_some() && self.is_file(place)? && self.set_aside(place)? {
                return Ok(true);
            }
            let (folder, name) = place.split();
            let within = self.at(folder)?;
            match unlinkat(within, name, AtFlags::empty()) {
                Ok(()) => Ok(true),
                // Linux says EISDIR, POSIX and macOS EPERM.
                Err(Errno::ISDIR | Errno::PERM) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }

        fn is_file(&mut self, place: &Place) -> io::Result<bool> {
            let (folder, name) = place.split();
            match statat(self.at(folder)?, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(facts) => Ok(FileType::from_raw_mode(facts.st_mode) != FileType::Directory),
                Err(Errno::NOENT) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
    }
}

#[cfg(not(unix))]
impl Folders {
    /// Opens the folder that holds the phone's folder.
    pub fn open(base: &Path, aside: Option<&Aside>) -> io::Result<Self> {
        Ok(Self { base: base.to_owned(), open: HashMap::new(), aside: aside.cloned() })
    }

    fn at(&self, place: &Place) -> std::path::PathBuf {
        debug_assert!(self.open.len() <= OPEN_FOLDERS_MAX);
        place.as_str().split('/').fold(self.base.clone(), |path, component| path.join(component))
    }

    /// Makes a file that was not there; one that was is replaced, never written into.
    pub fn create(&mut self, place: &Place) -> io::Result<std::fs::File> {
        match self.create_new(place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !self.set_aside(place)? {
                    std::fs::remove_file(self.at(place))?;
                }
                self.create_new(place)
            }
            other => other,
        }
    }

    /// Makes a file where there is nothing.
    pub fn create_new(&mut self, place: &Place) -> io::Result<std::fs::File> {
        std::fs::OpenOptions::new().write(true).create_new(true).open(self.at(place))
    }

    /// Opens a file to write on at its end.
    pub fn append(&mut self, place: &Place) -> io::Result<std::fs::File> {
        std::fs::OpenOptions::new().append(true).open(self.at(place))
    }

    /// Gives a file another name in its folder, and never takes one that something else has.
    pub fn rename_new(&mut self, from: &Place, to: &Place) -> io::Result<()> {
        // Renaming replaces; a link does not.
        match std::fs::hard_link(self.at(from), self.at(to)) {
            Ok(()) => std::fs::remove_file(self.at(from)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            Err(_) if self.at(to).try_exists()? => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => std::fs::rename(self.at(from), self.at(to)),
        }
    }

    /// Opens a file to read it.
    pub fn read(&mut self, place: &Place) -> io::Result<std::fs::File> {
        std::fs::File::open(self.at(place))
    }

    /// True when the disk finds something under this name that its folder does not list so. `None` when nothing has it.
    pub fn has_another_name(&mut self, place: &Place, _other: Option<&Place>) -> io::Result<Option<bool>> {
        let path = self.at(place);
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_name(&error) => return Ok(None),
            found => found?,
        };
        let Some((folder, name)) = path.parent().zip(path.file_name()) else { return Ok(None) };
        for entry in std::fs::read_dir(folder)? {
            if composed(&entry?.file_name().to_string_lossy()) == composed(&name.to_string_lossy()) {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    /// Makes a folder, and those above it that are missing.
    pub fn create_folder(&mut self, place: &Place) -> io::Result<()> {
        let mut path = self.base.clone();
        for component in place.as_str().split('/') {
            path.push(component);
            match std::fs::symlink_metadata(&path) {
                Ok(there) if there.is_dir() => {}
                // A link would lead out of the folder.
                Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir(&path)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Moves a file or folder; a file in its place is replaced.
    pub fn rename(&mut self, from: &Place, to: &Place) -> io::Result<()> {
        if self.aside.is_some() && self.at(to).is_file() {
            self.set_aside(to)?;
        }
        std::fs::rename(self.at(from), self.at(to))
    }

    /// Removes a file; true when it was one, false when it is a folder.
    pub fn remove_file(&mut self, place: &Place) -> io::Result<bool> {
        let path = self.at(place);
        if std::fs::symlink_metadata(&path)?.is_dir() {
            return Ok(false);
        }
        if self.set_aside(place)? {
            return Ok(true);
        }
        std::fs::remove_file(path)?;
        Ok(true)
    }
}

/// What a disk says of a name that no file of it can have.
fn is_no_name(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput)
}

impl Folders {
    /// Moves what is about to be replaced out of the way, on a disk that can't clone; false when it may go.
    fn set_aside(&self, place: &Place) -> io::Result<bool> {
        self.aside.as_ref().map_or(Ok(false), |aside| aside.take(place.as_str()))
    }

    /// Sees to it that what an earlier run left under this name can be put back, on a disk that can't clone.
    ///
    /// # Errors
    /// Of the file system.
    pub fn keep(&self, place: &Place) -> io::Result<()> {
        self.aside.as_ref().map_or(Ok(()), |aside| aside.copy(place.as_str()))
    }

    /// Removes a folder and everything in it.
    ///
    /// # Errors
    /// Of the file system.
    pub fn remove_folder(&mut self, base: &Path, place: &Place) -> io::Result<()> {
        self.forget();
        if let Some(aside) = &self.aside {
            aside.take_folder(place.as_str())?;
        }
        std::fs::remove_dir_all(base.join(place.as_str()))
    }

    /// Lets go of every open folder, since one of them may have been moved or removed.
    pub fn forget(&mut self) {
        self.open.clear();
    }
}
