//! A bound on what a peer may announce, in front of code that would believe it.
//!
//! `idevice` allocates what a length field says, and reads property lists however deep they nest and however far they
//! unfold. This stream holds every message back until it is whole and known to be harmless, and ends the connection
//! at one that no honest peer sends.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transfer::value::Value;

/// Larger answers of lockdownd, usbmuxd and the small services do not occur; the list of apps is some megabytes.
const FRAME_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// One read of the stream below.
const READ_BYTES: usize = 16 * 1024;

/// The length fields of usbmuxd and the header of AFC.
const USBMUXD_HEADER_BYTES: usize = 16;
const AFC_HEADER_BYTES: usize = 40;

/// What the messages look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// usbmuxd: a header of 16 bytes that begins with the whole length, little-endian; then a property list.
    Usbmuxd,
    /// One answer of usbmuxd (to `Connect`), then [`Framing::PropertyLists`].
    UsbmuxdThenLockdownd,
    /// One answer of usbmuxd (to `Connect`), then whatever the service speaks, most likely TLS.
    UsbmuxdThenService,
    /// A length in network byte order, then a property list; until we begin TLS.
    PropertyLists,
    /// AFC: 40 bytes, of which 8 to 16 are the whole length and 16 to 24 that without the payload, little-endian.
    Afc,
    /// Nothing is looked at.
    Open,
}

/// The guarded stream.
#[derive(Debug)]
pub struct Guarded<S> {
    inner: S,
    framing: Framing,
    /// Received and not yet known to be a whole, harmless message.
    held: Vec<u8>,
    /// Harmless and not yet read.
    passed: Vec<u8>,
    passed_from: usize,
}

impl<S> Guarded<S> {
    /// Guards from the next byte on.
    pub const fn new(inner: S, framing: Framing) -> Self {
        Self { inner, framing, held: Vec::new(), passed: Vec::new(), passed_from: 0 }
    }

    /// Lets every whole message pass that is harmless.
    fn check(&mut self) -> io::Result<()> {
        loop {
            let whole = match self.framing {
                Framing::Open => self.held.len(),
                framing => match frame_length(framing, &self.held)? {
                    Some(length) if self.held.len() >= length => length,
                    _ => return Ok(()),
                },
            };
            if whole == 0 {
                return Ok(());
            }
            check_content(self.framing, &self.held[..whole])?;
            self.passed.extend(self.held.drain(..whole));
            self.framing = match self.framing {
                Framing::UsbmuxdThenLockdownd => Framing::PropertyLists,
                Framing::UsbmuxdThenService => Framing::Open,
                framing => framing,
            };
        }
    }

    /// We begin TLS, which has bounds of its own; the peer can't switch the guard off.
    fn note_sent(&mut self, bytes: &[u8]) {
        if self.framing == Framing::PropertyLists && bytes.starts_with(&[0x16, 0x03]) {
            self.framing = Framing::Open;
        }
    }
}

/// The whole length of the message that begins here, once its header is here.
fn frame_length(framing: Framing, held: &[u8]) -> io::Result<Option<usize>> {
    let word = |at: usize| held.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let length = match framing {
        Framing::Open => Some(held.len() as u64),
        Framing::Usbmuxd | Framing::UsbmuxdThenLockdownd | Framing::UsbmuxdThenService => {
            let length = held.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)));
            if length.is_some_and(|length| length < USBMUXD_HEADER_BYTES as u64) {
                return Err(refuse("a message shorter than its header"));
            }
            length
        }
        Framing::PropertyLists => held.first_chunk().map(|bytes| u64::from(u32::from_be_bytes(*bytes)) + 4),
        Framing::Afc => match (word(8), word(16)) {
            (Some(length), Some(without_payload)) => {
                if without_payload < AFC_HEADER_BYTES as u64 || without_payload > length {
                    return Err(refuse("an AFC message shorter than its header"));
                }
                Some(length)
            }
            _ => None,
        },
    };
    match length {
        Some(length) if length > FRAME_BYTES_MAX => Err(refuse(&format!("a message of {length} bytes"))),
        length => Ok(length.and_then(|length| usize::try_from(length).ok())),
    }
}

fn check_content(framing: Framing, frame: &[u8]) -> io::Result<()> {
    let list = match framing {
        Framing::Open | Framing::Afc => return Ok(()),
        Framing::PropertyLists => &frame[4..],
        Framing::Usbmuxd | Framing::UsbmuxdThenLockdownd | Framing::UsbmuxdThenService => {
            &frame[USBMUXD_HEADER_BYTES..]
        }
    };
    Value::parse(list).map(|_| ()).map_err(|error| refuse(&error.to_string()))
}

/// Marks the errors of this guard, so that they are told from TLS errors, which have the same kind.
#[derive(Debug, thiserror::Error)]
#[error("refused: {0}")]
pub struct RefusedMessage(String);

