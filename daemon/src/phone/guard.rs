//! A bound on the lengths that a peer announces, in front of code that would believe them.
//!
//! `idevice` allocates what a length field says. This stream looks at the length fields as they pass and ends the
//! connection at one that no honest peer sends.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Larger answers of lockdownd, usbmuxd and the small services do not occur; the list of apps is some megabytes.
const FRAME_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where the length stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// usbmuxd: 16 bytes that begin with the whole length, little-endian.
    Usbmuxd,
    /// One answer of usbmuxd (to `Connect`), then [`Framing::PropertyLists`].
    UsbmuxdThenLockdownd,
    /// One answer of usbmuxd (to `Connect`), then whatever the service speaks, most likely TLS.
    UsbmuxdThenService,
    /// A length in network byte order, then as many bytes; until TLS begins.
    PropertyLists,
    /// AFC: 40 bytes, of which 8 to 16 are the whole length and 16 to 24 that without the payload, little-endian.
    Afc,
}

/// The guarded stream.
#[derive(Debug)]
pub struct Guarded<S> {
    inner: S,
    framing: Framing,
    /// Nothing more to check: TLS has begun, which has its own bounds.
    open: bool,
    header: [u8; 24],
    header_filled: usize,
    body_left: u64,
}

impl<S> Guarded<S> {
    /// Guards from the next byte on.
    pub const fn new(inner: S, framing: Framing) -> Self {
        Self { inner, framing, open: false, header: [0; 24], header_filled: 0, body_left: 0 }
    }

    fn check(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.open {
            if self.body_left > 0 {
                let passed = usize::try_from(self.body_left).unwrap_or(usize::MAX).min(bytes.len());
                self.body_left -= passed as u64;
                bytes = &bytes[passed..];
                if self.body_left == 0 {
                    self.frame_ended();
                }
                continue;
            }
            self.header[self.header_filled] = bytes[0];
            self.header_filled += 1;
            bytes = &bytes[1..];
            self.look_at_header()?;
        }
        Ok(())
    }

    fn frame_ended(&mut self) {
        match self.framing {
            Framing::UsbmuxdThenLockdownd => self.framing = Framing::PropertyLists,
            Framing::UsbmuxdThenService => self.open = true,
            Framing::Usbmuxd | Framing::PropertyLists | Framing::Afc => {}
        }
    }

    fn look_at_header(&mut self) -> io::Result<()> {
        let header = &self.header[..self.header_filled];
        let (length, rest) = match (self.framing, header.len()) {
            (Framing::Usbmuxd | Framing::UsbmuxdThenLockdownd | Framing::UsbmuxdThenService, 4) => {
                let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
                if length < 16 {
                    return Err(refuse(length.into()));
                }
                (u64::from(length), u64::from(length) - 4)
            }
            (Framing::PropertyLists, 4) => {
                // A TLS handshake record begins 16 03: the stream turns into TLS (StartSession, EnableServiceSSL).
                if header[0] == 0x16 && header[1] == 0x03 {
                    self.open = true;
                    return Ok(());
                }
                let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
                (length.into(), length.into())
            }
            (Framing::Afc, 24) => {
                let word = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                let (length, without_payload) = (word(8), word(16));
                if without_payload < 40 || without_payload > length {
                    return Err(refuse(without_payload));
                }
                (length, length - 24)
            }
            _ => return Ok(()),
        };
        if length > FRAME_BYTES_MAX {
            return Err(refuse(length));
        }
        self.body_left = rest;
        self.header_filled = 0;
        Ok(())
    }
}

fn refuse(length: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes was announced"))
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if self.open {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.check(&buffer.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
        Pin::new(&mut self.inner).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(framing: Framing, pieces: &[&[u8]]) -> io::Result<()> {
        let mut guarded = Guarded::new(io::empty(), framing);
        pieces.iter().try_for_each(|piece| guarded.check(piece))
    }

    #[test]
    fn honest_frames_pass_in_any_pieces() {
        let mut stream = Vec::new();
        for length in [0_u32, 5, 70_000] {
            stream.extend(length.to_be_bytes());
            stream.resize(stream.len() + length as usize, 0xFF);
        }
        for size in [1, 3, 4, 1000, stream.len()] {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            feed(Framing::PropertyLists, &pieces).unwrap();
        }
    }

    #[test]
    fn a_length_beyond_reason_ends_it() {
        assert!(feed(Framing::PropertyLists, &[&[0xFF, 0xFF, 0xFF, 0xFF]]).is_err());
        assert!(feed(Framing::PropertyLists, &[&[0, 0, 0, 1, 7, 0x02, 0, 0, 1]]).is_err());
        assert!(feed(Framing::Usbmuxd, &[&[3, 0, 0, 0]]).is_err(), "shorter than its own header");
        let mut afc = b"CFA6LPAA".to_vec();
        afc.extend(u64::MAX.to_le_bytes());
        afc.extend(40_u64.to_le_bytes());
        assert!(feed(Framing::Afc, &[&afc]).is_err());
        let inside_out: Vec<u8> = b"CFA6LPAA".iter().copied().chain(40_u64.to_le_bytes()).chain([0; 8]).collect();
        assert!(feed(Framing::Afc, &[&inside_out]).is_err(), "idevice would subtract below zero");
    }

    #[test]
    fn after_connect_the_stream_is_the_phones() {
        let mut answer = 20_u32.to_le_bytes().to_vec();
        answer.resize(20, 0);
        let lockdownd = [0, 0, 1, 0].into_iter().chain([7; 256]).collect::<Vec<u8>>();
        feed(Framing::UsbmuxdThenLockdownd, &[&answer, &lockdownd, &lockdownd]).unwrap();
        assert!(feed(Framing::UsbmuxdThenLockdownd, &[&answer, &[0xFF; 4]]).is_err());
        feed(Framing::UsbmuxdThenService, &[&answer, &[0xFF; 4]]).unwrap();
        assert!(feed(Framing::Usbmuxd, &[&answer, &[0xFF; 4]]).is_err());
    }

    #[test]
    fn tls_is_left_alone() {
        feed(Framing::PropertyLists, &[&[0, 0, 0, 1, 7], &[0x16, 0x03], &[0x03, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]])
            .unwrap();
    }
}
