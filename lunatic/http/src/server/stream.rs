//! The streams of `lunatic::net` as transports.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use lunatic::net::tls::{TlsConnector, TlsStream};
use lunatic::net::{Shutdown, SocketAddr, TcpStream};
use serde::{Deserialize, Serialize};

use crate::client::Target;
use crate::transport::Transport;

/// A socket that can be given to another process.
#[doc(hidden)]
#[derive(Debug, Serialize, Deserialize)]
pub enum Stream {
    Tcp(TcpStream),
    Tls(TlsStream),
}

impl Stream {
    /// A connection to a server, encrypted if it is to be.
    pub(crate) fn connect(target: &Target, tls: Option<TlsConnector>, timeout: Duration) -> io::Result<Self> {
        let start = Instant::now();
        let stream = TcpStream::connect_within((target.host(), target.port()), timeout)?;
        if !target.is_secure() {
            return Ok(Self::Tcp(stream));
        }
        let tls = tls.ok_or_else(|| io::Error::other("there is nothing to encrypt with"))?;
        // What connecting has taken is not there for the handshake.
        stream.set_read_timeout(settable(timeout.saturating_sub(start.elapsed())))?;
        tls.connect(target.host(), stream).map(Self::Tls)
    }

    pub(crate) fn into_transport(self) -> Box<dyn Transport> {
        // A response is written at once: to wait for more of it would only make it late.
        let _ = match &self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            Self::Tls(stream) => stream.set_nodelay(true),
        };
        Box::new(Socket {
            stream: self,
            read_timeout: None,
            write_timeout: None,
        })
    }
}

/// A stream with the timeouts that are set on it: setting one is a call of the host, and most reads want the last one.
struct Socket {
    stream: Stream,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// What can be set: std takes no timeout of zero.
fn settable(timeout: Duration) -> Option<Duration> {
    Some(timeout.max(Duration::from_nanos(1)))
}

impl Transport for Socket {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        if self.read_timeout != Some(timeout) {
            match &self.stream {
                Stream::Tcp(stream) => stream.set_read_timeout(settable(timeout))?,
                Stream::Tls(stream) => stream.set_read_timeout(settable(timeout))?,
            }
            self.read_timeout = Some(timeout);
        }
        match &mut self.stream {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
        if self.write_timeout != Some(timeout) {
            match &self.stream {
                Stream::Tcp(stream) => stream.set_write_timeout(settable(timeout))?,
                Stream::Tls(stream) => stream.set_write_timeout(settable(timeout))?,
            }
            self.write_timeout = Some(timeout);
        }
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Tls(stream) => {
                let written = stream.write(bytes)?;
                stream.flush()?;
                Ok(written)
            }
        }
    }

    fn finish(&mut self) {
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    fn socket(&self) -> Option<&Stream> {
        Some(&self.stream)
    }

    fn share(&self) -> io::Result<Stream> {
        match &self.stream {
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
            Stream::Tls(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a TLS connection has one handle: it cannot be read in one process and written in another",
            )),
        }
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.peer_addr().ok(),
            Stream::Tls(stream) => stream.peer_addr().ok(),
        }
    }
}
