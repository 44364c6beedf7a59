//! The streams of `lunatic::net` as transports.

use std::io::{self, Read, Write};
use std::time::Duration;

use lunatic::net::{Shutdown, SocketAddr, TcpStream};
use serde::{Deserialize, Serialize};

use crate::transport::Transport;

/// A socket that can be given to another process.
#[doc(hidden)]
#[derive(Debug, Serialize, Deserialize)]
pub enum Stream {
    Tcp(TcpStream),
}

impl Stream {
    pub(crate) fn into_transport(self) -> Box<dyn Transport> {
        match self {
            Self::Tcp(stream) => Box::new(Tcp::new(stream)),
        }
    }
}

/// A TCP stream with the timeouts that are set on it: setting one is a call of the host, and most reads want the last one.
pub(crate) struct Tcp {
    stream: TcpStream,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Tcp {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // A response is written at once: to wait for more of it would only make it late.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            read_timeout: None,
            write_timeout: None,
        }
    }
}

impl Transport for Tcp {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        if self.read_timeout != Some(timeout) {
            self.stream
                .set_read_timeout(Some(timeout.max(Duration::from_nanos(1))))?;
            self.read_timeout = Some(timeout);
        }
        self.stream.read(buffer)
    }

    fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
        if self.write_timeout != Some(timeout) {
            self.stream
                .set_write_timeout(Some(timeout.max(Duration::from_nanos(1))))?;
            self.write_timeout = Some(timeout);
        }
        self.stream.write(bytes)
    }

    fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn share(&self) -> io::Result<Stream> {
        self.stream.try_clone().map(Stream::Tcp)
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }
}
