//! The byte level of DeviceLink: lengths in front of everything, all of them checked before anything is allocated.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Refused, TransferError, recording::Recorder};

/// The longest message; batches of moves and lists of names stay far below.
pub const MESSAGE_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The longest block of a file. Blocks are streamed, so this bounds nonsense rather than memory.
pub const BLOCK_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// One read asks for this much, some sixteen TLS records.
const READ_BYTES: usize = 256 * 1024;

/// The phone's socket, read ahead.
#[derive(Debug)]
pub struct Frames<S> {
    stream: S,
    buffer: BytesMut,
    activity: Arc<AtomicU64>,
    /// Writes down what is said.
    pub recorder: Recorder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Takes the socket after TLS, before the first DeviceLink message; `activity` counts the bytes that move, either way.
    pub fn new(stream: S, activity: Arc<AtomicU64>) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(READ_BYTES), activity, recorder: Recorder::default() }
    }

    async fn read_more(&mut self) -> Result<(), TransferError> {
        self.buffer.reserve(READ_BYTES);
        self.recorder.waits();
        let count = self.stream.read_buf(&mut self.buffer).await.map_err(TransferError::LinkLost)?;
        if count == 0 {
            return Err(TransferError::LinkLost(io::ErrorKind::UnexpectedEof.into()));
        }
        self.activity.fetch_add(count as u64, Ordering::Relaxed);
        self.recorder.got(count);
        Ok(())
    }

    /// Waits until this much is in the buffer. Safe to cancel.
    async fn have(&mut self, bytes: usize) -> Result<(), TransferError> {
        while self.buffer.len() < bytes {
            self.read_more().await?;
        }
        Ok(())
    }

    /// A length or count in network byte order. Safe to cancel.
    pub async fn number(&mut self) -> Result<u32, TransferError> {
        self.have(4).await?;
        Ok(self.buffer.get_u32())
    }

    /// A file block's code. Safe to cancel.
    pub async fn code(&mut self) -> Result<u8, TransferError> {
        self.have(1).await?;
        Ok(self.buffer.get_u8())
    }

    /// Exactly this much, whole. The caller has checked the length. Safe to cancel.
    pub async fn exactly(&mut self, bytes: usize) -> Result<Bytes, TransferError> {
        self.have(bytes).await?;
        Ok(self.buffer.split_to(bytes).freeze())
    }

    /// At least one byte and at most this much: whatever is there. Safe to cancel.
    pub async fn some(&mut self, bytes_max: usize) -> Result<Bytes, TransferError> {
        self.have(1).await?;
        let bytes = bytes_max.min(self.buffer.len());
        Ok(self.buffer.split_to(bytes).freeze())
    }

    /// The body of the next message. Safe to cancel: nothing is taken before all of it is there.
    pub async fn message(&mut self) -> Result<Bytes, TransferError> {
        self.have(4).await?;
        let bytes = self.buffer.as_ref().get_u32();
        if bytes > MESSAGE_BYTES_MAX {
            let max = MESSAGE_BYTES_MAX.into();
            return Err(Refused::Length { what: "a message", bytes: bytes.into(), max }.into());
        }
        self.have(4 + bytes as usize).await?;
        self.buffer.advance(4);
        let message = self.buffer.split_to(bytes as usize).freeze();
        self.recorder.came(&message);
        Ok(message)
    }

    /// Sends raw bytes. What the phone takes is a sign of life as good as what it sends: a manifest of 1.2 GB takes it
    /// minutes, in which it says nothing.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), TransferError> {
        while !bytes.is_empty() {
            let count = self.stream.write(bytes).await.map_err(TransferError::LinkLost)?;
            if count == 0 {
                return Err(TransferError::LinkLost(io::ErrorKind::WriteZero.into()));
            }
            self.activity.fetch_add(count as u64, Ordering::Relaxed);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Pushes what was sent out to the phone.
    pub async fn flush(&mut self) -> Result<(), TransferError> {
        self.stream.flush().await.map_err(TransferError::LinkLost)?;
        // What waited in the TLS layer went.
        self.activity.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Sends one message.
    pub async fn send_message(&mut self, message: Vec<plist::Value>) -> Result<(), TransferError> {
        self.recorder.went(&message);
        let mut bytes = vec![0; 4];
        plist::Value::Array(message)
            .to_writer_binary(&mut bytes)
            .map_err(|error| TransferError::LinkLost(io::Error::other(error)))?;
        let length =
            u32::try_from(bytes.len() - 4).map_err(|error| TransferError::LinkLost(io::Error::other(error)))?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.send(&bytes).await?;
        self.flush().await
    }
}
