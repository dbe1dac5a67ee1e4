//! Files to the phone: it reads what the backup holds so far before it decides what to send.

use std::io::{self, Read};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{TransferError, device_link_code, folders::Folders, frames::Frames, meter::Meter, place::Place};

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

/// Sends the files, one after the other, and the end of the list; returns those that could not be read.
///
/// # Errors
/// When the link breaks.
pub async fn send_files<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    folders: &mut Folders,
    files: &[Place],
    sent: &mut Sent,
    mut meter: Option<&mut Meter>,
) -> Result<Vec<(Place, io::Error)>, TransferError> {
    let mut failed = Vec::new();
    for place in files {
        let before = sent.bytes;
        let path = place.as_str().as_bytes();
        let mut header = u32::try_from(path.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        header.extend_from_slice(path);
        frames.send(&header).await?;
        let mut progress = |bytes| {
            sent.bytes += bytes;
            if let Some(meter) = meter.as_deref_mut() {
                meter.tick(sent.files, sent.bytes);
            }
        };
        let done = send_file(frames, folders, place, &mut progress).await?;
        frames.recorder.sent(place, sent.bytes - before, done.as_ref().err());
        match done {
            Ok(()) => sent.files += 1,
            Err(error) => {
                let text = error.to_string();
                frames.send(&frame(CODE_ERROR_LOCAL, text.as_bytes())).await?;
                failed.push((place.clone(), error));
            }
        }
    }
    frames.send(&0_u32.to_be_bytes()).await?;
    Ok(failed)
}

fn frame(code: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 1).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes().to_vec();
    frame.push(code);
    frame.extend_from_slice(content);
    frame
}

/// The outer error is the link's, the inner one the disk's.
async fn send_file<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    folders: &mut Folders,
    place: &Place,
    progress: &mut impl FnMut(u64),
) -> Result<io::Result<()>, TransferError> {
    let mut file = match folders.read(place) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    // A restore fetches some hundred thousand files, most of them small.
    let bytes = file.metadata().map_or(u64::MAX, |facts| facts.len());
    let piece = usize::try_from(bytes).unwrap_or(usize::MAX).clamp(1, CHUNK_BYTES * FRAMES_PER_WRITE);
    let mut content = vec![0; piece];
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
        frames.send(&out).await?;
        progress(count as u64);
    }
    frames.send(&frame(CODE_SUCCESS, &[])).await?;
    Ok(Ok(()))
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
pub fn multi_status(failed: &[(Place, io::Error)]) -> (i64, plist::Value) {
    let by_path: plist::Dictionary = failed
        .iter()
        .map(|(place, error)| {
            let mut entry = plist::Dictionary::new();
            entry.insert("DLFileErrorString".into(), error.to_string().into());
            entry.insert("DLFileErrorCode".into(), device_link_code(error).into());
            (place.as_str().to_owned(), plist::Value::Dictionary(entry))
        })
        .collect();
    (if failed.is_empty() { 0 } else { -13 }, plist::Value::Dictionary(by_path))
}
