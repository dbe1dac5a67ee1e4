//! Files of the phone's media folder over AFC.
//!
//! Sits on `idevice`'s single operations: its file handle must be closed with an await, which a pulled cable does not
//! allow, and otherwise prints to standard output.

use idevice::{
    IdeviceError,
    afc::{
        AfcClient,
        opcode::{AfcFopenMode, AfcLockOp, AfcOpcode},
    },
};

/// Bytes asked for at a time.
pub const READ_BYTES: u64 = 1024 * 1024;

/// Bytes sent at a time.
const WRITE_BYTES: usize = 64 * 1024;

/// A file that is open on the phone; the phone closes it when the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(u64);

/// Opens a file.
///
/// # Errors
/// The phone's.
pub async fn open(client: &mut AfcClient, path: &str, mode: AfcFopenMode) -> Result<Handle, IdeviceError> {
    let mut arguments = (mode as u64).to_le_bytes().to_vec();
    arguments.extend_from_slice(path.as_bytes());
    arguments.push(0);
    let answer = client.send_op(AfcOpcode::FileOpen, arguments, Vec::new()).await?;
    let handle = answer.header_payload.first_chunk::<8>();
    handle.map(|bytes| Handle(u64::from_le_bytes(*bytes))).ok_or_else(|| too_short("FileOpen"))
}

/// Locks or unlocks it, as flock(2) does, without waiting.
///
/// # Errors
/// `OpWouldBlock` when somebody else has the lock; or the phone's.
pub async fn lock(client: &mut AfcClient, file: Handle, operation: AfcLockOp) -> Result<(), IdeviceError> {
    let arguments = [file.0.to_le_bytes(), (operation as u64).to_le_bytes()].concat();
    client.send_op(AfcOpcode::FileLock, arguments, Vec::new()).await.map(|_| ())
}

/// Reads on from where the file stands; nothing at its end.
///
/// # Errors
/// The phone's.
pub async fn read(client: &mut AfcClient, file: Handle, bytes_max: u64) -> Result<Vec<u8>, IdeviceError> {
    let arguments = [file.0.to_le_bytes(), bytes_max.to_le_bytes()].concat();
    Ok(client.send_op(AfcOpcode::Read, arguments, Vec::new()).await?.payload)
}

/// Goes to this byte of the file, counted from its beginning.
///
/// # Errors
/// The phone's.
pub async fn seek(client: &mut AfcClient, file: Handle, position: u64) -> Result<(), IdeviceError> {
    /// `SEEK_SET`
    const FROM_BEGINNING: u64 = 0;
    let arguments = [file.0, FROM_BEGINNING, position].map(u64::to_le_bytes).concat();
    client.send_op(AfcOpcode::FileSeek, arguments, Vec::new()).await.map(|_| ())
}

/// Reads a small file to its end; at most `bytes_max` are kept.
///
/// # Errors
/// The phone's.
pub async fn read_small(client: &mut AfcClient, path: &str, bytes_max: usize) -> Result<Vec<u8>, IdeviceError> {
    let file = open(client, path, AfcFopenMode::RdOnly).await?;
    let mut content = Vec::new();
    while content.len() < bytes_max {
        let piece = read(client, file, READ_BYTES).await?;
        if piece.is_empty() {
            break;
        }
        content.extend_from_slice(&piece);
    }
    content.truncate(bytes_max);
    close(client, file).await?;
    Ok(content)
}

/// Writes a small file anew.
///
/// # Errors
/// The phone's.
pub async fn write_small(client: &mut AfcClient, path: &str, content: &[u8]) -> Result<(), IdeviceError> {
    let file = open(client, path, AfcFopenMode::WrOnly).await?;
    for piece in content.chunks(WRITE_BYTES) {
        client.send_op(AfcOpcode::Write, file.0.to_le_bytes().to_vec(), piece.to_vec()).await?;
    }
    close(client, file).await
}

/// Closes it.
///
/// # Errors
/// The phone's.
pub async fn close(client: &mut AfcClient, file: Handle) -> Result<(), IdeviceError> {
    client.send_op(AfcOpcode::FileClose, file.0.to_le_bytes().to_vec(), Vec::new()).await.map(|_| ())
}

fn too_short(answer: &str) -> IdeviceError {
    IdeviceError::UnexpectedResponse(format!("the answer to {answer} is too short"))
}
