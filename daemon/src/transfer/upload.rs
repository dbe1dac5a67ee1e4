//! Files from the phone: after `DLMessageUploadFiles` come names and blocks until a length of zero.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until},
};

use super::{
    DiskError, Refused, TransferError,
    digests::{Digests, name_of},
    folders::Folders,
    frames::{BLOCK_BYTES_MAX, Frames},
    hashing::Hashing,
    meter::Meter,
    place::{PATH_BYTES_MAX, Place},
    writers::Writers,
};
use crate::vault::name::Name;

/// The file is complete.
const CODE_SUCCESS: u8 = 0x00;
/// The phone could not read the file; a text may follow.
const CODE_ERROR_LOCAL: u8 = 0x06;
/// As above. iOS also ends good files with an empty one, says idevicebackup2.
const CODE_ERROR_REMOTE: u8 = 0x0b;
/// A piece of the file follows.
const CODE_FILE_DATA: u8 = 0x0c;

/// Files up to this size go to a writer in one piece.
const WHOLE_BYTES_MAX: usize = 128 * 1024;

/// After a disk error the phone can be told only at the end of its batch, which may be the whole phone. This long it
/// is heard out, so that it ends in good order; then the connection ends.
const HEARING_OUT_MAX: Duration = Duration::from_secs(20);

/// Files that the phone could not read; more than these are only counted.
const UNREADABLE_KEPT_MAX: usize = 100;

/// A batch ends with one such file at most; a run with more than these fails its check.
const PARTIAL_MAX: usize = 10_000;

/// More than these are taken for damage: no backup lacks so many.
const UNREADABLE_NAMES_MAX: usize = 10_000;

/// A file that the phone could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path on the phone.
    pub device_path: String,
    /// What the phone said.
    pub reason: String,
}

/// What a run received.
#[derive(Debug, Default)]
pub struct Received {
    /// Complete files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that the phone could not read.
    pub unreadable_count: u64,
    /// The first of them.
    pub unreadable: Vec<Unreadable>,
    /// Where they would be.
    pub unreadable_names: HashSet<Name>,
    /// Files that are there in part: the one that is being received, and those that came without their end.
    pub partial: Vec<Place>,
}

enum Step {
    Data(usize),
    End,
    Unreadable(String),
    ListEnd,
}

/// One batch of files on its way from the socket to the disk.
pub struct Upload<'a, S> {
    /// The socket.
    pub frames: &'a mut Frames<S>,
    /// The phone.
    pub udid: &'a str,
    /// For small files.
    pub writers: &'a Writers,
    /// For large files, which are written where they arrive.
    pub folders: &'a mut Folders,
    /// What came.
    pub received: &'a mut Received,
    /// For the checksums of large files.
    pub hashing: &'a Hashing,
    /// Their checksums.
    pub digests: &'a mut Digests,
    /// The first disk error.
    pub disk_error: &'a mut Option<DiskError>,
    /// Where to tell how far it is.
    pub meter: &'a mut Meter,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Upload<'_, S> {
    /// Receives the batch. Everything of it is in the file system when this returns, though not synced.
    ///
    /// # Errors
    /// When the link breaks or the phone sends what is never believed.
    pub async fn receive(mut self) -> Result<(), TransferError> {
        let received = self.receive_all().await;
        self.writers.drain();
        self.collect_digests();
        received
    }

    fn note_partial(&mut self, place: Place) {
        if self.received.partial.len() < PARTIAL_MAX {
            self.received.partial.push(place);
        }
    }

    /// The place of the next file in the order in which they came.
    const fn next(&mut self) -> u64 {
        self.received.files += 1;
        self.received.files
    }

    async fn receive_all(&mut self) -> Result<(), TransferError> {
        let mut failed_at = None;
        loop {
            if failed_at.is_none() && (self.disk_error.is_some() || self.writers.failed()) {
                failed_at = Some(Instant::now());
            }
            let Some(at) = failed_at else { if self.receive_one().await? { continue } else { return Ok(()) } };
            tokio::select! {
                more = self.receive_one() => if !more? { return Ok(()) },
                () = sleep_until(at + HEARING_OUT_MAX) => return Err(TransferError::DiskFailed),
            }
        }
    }

    /// The next file; false at the end of the list.
    async fn receive_one(&mut self) -> Result<bool, TransferError> {
        let Some(device_path) = name(self.frames, "a device path").await? else { return Ok(false) };
        let Some(file_path) = name(self.frames, "a file path").await? else { return Ok(false) };
        self.frames.recorder.file(&device_path, &file_path);
        let place = Place::new(&file_path, self.udid)?;
        if place.is_whole_backup() {
            return Err(Refused::Path { path: file_path, why: "is the phone's folder itself" }.into());
        }
        let more = self.receive_file(place, &device_path).await?;
        self.meter.tick(self.received.files, self.received.bytes);
        Ok(more)
    }

    /// One file; false when the list ended with it. A file is complete when its success code came: the end of the list
    /// straight after its data says nothing of it.
    async fn receive_file(&mut self, place: Place, device_path: &str) -> Result<bool, TransferError> {
        let mut first = Bytes::new();
        let mut step = next_step(self.frames, false).await?;
        if let Step::Data(length) = step
            && length <= WHOLE_BYTES_MAX
        {
            first = self.frames.exactly(length).await?;
            step = next_step(self.frames, true).await?;
        }
        if let Step::Data(_) = step {
            return self.receive_blocks(place, device_path, first, step).await;
        }
        let more = !matches!(step, Step::ListEnd);
        if let Step::Unreadable(reason) = step {
            unreadable(self.received, &place, device_path, reason);
        } else {
            let order = self.next();
            self.received.bytes += first.len() as u64;
            if !more {
                self.note_partial(place.clone());
            }
            self.writers.write(order, place, first, more);
        }
        Ok(more)
    }

    /// The rest of a large file. After a disk error the bytes are only counted, so that the phone can be told.
    async fn receive_blocks(
        &mut self,
        place: Place,
        device_path: &str,
        first: Bytes,
        mut step: Step,
    ) -> Result<bool, TransferError> {
        // A small file of this name may still be on its way.
        self.writers.drain();
        let mut file = self.noting("creating", &place, |folders| folders.create(&place));
        let mut bytes = first.len() as u64;
        let already = self.received.partial.len();
        self.note_partial(place.clone());
        self.write(&mut file, &place, &first);
        self.hashing.update(first);
        while let Step::Data(mut left) = step {
            while left > 0 {
                let block = self.frames.some(left).await?;
                left -= block.len();
                bytes += block.len() as u64;
                self.write(&mut file, &place, &block);
                self.hashing.update(block);
                self.meter.tick(self.received.files, self.received.bytes + bytes);
            }
            step = next_step(self.frames, true).await?;
        }
        if let Step::Unreadable(reason) = step {
            if file.is_some() {
                self.noting("removing", &place, |folders| folders.remove_file(&place));
            }
            self.hashing.forget();
            self.received.partial.truncate(already);
            unreadable(self.received, &place, device_path, reason);
            return Ok(true);
        }
        let order = self.next();
        self.received.bytes += bytes;
        let more = !matches!(step, Step::ListEnd);
        if more {
            self.received.partial.truncate(already);
        }
        self.hashing.end(order, name_of(&place), more);
        Ok(more)
    }

    /// What was taken of small files and of large ones, in the order in which they came.
    fn collect_digests(&mut self) {
        let mut came = self.writers.take_written();
        came.extend(self.hashing.take());
        came.sort_unstable_by_key(|written| written.order);
        for written in came {
            self.digests.received(written.name, written.checksums, written.whole);
        }
    }

    fn write(&mut self, file: &mut Option<File>, place: &Place, content: &[u8]) {
        if let Some(open) = file
            && self.noting("writing", place, |_| open.write_all(content)).is_none()
        {
            *file = None;
        }
    }

    fn noting<T>(
        &mut self,
        operation: &'static str,
        place: &Place,
        act: impl FnOnce(&mut Folders) -> io::Result<T>,
    ) -> Option<T> {
        let path = || self.writers.base().join(place.as_str());
        match act(self.folders) {
            Ok(done) => Some(done),
            Err(source) => {
                self.disk_error.get_or_insert_with(|| DiskError { operation, path: path(), source });
                None
            }
        }
    }
}