/// True when the guard ended the connection.
pub fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<RefusedMessage>())
}

/// The error by which the connection ends.
pub fn refuse(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, RefusedMessage(what.to_owned()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let waiting = &this.passed[this.passed_from..];
            if !waiting.is_empty() {
                let count = waiting.len().min(buffer.remaining());
                buffer.put_slice(&waiting[..count]);
                this.passed_from += count;
                if this.passed_from == this.passed.len() {
                    this.passed.clear();
                    this.passed_from = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if this.framing == Framing::Open && this.held.is_empty() {
                return Pin::new(&mut this.inner).poll_read(context, buffer);
            }
            let mut chunk = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                // The end, perhaps in the middle of a message: the reader sees that it is incomplete.
                return Poll::Ready(Ok(()));
            }
            this.held.extend_from_slice(read.filled());
            this.check()?;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.note_sent(bytes);
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = buffers.iter().find(|buffer| !buffer.is_empty()) {
            self.note_sent(first);
        }
        Pin::new(&mut self.inner).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(content: &str) -> Vec<u8> {
        let text = format!("<plist version=\"1.0\">{content}</plist>");
        let mut frame = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(text.bytes());
        frame
    }

    fn connected() -> Vec<u8> {
        let text = b"<plist version=\"1.0\"><dict><key>Number</key><integer>0</integer></dict></plist>";
        let mut frame = u32::try_from(text.len() + 16).unwrap().to_le_bytes().to_vec();
        frame.resize(16, 0);
        frame.extend(text);
        frame
    }

    /// Feeds the pieces; returns what passed.
    fn feed(framing: Framing, pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
        let mut guarded = Guarded::new(io::empty(), framing);
        for piece in pieces {
            guarded.held.extend_from_slice(piece);
            guarded.check()?;
        }
        Ok(guarded.passed)
    }

    #[test]
    fn honest_messages_pass_whole_and_in_order_in_any_pieces() {
        let stream = [list("<string>a</string>"), list(&format!("<string>{}</string>", "b".repeat(70_000)))].concat();
        for size in [1, 3, 4, 1000, stream.len()] {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(feed(Framing::PropertyLists, &pieces).unwrap(), stream);
        }
        let incomplete = &stream[..stream.len() - 1];
        assert_eq!(feed(Framing::PropertyLists, &[incomplete]).unwrap(), list("<string>a</string>"), "held back");
    }

    #[test]
    fn a_length_beyond_reason_ends_it() {
        assert!(feed(Framing::PropertyLists, &[&[0xFF, 0xFF, 0xFF, 0xFF]]).is_err());
        assert!(feed(Framing::Usbmuxd, &[&[3, 0, 0, 0]]).is_err(), "shorter than its own header");
        assert!(feed(Framing::Usbmuxd, &[&[0xFF; 4]]).is_err());
        let afc = |length: u64, without: u64| {
            let mut header = b"CFA6LPAA".to_vec();
            header.extend(length.to_le_bytes());
            header.extend(without.to_le_bytes());
            header
        };
        assert!(feed(Framing::Afc, &[&afc(u64::MAX, 40)]).is_err());
        assert!(feed(Framing::Afc, &[&afc(40, 0)]).is_err(), "idevice would subtract below zero");
        assert!(feed(Framing::Afc, &[&afc(48, 56)]).is_err());
    }

    /// A phone that nobody trusts yet could end the daemon with these.
    #[test]
    fn deep_nesting_never_reaches_the_library() {
        let deep =
            |tag: &str| list(&format!("{}{}", format!("<{tag}>").repeat(100_000), format!("</{tag}>").repeat(100_000)));
        assert!(feed(Framing::PropertyLists, &[&deep("array")]).is_err());
        assert!(feed(Framing::PropertyLists, &[&list("no plist <")]).is_err());
    }

    #[test]
    fn after_connect_the_stream_is_the_phones() {
        let (answer, message) = (connected(), list("<true/>"));
        feed(Framing::UsbmuxdThenLockdownd, &[&answer, &message, &message]).unwrap();
        assert!(feed(Framing::UsbmuxdThenLockdownd, &[&answer, &[0xFF; 4]]).is_err());
        feed(Framing::UsbmuxdThenService, &[&answer, &[0xFF; 4]]).unwrap();
        assert!(feed(Framing::Usbmuxd, &[&answer, &[0xFF; 4]]).is_err());
    }

    #[test]
    fn only_we_begin_tls() {
        assert!(feed(Framing::PropertyLists, &[&[0x16, 0x03, 0x03, 0xFF]]).is_err(), "the peer can't");
        let mut guarded = Guarded::new(io::empty(), Framing::PropertyLists);
        guarded.note_sent(&[0x16, 0x03, 0x01, 0x02]);
        guarded.held.extend([0xFF; 100]);
        guarded.check().unwrap();
        assert_eq!(guarded.passed.len(), 100);
    }
}
