//! A stream through which nothing comes while the phone's link is dead.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

use crate::phone::{Phone, Stream};

/// One connection to a port of a phone.
pub(crate) struct Freezing<S> {
    stream: S,
    // Reading and writing may be waited for by different tasks.
    reading: Gate,
    writing: Gate,
}

impl<S> Freezing<S> {
    pub(crate) fn new(phone: &Phone, stream: S) -> Self {
        Self { stream, reading: Gate::new(phone.frozen()), writing: Gate::new(phone.frozen()) }
    }
}

/// Open unless the link is dead.
struct Gate {
    frozen: watch::Receiver<bool>,
    thawing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Gate {
    fn new(frozen: watch::Receiver<bool>) -> Self {
        Self { frozen, thawing: None }
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(thawing) = &mut self.thawing {
                ready!(thawing.as_mut().poll(context));
                self.thawing = None;
            }
            if !*self.frozen.borrow() {
                return Poll::Ready(());
            }
            let mut frozen = self.frozen.clone();
            self.thawing = Some(Box::pin(async move { drop(frozen.wait_for(|frozen| !*frozen).await) }));
        }
    }
}

impl<S: Stream> AsyncRead for Freezing<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.reading.poll_open(context));
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl<S: Stream> AsyncWrite for Freezing<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.writing.poll_open(context));
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.writing.poll_open(context));
        Pin::new(&mut this.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
