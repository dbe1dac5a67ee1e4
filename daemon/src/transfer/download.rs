//! Files to the phone: it reads what the backup holds so far before it decides what to send.

use std::io::{self, Read};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    TransferError, device_link_code, folders::Folders, frames::Frames, meter::Meter, place::Place, request::OddPath,
};

const CODE_SUCCESS: u8 = 0x00;
const CODE_ERROR_LOCAL: u8 = 0x06;
const CODE_FILE_DATA: u8 = 0x0c;

/// Bytes of a frame's content: larger ones got the phone's backup service killed on manifests of 1.2 GB.
const CHUNK_BYTES: usize = 32 * 1024 - 5;

/// Frames that go out in one write.
const FRAMES_PER_WRITE: usize = 8;

/// What the phone has fetched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    /// Whole files.
    pub files: u64,
    /// Bytes, also of a file that is under way.
    pub bytes: u64,
}

/// The files of one request on their way to the phone.
pub struct Sending<'a, S> {
    /// The socket.
    pub frames: &'a mut Frames<S>,
    /// Where the files are.
    pub folders: &'a mut Folders,
    /// What went so far.
    pub sent: &'a mut Sent,
    /// Where to report how far it is.
    pub meter: &'a mut Meter,
    /// What a restore fetches is its progress; a backup fetches the list of files of the one before.
    pub is_restore: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sending<'_, S> {
    /// Sends the files, one after the other, and the end of the list; returns those that could not be read. Of `odd` paths
    /// nothing is sent but that they are refused.
    ///
    /// # Errors
    /// When the link breaks.
    pub async fn files(mut self, files: &[Place], odd: &[OddPath]) -> Result<Vec<(Place, io::Error)>, TransferError> {
        let mut failed = Vec::new();
        for place in files {
            self.name(place.as_str()).await?;
            let before = self.sent.bytes;
            let done = self.file(place).await?;
            self.frames.recorder.sent(place, self.sent.bytes - before, done.as_ref().err());
            match done {
                Ok(()) => self.sent.files += 1,
                Err(error) => {
                    self.frames.send(&frame(CODE_ERROR_LOCAL, error.to_string().as_bytes())).await?;
                    failed.push((place.clone(), error));
                }
            }
        }
        for OddPath { path, .. } in odd {
            self.name(path).await?;
            self.frames.send(&frame(CODE_ERROR_LOCAL, REFUSED.as_bytes())).await?;
        }
        self.frames.send(&0_u32.to_be_bytes()).await?;
        Ok(failed)
    }

    async fn name(&mut self, path: &str) -> Result<(), TransferError> {
        let mut header = u32::try_from(path.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        header.extend_from_slice(path.as_bytes());
        self.frames.send(&header).await
    }

    /// The outer error is the link's, the inner one the disk's.
    async fn file(&mut self, place: &Place) -> Result<io::Result<()>, TransferError> {
        let mut file = match self.folders.read(place) {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        // A restore fetches some hundred thousand files, most of them small.
        let bytes = file.metadata().map_or(u64::MAX, |facts| facts.len());
        let piece = usize::try_from(bytes).unwrap_or(usize::MAX).clamp(1, CHUNK_BYTES * FRAMES_PER_WRITE);
        let mut content = vec![0; piece];
        let mut done = 0;
        loop {
            let count = match read_full(&mut file, &mut content) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Ok(Err(error)),
            };
            let mut out = Vec::with_capacity(count + FRAMES_PER_WRITE * 5);
            for chunk in content[..count].chunks(CHUNK_BYTES) {
                out.extend_from_slice(&frame(CODE_FILE_DATA, chunk));
            }
            self.frames.send(&out).await?;
            done += count as u64;
            self.sent.bytes += count as u64;
            match self.is_restore {
                true => self.meter.tick(self.sent.files, self.sent.bytes),
                false => self.meter.sending(done, bytes),
            }
        }
        self.frames.send(&frame(CODE_SUCCESS, &[])).await?;
        Ok(Ok(()))
    }
}

/// What is said of a path outside the phone's folder.
const REFUSED: &str = "Operation not permitted";

fn frame(code: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 1).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes().to_vec();
    frame.push(code);
    frame.extend_from_slice(content);
    frame
}

fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// The `DLMessageStatusResponse` to a download: 0, or -13 and what was wrong by path.
pub fn multi_status(failed: &[(Place, io::Error)], odd: &[OddPath]) -> (i64, plist::Value) {
    let entry = |text: &str, code: i64| {
        let mut entry = plist::Dictionary::new();
        entry.insert("DLFileErrorString".into(), text.into());
        entry.insert("DLFileErrorCode".into(), code.into());
        plist::Value::Dictionary(entry)
    };
    let failed = failed
        .iter()
        .map(|(place, error)| (place.as_str().to_owned(), entry(&error.to_string(), device_link_code(error))));
    let odd = odd.iter().map(|odd| (odd.path.clone(), entry(REFUSED, -1)));
    let by_path: plist::Dictionary = failed.chain(odd).collect();
    (if by_path.is_empty() { 0 } else { -13 }, plist::Value::Dictionary(by_path))
}
