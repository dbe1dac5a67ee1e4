//! Files from the phone: after `DLMessageUploadFiles` come names and blocks until a length of zero.

use std::{
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
    unreadable::{Unreadable, UnreadableFiles},
    writers::Writers,
};

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

/// A phone that names more paths outside its folder in one run means no good.
const ODD_PATHS_MAX: u64 = 1000;

/// What a run received.
#[derive(Debug, Default)]
pub struct Received {
    /// Complete files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that the phone could not read.
    pub unreadable: UnreadableFiles,
    /// Paths outside the phone's folder, about which nothing was done.
    pub odd_paths: OddPaths,
    /// The large file that is being received.
    pub under_way: Option<Place>,
    /// The place of the newest file in the order in which they came.
    pub order: u64,
}

/// Paths outside the phone's folder.
#[derive(Debug, Default)]
pub struct OddPaths {
    /// How many.
    pub count: u64,
    /// What was wrong with the first.
    pub first: Option<Refused>,
    /// The phone heard "no" about one; a file that belongs nowhere is only left out.
    pub refused: bool,
}

impl OddPaths {
    /// One more.
    ///
    /// # Errors
    /// When there are too many of them.
    pub fn add(&mut self, why: &Refused, is_refused: bool) -> Result<(), Refused> {
        self.count += 1;
        if self.first.is_none() {
            tracing::warn!(%why, "the phone names a path outside its folder; nothing is done about it");
            self.first = Some(why.clone());
        }
        self.refused |= is_refused;
        if self.count > ODD_PATHS_MAX { Err(why.clone()) } else { Ok(()) }
    }
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
        collect_digests(self.writers, self.hashing, self.digests);
        received
    }

    /// The place of the next file in the order in which they come.
    const fn next(&mut self) -> u64 {
        self.received.order += 1;
        self.received.order
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
        let more = match Place::new(&file_path, self.udid) {
            Ok(place) if !place.is_whole_backup() => self.receive_file(place, device_path).await?,
            Ok(_) => self.leave_out(&Refused::Path { path: file_path, why: "is the phone's folder itself" }).await?,
            Err(why) => self.leave_out(&why).await?,
        };
        self.meter.tick(self.received.files, self.received.bytes);
        Ok(more)
    }

    /// Takes a file from the socket that belongs nowhere. One of them ends no run: whether the backup lacks it, the check
    /// of its list says.
    async fn leave_out(&mut self, why: &Refused) -> Result<bool, TransferError> {
        self.received.odd_paths.add(why, false)?;
        let mut step = next_step(self.frames, false).await?;
        while let Step::Data(bytes) = step {
            skip(self.frames, bytes).await?;
            step = next_step(self.frames, true).await?;
        }
        Ok(!matches!(step, Step::ListEnd))
    }

    /// One file; false when the list ended with it. A file is complete when its success code came: the end of the list
    /// straight after its data says nothing of it.
    ///
    /// Of a file that the phone can't read, what came of it takes its place, be it nothing: every program that works with
    /// real phones has made the file before the code comes, and the phone goes on as if it were there.
    async fn receive_file(&mut self, place: Place, device_path: String) -> Result<bool, TransferError> {
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
        let order = self.next();
        let whole = self.note(step, &place, device_path, first.len() as u64);
        self.writers.write(order, place, first, whole);
        Ok(more)
    }

    /// The rest of a large file. After a disk error the bytes are only counted, so that the phone can be told.
    async fn receive_blocks(
        &mut self,
        place: Place,
        device_path: String,
        first: Bytes,
        mut step: Step,
    ) -> Result<bool, TransferError> {
        // A small file of this name may still be on its way.
        self.writers.drain();
        let mut file = self.noting("creating", &place, |folders| folders.create(&place));
        let mut bytes = first.len() as u64;
        self.received.under_way = Some(place.clone());
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
        let more = !matches!(step, Step::ListEnd);
        let order = self.next();
        let whole = self.note(step, &place, device_path, bytes);
        self.received.under_way = None;
        self.hashing.end(order, name_of(&place), whole);
        Ok(more)
    }

    /// Notes how a file ended; true when it is complete.
    fn note(&mut self, end: Step, place: &Place, device_path: String, bytes: u64) -> bool {
        let name = name_of(place).in_place();
        if let Step::Unreadable(reason) = end {
            self.received.unreadable.add(name, Unreadable { device_path, reason });
            return false;
        }
        self.received.unreadable.came(&name);
        self.received.files += 1;
        self.received.bytes += bytes;
        matches!(end, Step::End)
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

/// What was taken of small files and of large ones, in the order in which they came.
pub fn collect_digests(writers: &Writers, hashing: &Hashing, digests: &mut Digests) {
    let mut came = writers.take_written();
    came.extend(hashing.take());
    came.sort_unstable_by_key(|written| written.order);
    for written in came {
        digests.received(written.name, written.checksums, written.whole);
    }
}
