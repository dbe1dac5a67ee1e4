//! The media folder, kept in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    BLOCK_SIZE, SYNC_LOCK,
    contents::{self, Content},
    faults::Faults,
    locks::{LockKind, Locks},
    open_files::Mode,
    packet::{Fields, Status},
};

/// No file grows beyond this.
pub(super) const LENGTH_LIMIT: u64 = 256 << 20;

/// What AFC shows of a phone; clones are the same folder.
#[derive(Clone)]
pub struct Media(Arc<Mutex<Tree>>);

pub(super) struct Tree {
    /// By path; the root is the empty one.
    nodes: BTreeMap<String, Node>,
    files: HashMap<u64, File>,
    locks: Locks,
    pub(super) faults: Faults,
    last_number: u64,
    /// Names that a folder lists beside those that are in it.
    listed_too: HashMap<String, Vec<String>>,
    bytes_read: watch::Sender<u64>,
}

#[derive(Clone, Copy)]
enum Node {
    Folder,
    File(u64),
}

struct File {
    content: Content,
    /// Nanoseconds since 1970.
    modified: u64,
}

impl Default for Media {
    fn default() -> Self {
        let root = BTreeMap::from([(String::new(), Node::Folder)]);
        let media = Self(Arc::new(Mutex::new(Tree {
            nodes: root,
            files: HashMap::new(),
            locks: Locks::default(),
            faults: Faults::default(),
            last_number: 0,
            listed_too: HashMap::new(),
            bytes_read: watch::Sender::new(0),
        })));
        for folder in contents::FOLDERS {
            media.tree().nodes.insert((*folder).to_owned(), Node::Folder);
        }
        for (path, content) in contents::files() {
            media.put(&path, content);
        }
        media
    }
}

/// What tests do with the folder.
impl Media {
    /// Puts a file there, with the folders above it.
    pub fn put(&self, path: &str, content: Vec<u8>) {
        self.put_content(path, Content::Bytes(content));
    }

    /// Puts a file there that is made when it is read: one too large to be kept.
    pub fn put_made(&self, path: &str, seed: u64, length: u64) {
        self.put_content(path, Content::Made { seed, length });
    }

    /// A folder lists these names, whatever is in it.
    pub fn list_too(&self, folder: &str, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.tree().listed_too.insert(folder.trim_matches('/').to_owned(), names);
    }

    /// Bytes of files that clients have read.
    pub fn bytes_read(&self) -> watch::Receiver<u64> {
        self.tree().bytes_read.subscribe()
    }

    fn put_content(&self, path: &str, content: Content) {
        let path = path.trim_matches('/');
        let mut tree = self.tree();
        for (end, _) in path.match_indices('/') {
            tree.nodes.entry(path[..end].to_owned()).or_insert(Node::Folder);
        }
        tree.add_file(path, content);
    }

    /// The content of a file.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let tree = self.tree();
        match tree.nodes.get(path.trim_matches('/'))? {
            Node::File(file) => {
                let content = &tree.files.get(file)?.content;
                Some(content.read(0, content.length()))
            }
            Node::Folder => None,
        }
    }

    /// True while some program holds the sync lock.
    pub fn sync_is_locked(&self) -> bool {
        let tree = self.tree();
        match tree.nodes.get(SYNC_LOCK.trim_matches('/')) {
            Some(Node::File(file)) => tree.locks.is_locked(*file),
            _ => false,
        }
    }

    /// Holds the sync lock as if another program did, until dropped; None while somebody else holds it.
    pub fn hold_sync_lock(&self) -> Option<SyncLock> {
        let path = Fields(SYNC_LOCK.as_bytes()).path().ok()?;
        let mode = Mode::READ_AND_WRITE;
        let file = self.open(&path, mode).ok()?;
        let holder = self.next_holder();
        self.lock(file, holder, LockKind::Exclusive).ok()?;
        Some(SyncLock { media: self.clone(), file, holder })
    }

    /// Every file below a folder.
    pub(super) fn paths_below(&self, folder: &str) -> Vec<String> {
        let tree = self.tree();
        let files = tree.nodes.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path).filter(|path| is_below(path, folder)).cloned().collect()
    }

    pub(super) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sync lock in the hands of a program that is not there.
