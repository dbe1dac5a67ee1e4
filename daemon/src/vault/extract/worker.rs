//! Writes single files.

use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use crossbeam_channel::Sender;

use super::{
    Event, Item, Order, disk_error, names,
    placing::{Given, Made, Placer, Refused},
};
use crate::{
    transfer::{DiskError, folders::Folders, place::Place},
    vault::{
        proof::Rule,
        reader::{self, Content, Reader},
        verify::Finding,
    },
};

/// A large file is told about, and can be stopped, after each piece.
const PIECE_BYTES: u64 = 16 * 1024 * 1024;

/// Times that every file system keeps, in seconds since 1970: FAT begins with 1980, and some end with 2037.
const TIMES_KEPT: std::ops::Range<i64> = 315_619_200..2_145_916_800;

/// FAT keeps every second second, and in the time of the place.
const TIME_TOLERANCE: Duration = Duration::from_secs(26 * 3600);

/// One thread that writes.
pub(super) struct Worker<'a> {
    reader: &'a Reader,
    order: &'a Order<'a>,
    cancel: &'a AtomicBool,
    source: Folders,
    placer: Placer<'a>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        reader: &'a Reader,
        order: &'a Order<'a>,
        cancel: &'a AtomicBool,
        given: &'a Given,
    ) -> Result<Self, DiskError> {
        let open = |path: &Path| Folders::open(path, None).map_err(|source| disk_error("opening", path, source));
        let (source, target) = (open(reader.tree())?, open(order.destination)?);
        let placer = Placer::new(target, order.overwrite, order.twins, given);
        Ok(Self { reader, order, cancel, source, placer })
    }

    /// Writes these files, until nobody listens any more.
    pub(super) fn run(
        mut self,
        items: impl IntoIterator<Item = Item>,
        events: &Sender<Event>,
    ) -> Result<(), DiskError> {
        for item in items {
            if self.cancel.load(Ordering::Relaxed) {
                break;
            }
            let event = match self.take_out(&item, events) {
                Ok(event) => event,
                Err(Trouble::Damaged(what)) => Event::Damaged(Finding {
                    path: self.reader.tree().join(&item.file_id[..2]).join(&item.file_id),
                    domain: item.domain,
                    relative_path: item.relative_path,
                    what,
                    rule: Rule::Form,
                }),
                Err(Trouble::Target(error)) if super::is_about_one_file(&error.source) => Event::Unwritable(error),
                Err(Trouble::Target(error)) => return Err(error),
            };
            if events.send(event).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn take_out(&mut self, item: &Item, events: &Sender<Event>) -> Result<Event, Trouble> {
        let payload =
            Place::of_components([&item.file_id[..2], &item.file_id]).ok_or(Trouble::Damaged("has no name"))?;
        let place = names::place_of(&item.domain, &item.relative_path)
            .ok_or(Trouble::Damaged("has a name that leaves its folder"))?;
        let file = self.source.read(&payload).map_err(|error| Trouble::of_source(&error))?;
        // Before anything is made: what does not end as it should leaves nothing behind.
        let mut content =
            self.reader.content(&item.file_id, file, item.key.as_deref()).map_err(|error| match error {
                reader::Unopened::Damaged(what) => Trouble::Damaged(what),
                reader::Unopened::Disk(error) => Trouble::of_source(&error),
            })?;
        let mut renamed = Vec::new();
        let made = self.placer.make(&place, &mut renamed);
        for renamed in renamed {
            let path = self.order.destination.join(renamed.place.as_str());
            let (domain, relative_path) = renamed.name;
            // Nobody listens when the caller is gone, and then this ends with the next file.
            drop(events.send(Event::Renamed { domain, relative_path, path }));
        }
        let (place, made) = made.map_err(|Refused { path, source }| {
            Trouble::Target(disk_error("creating", &self.order.destination.join(path), source))
        })?;
        let path = self.order.destination.join(place.as_str());
        let Made::File(mut target) = made else { return Ok(Event::Existing { path }) };
        let copied = self.copy(&mut content, &mut target, events);
        if !matches!(copied, Ok(true)) {
            // A part of a file is worse than none; the trouble itself is what is told.
            drop(self.placer.folders.remove_file(&place));
        }
        match copied {
            Ok(true) => {
                if let Some(Err(error)) = item.modified.map(|modified| set_time(&target, modified)) {
                    tracing::debug!(path = %path.display(), %error, "the time of a file can't be set");
                }
                Ok(Event::Done)
            }
            Ok(false) => Ok(Event::Copied { bytes: 0 }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Trouble::of_source(&error)),
            Err(source) => Err(Trouble::Target(disk_error("writing", &path, source))),
        }
    }

    /// False when it was stopped.
    fn copy(&self, content: &mut Content, target: &mut File, events: &Sender<Event>) -> io::Result<bool> {
        loop {
            match content.copy_piece(target, PIECE_BYTES)? {
                0 => return Ok(true),
                bytes => drop(events.send(Event::Copied { bytes })),
            }
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
    }
}

/// Sets the time that the phone tells; one that the file system turns into another is taken back.
fn set_time(file: &File, seconds: i64) -> io::Result<()> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if seconds < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
    let time = time.ok_or(io::ErrorKind::InvalidInput)?;
    let written = file.metadata()?.modified()?;
    file.set_modified(time)?;
    if TIMES_KEPT.contains(&seconds) {
        return Ok(());
    }
    let kept = file.metadata()?.modified()?;
    let distance = kept.duration_since(time).unwrap_or_else(|error| error.duration());
    if distance > TIME_TOLERANCE { file.set_modified(written) } else { Ok(()) }
}

enum Trouble {
    Damaged(&'static str),
    Target(DiskError),
}

impl Trouble {
    fn of_source(error: &io::Error) -> Self {
        Self::Damaged(match error.kind() {
            io::ErrorKind::NotFound => "is missing",
            io::ErrorKind::IsADirectory => "is no file",
            io::ErrorKind::InvalidData => "does not end as an encrypted file does",
            _ => "can't be read",
        })
    }
}
