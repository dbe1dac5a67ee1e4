//! usbmuxd messages: a header of 16 bytes and an XML plist.

use std::io;

use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::phone::Stream;

const HEADER_LENGTH: u32 = 16;
/// usbmuxd's own bound is 64 KiB; pair records are below 20 KiB.
const LENGTH_LIMIT: u32 = 1 << 20;
const VERSION: u32 = 1;
const MESSAGE_PLIST: u32 = 8;

/// `Number` of a `Result` message, from `usbmuxd-proto.h`; other numbers are of errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultNumber {
    Ok = 0,
    BadCommand = 1,
    /// Also ENOENT, which answers for a pair record that is not there.
    BadDevice = 2,
    ConnectionRefused = 3,
    BadVersion = 6,
    /// EINVAL.
    InvalidArgument = 22,
}

/// One request of a client.
pub(super) struct Request {
    pub(super) tag: u32,
    /// None if it was no plist message of version 1.
    pub(super) body: Option<Dictionary>,
}

impl Request {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.body.as_ref()?.get(key)?.as_string()
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.body.as_ref()?.get(key)?.as_unsigned_integer()
    }

    pub(super) fn data(&self, key: &str) -> Option<&[u8]> {
        self.body.as_ref()?.get(key)?.as_data()
    }
}

/// The next request, or None when the client has closed.
pub(super) async fn read<S: Stream>(stream: &mut S) -> io::Result<Option<Request>> {
    let length = match stream.read_u32_le().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if !(HEADER_LENGTH..=LENGTH_LIMIT).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("usbmuxd message of {length} bytes")));
    }
    let version = stream.read_u32_le().await?;
    let message = stream.read_u32_le().await?;
    let tag = stream.read_u32_le().await?;
    let mut body = vec![0; (length - HEADER_LENGTH) as usize];
    stream.read_exact(&mut body).await?;
    if version != VERSION || message != MESSAGE_PLIST {
        return Ok(Some(Request { tag, body: None }));
    }
    let body = plist::from_bytes(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some(Request { tag, body: Some(body) }))
}

/// Sends one plist.
pub(super) async fn write<S: Stream>(stream: &mut S, tag: u32, body: Dictionary) -> io::Result<()> {
    let mut message = vec![0; HEADER_LENGTH as usize];
    plist::to_writer_xml(&mut message, &Value::Dictionary(body)).map_err(io::Error::other)?;
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    for (field, value) in message.chunks_exact_mut(4).zip([length, VERSION, MESSAGE_PLIST, tag]) {
        field.copy_from_slice(&value.to_le_bytes());
    }
    stream.write_all(&message).await
}

/// Sends a `Result`.
pub(super) async fn write_result<S: Stream>(stream: &mut S, tag: u32, number: ResultNumber) -> io::Result<()> {
    write_number(stream, tag, number as u64).await
}

/// Sends a `Result` of any number.
pub(super) async fn write_number<S: Stream>(stream: &mut S, tag: u32, number: u64) -> io::Result<()> {
    let body = Dictionary::from_iter([("MessageType", Value::from("Result")), ("Number", Value::from(number))]);
    write(stream, tag, body).await
}

/// Sends what is no message: its length is one, the rest is noise.
pub(super) async fn write_garbage<S: Stream>(stream: &mut S) -> io::Result<()> {
    let mut garbage = 64_u32.to_le_bytes().to_vec();
    garbage.resize(64, b'?');
    stream.write_all(&garbage).await
}