pub struct SyncLock {
    media: Media,
    file: u64,
    holder: u64,
}

impl Drop for SyncLock {
    fn drop(&mut self) {
        self.media.unlock(self.file, self.holder);
    }
}

/// What paths lead to.
impl Media {
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, Status> {
        let tree = self.tree();
        match tree.nodes.get(path).ok_or(Status::ObjectNotFound)? {
            Node::Folder => {}
            Node::File(_) => return Err(Status::InvalidArgument),
        }
        let names = tree.below(path).filter(|inside| !inside.contains('/')).map(str::to_owned);
        let too = tree.listed_too.get(path).into_iter().flatten().cloned();
        Ok([".".to_owned(), "..".to_owned()].into_iter().chain(names).chain(too).collect())
    }

    /// Key and value in turn.
    pub(super) fn information(&self, path: &str) -> Result<Vec<String>, Status> {
        let tree = self.tree();
        let (length, kind, modified) = match tree.nodes.get(path).ok_or(Status::ObjectNotFound)? {
            Node::Folder => (64, "S_IFDIR", contents::FIRST_MODIFIED),
            Node::File(file) => {
                let file = tree.files.get(file).ok_or(Status::ObjectNotFound)?;
                (file.content.length(), "S_IFREG", file.modified)
            }
        };
        let facts = [
            ("st_size", length.to_string()),
            ("st_blocks", (length.div_ceil(BLOCK_SIZE) * (BLOCK_SIZE / 512)).to_string()),
            ("st_nlink", "1".to_owned()),
            ("st_ifmt", kind.to_owned()),
            ("st_mtime", modified.to_string()),
            ("st_birthtime", contents::FIRST_MODIFIED.to_string()),
        ];
        Ok(facts.into_iter().flat_map(|(key, value)| [key.to_owned(), value]).collect())
    }

    pub(super) fn make_directory(&self, path: &str) -> Result<(), Status> {
        let mut tree = self.tree();
        match tree.nodes.get(path) {
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(Status::ObjectExists),
            None => {
                tree.check_parent(path)?;
                tree.nodes.insert(path.to_owned(), Node::Folder);
                Ok(())
            }
        }
    }

