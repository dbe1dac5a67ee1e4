//! A stream that is read one TLS record at a time.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::phone::Stream;

const HEADER_LENGTH: usize = 5;

/// Never hands out more than the record under way, so that what follows a TLS session in plain text stays in the
/// stream: after StopSession lockdownd goes on without TLS, and a client need not wait for an answer to its
/// close_notify.
pub(crate) struct Records<S> {
    stream: S,
    header: [u8; HEADER_LENGTH],
    header_read: usize,
    body_left: usize,
}

impl<S> Records<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, header: [0; HEADER_LENGTH], header_read: 0, body_left: 0 }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn count(&mut self, bytes: &[u8]) {
        if self.body_left > 0 {
            self.body_left -= bytes.len();
            return;
        }
        self.header[self.header_read..][..bytes.len()].copy_from_slice(bytes);
        self.header_read += bytes.len();
        if self.header_read == HEADER_LENGTH {
            self.header_read = 0;
            self.body_left = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
        }
    }
}

impl<S: Stream> AsyncRead for Records<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let left = if this.body_left > 0 { this.body_left } else { HEADER_LENGTH - this.header_read };
        let left = left.min(buffer.remaining());
        // `ReadBuf::take` needs unsafe code to tell how far it was filled; records of lockdownd are small.
        let mut bytes = vec![0; left];
        let mut bounded = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut this.stream).poll_read(context, &mut bounded))?;
        buffer.put_slice(bounded.filled());
        let read = bounded.filled().len();
        bytes.truncate(read);
        this.count(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Records<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
