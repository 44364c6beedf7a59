//! What a connection goes over.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::server::Stream;

/// A stream of bytes both ways that a connection can be served or used over: a TCP stream, TLS, or what a test makes up.
///
/// Both calls wait at most `timeout`, and fail with [`TimedOut`](io::ErrorKind::TimedOut) or
/// [`WouldBlock`](io::ErrorKind::WouldBlock) after it, without having lost a byte.
pub trait Transport {
    /// Reads what there is, at least one byte; 0 at the end.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize>;

    /// Writes at least one byte of `bytes`, and returns how many.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize>;

    /// Tells the peer that nothing more comes; what it sends can still be read. Errors do not matter any more.
    fn finish(&mut self);

    /// Who is at the other end, if that is known.
    fn peer_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// The socket that it is, if it is one of `lunatic::net`.
    #[doc(hidden)]
    fn socket(&self) -> Option<&Stream> {
        None
    }

    /// The same stream, for another process.
    #[doc(hidden)]
    fn share(&self) -> io::Result<Stream> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only sockets of `lunatic::net` can be shared with another process",
        ))
    }
}

/// What is left in one whose stream was taken.
pub(crate) struct Gone;

impl Transport for Gone {
    fn receive(&mut self, _: &mut [u8], _: Duration) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn send(&mut self, _: &[u8], _: Duration) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn finish(&mut self) {}
}

/// A std stream, for programs and tests that run natively.
impl Transport for TcpStream {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        self.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        io::Read::read(self, buffer)
    }

    fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
        self.set_write_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        io::Write::write(self, bytes)
    }

    fn finish(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        TcpStream::peer_addr(self).ok()
    }
}

/// Whether an error says that a timeout passed.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
