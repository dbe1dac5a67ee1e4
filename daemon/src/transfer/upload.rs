//! Files from the phone: after `DLMessageUploadFiles` come names and blocks until a length of zero.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Refused, TransferError,
    frames::{BLOCK_BYTES_MAX, Frames},
    meter::Meter,
    place::{PATH_BYTES_MAX, Place},
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

/// Files that the phone could not read; more than these are only counted.
const UNREADABLE_KEPT_MAX: usize = 100;

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
}

enum Step {
    Data(usize),
    End,
    Unreadable(String),
    ListEnd,
}

/// Receives one batch. The caller drains the writers before it answers.
///
/// # Errors
/// When the link breaks or the phone sends what is never believed.
pub async fn receive_files<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    udid: &str,
    writers: &mut Writers,
    received: &mut Received,
    meter: &mut Meter,
) -> Result<(), TransferError> {
    loop {
        let Some(device_path) = name(frames, "a device path").await? else { return Ok(()) };
        let Some(file_path) = name(frames, "a file path").await? else { return Ok(()) };
        let place = Place::new(&file_path, udid)?;
        if place.is_whole_backup() {
            return Err(Refused::Path { path: file_path, why: "is the phone's folder itself" }.into());
        }
        let more = receive_file(frames, place, &device_path, writers, received, meter).await?;
        meter.publish(received);
        if !more {
            return Ok(());
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

/// One file; false when the list ended with it.
async fn receive_file<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    place: Place,
    device_path: &str,
    writers: &mut Writers,
    received: &mut Received,
    meter: &mut Meter,
) -> Result<bool, TransferError> {
    let mut first = Bytes::new();
    let mut step = next_step(frames, false).await?;
    if let Step::Data(length) = step
        && length <= WHOLE_BYTES_MAX
    {
        first = frames.exactly(length).await?;
        step = next_step(frames, true).await?;
    }
    if let Step::Data(_) = step {
        return receive_blocks(frames, place, device_path, first, step, writers, received, meter).await;
    }
    let more = !matches!(step, Step::ListEnd);
    if let Step::Unreadable(reason) = step {
        unreadable(received, device_path, reason);
    } else {
        received.files += 1;
        received.bytes += first.len() as u64;
        writers.whole(place, first);
    }
    Ok(more)
}

#[expect(clippy::too_many_arguments, reason = "the cold half of receive_file, split so that small files stay simple")]
async fn receive_blocks<S: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<S>,
    place: Place,
    device_path: &str,
    first: Bytes,
    mut step: Step,
    writers: &mut Writers,
    received: &mut Received,
    meter: &mut Meter,
) -> Result<bool, TransferError> {
    let mut bytes = first.len() as u64;
    writers.begin(place);
    if !first.is_empty() {
        writers.block(first);
    }
    while let Step::Data(mut left) = step {
        while left > 0 {
            let block = frames.some(left).await?;
            left -= block.len();
            bytes += block.len() as u64;
            writers.block(block);
            meter.tick(received, bytes);
        }
        step = next_step(frames, true).await?;
    }
    if let Step::Unreadable(reason) = step {
        writers.abandon();
        unreadable(received, device_path, reason);
        return Ok(true);
    }
    writers.end();
    received.files += 1;
    received.bytes += bytes;
    Ok(!matches!(step, Step::ListEnd))
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
        CODE_FILE_DATA => Ok(Step::Data(payload)),
        CODE_SUCCESS => {
            skip(frames, payload).await?;
            Ok(Step::End)
        }
        CODE_ERROR_REMOTE if after_data && payload == 0 => Ok(Step::End),
        CODE_ERROR_REMOTE | CODE_ERROR_LOCAL => {
            let kept = payload.min(2000);
            let text = frames.exactly(kept).await?;
            skip(frames, payload - kept).await?;
            Ok(Step::Unreadable(String::from_utf8_lossy(&text).into_owned()))
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

fn unreadable(received: &mut Received, device_path: &str, reason: String) {
    tracing::warn!(device_path, reason, "the phone could not read one of its files");
    received.unreadable_count += 1;
    if received.unreadable.len() < UNREADABLE_KEPT_MAX {
        received.unreadable.push(Unreadable { device_path: device_path.to_owned(), reason });
    }
}
