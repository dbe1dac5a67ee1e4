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
    placing::{Made, NamesInUse, Placer, Refused, Renamed},
};
use crate::{
    transfer::{DiskError, folders::Folders, place::Place},
    vault::{
        proof::Rule,
        reader::{Content, Reader, Unopened},
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
        in_use: &'a NamesInUse,
    ) -> Result<Self, DiskError> {
        let open = |path: &Path| Folders::open(path, None).map_err(|source| disk_error("opening", path, source));
        let (source, target) = (open(reader.tree())?, open(order.destination)?);
        let placer = Placer::new(target, order.overwrite, order.twins, in_use);
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
                Err(Trouble::Damaged(what, rule)) => Event::Damaged(Finding {
                    path: self.reader.tree().join(&item.file_id[..2]).join(&item.file_id),
                    domain: item.domain,
                    relative_path: item.relative_path,
                    what,
                    rule,
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
        let broken = |what| Trouble::Damaged(what, Rule::Row);
        let payload = Place::of_components([&item.file_id[..2], &item.file_id]).ok_or_else(|| broken("has no name"))?;
        let place = names::place_of(&item.domain, &item.relative_path)
            .ok_or_else(|| broken("has a name that leaves its folder"))?;
        let mut file = self.source.read(&payload).map_err(|error| Trouble::of_source(&error))?;
        // Before anything is made or replaced: what is seen to be damaged leaves everything as it is.
        if self.order.overwrite {
            self.reader.prove(&item.file_id, &mut file, item.digest, || !self.cancel.load(Ordering::Relaxed))?;
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(Event::Copied { bytes: 0 });
            }
        }
        let content = self.reader.content(&item.file_id, file, item.key.as_deref(), item.digest)?;
        let mut renamed = Vec::new();
        let made = self.placer.make(&place, &mut renamed);
        let (place, made) = made.map_err(|Refused { path, source }| {
            Trouble::Target(disk_error("creating", &self.order.destination.join(path), source))
        })?;
        let path = self.order.destination.join(place.as_str());
        let written = match made {
            Made::File(target) => self.write(item, content, target, &path, events),
            Made::Existing => Ok(Event::Existing { path }),
        };
        if !matches!(written, Ok(Event::Done { .. } | Event::Existing { .. })) {
            // A part of a file is worse than none; the trouble itself is what is told.
            drop(self.placer.folders.remove_file(&place));
            renamed.retain(|renamed| renamed.place != place);
        }
        self.tell_renamed(renamed, events);
        written
    }

    /// What got another name and is there.
    fn tell_renamed(&self, renamed: Vec<Renamed>, events: &Sender<Event>) {
        for Renamed { name: (domain, relative_path), place } in renamed {
            let path = self.order.destination.join(place.as_str());
            // Nobody listens when the caller is gone, and then this ends with the next file.
            drop(events.send(Event::Renamed { domain, relative_path, path }));
        }
    }

    /// Writes one file; it has to be removed unless it is done.
    fn write(
        &self,
        item: &Item,
        mut content: Content,
        mut target: File,
        path: &Path,
        events: &Sender<Event>,
    ) -> Result<Event, Trouble> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => Trouble::of_source(&error),
            _ => Trouble::Target(disk_error("writing", path, error)),
        };
        let Some(bytes) = self.copy(&mut content, &mut target, events).map_err(failed)? else {
            return Ok(Event::Copied { bytes: 0 });
        };
        if let Some((what, rule)) = content.finish().map_err(|error| Trouble::of_source(&error))? {
            return Err(Trouble::Damaged(what, rule));
        }
        if let Some(Err(error)) = item.modified.map(|modified| set_time(&target, modified)) {
            tracing::debug!(path = %path.display(), %error, "the time of a file can't be set");
        }
        Ok(Event::Done { bytes })
    }

    /// How many bytes there were; `None` when it was stopped.
    fn copy(&self, content: &mut Content, target: &mut File, events: &Sender<Event>) -> io::Result<Option<u64>> {
        let mut copied = 0;
        loop {
            match content.copy_piece(target, PIECE_BYTES)? {
                0 => return Ok(Some(copied)),
                bytes => {
                    copied += bytes;
                    drop(events.send(Event::Copied { bytes }));
                }
            }
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(None);
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
    Damaged(&'static str, Rule),
    Target(DiskError),
}

impl Trouble {
    fn of_source(error: &io::Error) -> Self {
        let (what, rule) = match error.kind() {
            io::ErrorKind::NotFound => ("is missing", Rule::There),
            io::ErrorKind::IsADirectory => ("is no file", Rule::There),
            io::ErrorKind::InvalidData => ("does not end as an encrypted file does", Rule::Form),
            _ => ("can't be read", Rule::Form),
        };
        Self::Damaged(what, rule)
    }
}

impl From<Unopened> for Trouble {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::Damaged(what, rule) => Self::Damaged(what, rule),
            Unopened::Disk(error) => Self::of_source(&error),
        }
    }
}
