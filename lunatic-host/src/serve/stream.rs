//! A connection whose client must not stop reading, and must not be gone.
//!
//! While a handler does not read the body of its request, hyper does not read from the connection, so it does not notice that
//! the client has closed it. But whenever the connection is polled, hyper flushes it. Then this looks, once a second, whether
//! the end of the connection has been reported.

use std::future::Future as _;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::patience::Patience;

/// How often a stream that is polled looks whether its peer is gone.
pub(super) const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// A stream that fails if its peer takes nothing for too long while something is to be written, or if it is flushed and its
/// peer is gone.
pub(super) struct Stream {
    stream: TcpStream,
    patience: Patience,
    /// When it looked last whether its peer is gone.
    looked: Instant,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> Self {
        Self {
            stream,
            patience: Patience::new(limit),
            looked: Instant::now(),
        }
    }

    /// Whether the peer has closed the connection, or no longer sends, although not all that it has sent was read.
    fn is_left(&self) -> bool {
        let state = pin!(self.stream.ready(Interest::READABLE));
        let state = state.poll(&mut Context::from_waker(Waker::noop()));
        matches!(state, Poll::Ready(Ok(state)) if state.is_read_closed())
    }

    fn judge<T>(&mut self, done: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let judged = self.patience.judge(done, context);
        judged.unwrap_or_else(|| Poll::Ready(Err(ErrorKind::TimedOut.into())))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, to)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.looked.elapsed() >= LOOKS_EVERY {
            self.looked = Instant::now();
            if self.is_left() {
                return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
            }
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