    pub(super) fn remove(&self, path: &str, with_contents: bool) -> Result<(), Status> {
        let mut tree = self.tree();
        if path.is_empty() {
            return Err(Status::PermissionDenied);
        }
        if !tree.nodes.contains_key(path) {
            return Err(Status::ObjectNotFound);
        }
        if !with_contents && tree.below(path).next().is_some() {
            return Err(Status::DirectoryNotEmpty);
        }
        tree.nodes.retain(|other, _| other != path && !is_below(other, path));
        Ok(())
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), Status> {
        let mut tree = self.tree();
        if !tree.nodes.contains_key(from) {
            return Err(Status::ObjectNotFound);
        }
        tree.check_parent(to)?;
        if from.is_empty() || is_below(to, from) {
            return Err(Status::InvalidArgument);
        }
        if from != to && tree.below(to).next().is_some() {
            return Err(Status::DirectoryNotEmpty);
        }
        let moved: Vec<String> =
            tree.nodes.keys().filter(|path| *path == from || is_below(path, from)).cloned().collect();
        for path in moved {
            if let Some(node) = tree.nodes.remove(&path) {
                tree.nodes.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        Ok(())
    }

    pub(super) fn set_length_of(&self, path: &str, length: u64) -> Result<(), Status> {
        let file = self.tree().file_at(path)?;
        self.set_length(file, length)
    }

    pub(super) fn set_modified(&self, path: &str, nanoseconds: u64) -> Result<(), Status> {
        let mut tree = self.tree();
        let file = tree.file_at(path)?;
        tree.file_mut(file)?.modified = nanoseconds;
        Ok(())
    }

    pub(super) fn open(&self, path: &str, mode: Mode) -> Result<u64, Status> {
        let mut tree = self.tree();
        let file = match tree.nodes.get(path) {
            Some(Node::Folder) => return Err(Status::ObjectIsDirectory),
            Some(Node::File(file)) => *file,
            None if mode.creates => {
                tree.check_parent(path)?;
                tree.add_file(path, Content::default())
            }
            None => return Err(Status::ObjectNotFound),
        };
        if mode.truncates {
            tree.file_mut(file)?.content = Content::default();
        }
        Ok(file)
    }
}

/// What handles lead to; a file outlives its path.
impl Media {
    pub(super) fn next_holder(&self) -> u64 {
        self.tree().next_number()
    }

    pub(super) fn length(&self, file: u64) -> u64 {
        self.tree().files.get(&file).map_or(0, |file| file.content.length())
    }

    pub(super) fn read_at(&self, file: u64, position: u64, length: u64) -> Vec<u8> {
        let tree = self.tree();
        let bytes = tree.files.get(&file).map_or_else(Vec::new, |file| file.content.read(position, length));
        tree.bytes_read.send_modify(|read| *read += bytes.len() as u64);
        bytes
    }

    pub(super) fn write_at(&self, file: u64, position: u64, bytes: &[u8]) -> Result<(), Status> {
        let end = position.checked_add(bytes.len() as u64).filter(|end| *end <= LENGTH_LIMIT);
        let end = end.ok_or(Status::NoSpaceLeft)? as usize;
        let mut tree = self.tree();
        let file = tree.file_mut(file)?;
        let content = file.content.bytes_mut();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[position as usize..end].copy_from_slice(bytes);
        file.modified = now();
        Ok(())
    }

    pub(super) fn set_length(&self, file: u64, length: u64) -> Result<(), Status> {
        if length > LENGTH_LIMIT {
            return Err(Status::NoSpaceLeft);
        }
        let mut tree = self.tree();
        let file = tree.file_mut(file)?;
        file.content.bytes_mut().resize(length as usize, 0);
        file.modified = now();
        Ok(())
    }

    pub(super) fn lock(&self, file: u64, holder: u64, kind: LockKind) -> Result<(), Status> {
        self.tree().locks.lock(file, holder, kind)
    }

    pub(super) fn unlock(&self, file: u64, holder: u64) {
        self.tree().locks.unlock(file, holder);
    }
}

impl Tree {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn add_file(&mut self, path: &str, content: Content) -> u64 {
        let number = self.next_number();
        // Files that are there from the start were made a minute after each other.
        let modified = contents::FIRST_MODIFIED + number * 60_000_000_000;
        self.files.insert(number, File { content, modified });
        self.nodes.insert(path.to_owned(), Node::File(number));
        number
    }

    fn file_at(&self, path: &str) -> Result<u64, Status> {
        match self.nodes.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Folder) => Err(Status::ObjectIsDirectory),
            None => Err(Status::ObjectNotFound),
        }
    }

    fn file_mut(&mut self, file: u64) -> Result<&mut File, Status> {
        self.files.get_mut(&file).ok_or(Status::ObjectNotFound)
    }

    fn check_parent(&self, path: &str) -> Result<(), Status> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        match self.nodes.get(parent) {
            Some(Node::Folder) if !path.is_empty() => Ok(()),
            Some(_) => Err(Status::InvalidArgument),
            None => Err(Status::ObjectNotFound),
        }
    }

    /// Everything below a folder, by its path from there.
    fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.nodes.keys().filter(move |path| is_below(path, folder)).map(move |path| match folder {
            "" => path.as_str(),
            _ => &path[folder.len() + 1..],
        })
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    if folder.is_empty() {
        return !path.is_empty();
    }
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