async fn name<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    what: &'static str,
) -> Result<Option<String>, TransferError> {
    let bytes = frames.number().await?;
    if bytes == 0 {
        return Ok(None);
    }
    // A path on the phone may be longer than any path in a backup.
    let max = 4 * PATH_BYTES_MAX as u64;
    if u64::from(bytes) > max {
        return Err(Refused::Length { what, bytes: bytes.into(), max }.into());
    }
    let raw = frames.exactly(bytes as usize).await?;
    let text = std::str::from_utf8(&raw).map_err(|_| Refused::Malformed { what: what.to_owned() })?;
    Ok(Some(text.to_owned()))
}

async fn next_step<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    after_data: bool,
) -> Result<Step, TransferError> {
    let length = frames.number().await?;
    if length == 0 {
        return Ok(Step::ListEnd);
    }
    if length > BLOCK_BYTES_MAX {
        let max = BLOCK_BYTES_MAX.into();
        return Err(Refused::Length { what: "a file block", bytes: length.into(), max }.into());
    }
    let code = frames.code().await?;
    let payload = length as usize - 1;
    match code {
        CODE_FILE_DATA => {
            frames.recorder.block(payload);
            Ok(Step::Data(payload))
        }
        CODE_SUCCESS => {
            skip(frames, payload).await?;
            frames.recorder.file_ended(code, false);
            Ok(Step::End)
        }
        CODE_ERROR_REMOTE if after_data && payload == 0 => {
            frames.recorder.file_ended(code, true);
            Ok(Step::End)
        }
        CODE_ERROR_REMOTE | CODE_ERROR_LOCAL => {
            let kept = payload.min(2000);
            let text = frames.exactly(kept).await?;
            skip(frames, payload - kept).await?;
            let text = String::from_utf8_lossy(&text).into_owned();
            frames.recorder.unreadable(code, &text);
            Ok(Step::Unreadable(text))
        }
        code => Err(Refused::Malformed { what: format!("a file block with code {code:#04x}") }.into()),
    }
}

async fn skip<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    mut bytes: usize,
) -> Result<(), TransferError> {
    while bytes > 0 {
        bytes -= frames.some(bytes).await?.len();
    }
    Ok(())
}

fn unreadable(received: &mut Received, place: &Place, device_path: &str, reason: String) {
    tracing::warn!(device_path, reason, "the phone could not read one of its files");
    received.unreadable_count += 1;
    let name = match name_of(place) {
        Name::Staged(id) => Name::Payload(id),
        name => name,
    };
    if received.unreadable_names.len() < UNREADABLE_NAMES_MAX {
        received.unreadable_names.insert(name);
    }
    if received.unreadable.len() < UNREADABLE_KEPT_MAX {
        received.unreadable.push(Unreadable { device_path: device_path.to_owned(), reason });
    }
}
