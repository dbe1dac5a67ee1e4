//! Plists with their length before them, as lockdownd and most services speak.

use std::io::{self, Cursor};

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Far above what any client sends.
const LENGTH_LIMIT: u32 = 16 << 20;

/// The next plist, binary or XML; None once the client has closed.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Value>> {
    let length = match stream.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > LENGTH_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("plist of {length} bytes")));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await?;
    let value = Value::from_reader(Cursor::new(body));
    value.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The next plist, which has to be a dictionary.
pub(crate) async fn read_dictionary<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Dictionary>> {
    match read(stream).await? {
        None => Ok(None),
        Some(Value::Dictionary(dictionary)) => Ok(Some(dictionary)),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the request is no dictionary")),
    }
}

/// Sends one plist as XML.
pub(crate) async fn write<S: AsyncWrite + Unpin>(stream: &mut S, value: &Value) -> io::Result<()> {
    let mut message = vec![0; 4];
    value.to_writer_xml(&mut message).map_err(io::Error::other)?;
    let length = u32::try_from(message.len() - 4).map_err(io::Error::other)?;
    message[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&message).await?;
    stream.flush().await
}
