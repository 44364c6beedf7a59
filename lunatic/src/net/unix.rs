//! Unix sockets: streams between programs on one machine. Their paths must lie in a folder that was given to the
//! process and is not read-only.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use lunatic_sys::codes::NO_TIMEOUT;
use serde::{Deserialize, Serialize};

use super::Shutdown;
use super::address::name_address;
use super::socket::Socket;
use super::stream::stream;
use crate::host;

fn text(path: &Path) -> io::Result<&str> {
    path.to_str()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path of a socket must be UTF-8"))
}

/// A Unix socket that accepts connections at a path.
#[derive(Serialize, Deserialize)]
pub struct UnixListener(Socket);

impl UnixListener {
    /// Listens at a path, where no file must exist yet. The file is not removed when the listener closes.
    ///
    /// # Errors
    ///
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied) if the path is not in a folder in which the process can
    ///   change files.
    /// - [`AddrInUse`](io::ErrorKind::AddrInUse) and other errors of the operating system.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = text(path.as_ref())?;
        let handle = host::net::unix_listen(path).map_err(|error| name_address(error, "listen at", path))?;
        Ok(Self(Socket::new(handle)))
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may not have another socket, and errors of the
    /// operating system.
    pub fn accept(&self) -> io::Result<UnixStream> {
        let (handle, _) = host::net::accept(self.0.raw(), NO_TIMEOUT)?;
        Ok(UnixStream(Socket::new(handle)))
    }

    /// Waits for a connection as [`accept`](Self::accept) does, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept); and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<UnixStream> {
        let (handle, _) = host::net::accept(self.0.raw(), host::timeout_ns(timeout))?;
        Ok(UnixStream(Socket::new(handle)))
    }

    /// Returns an endless iterator over the connections, which waits for each.
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<UnixStream>> + '_ {
        std::iter::repeat_with(|| self.accept())
    }

    /// Makes another handle of the same listener, for another process.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may not have another socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixListener({})", self.0)
    }
}

/// A connection between two programs on one machine.
#[derive(Serialize, Deserialize)]
pub struct UnixStream(Socket);

impl UnixStream {
    /// Connects to a path without waiting.
    ///
    /// # Errors
    ///
    /// - [`WouldBlock`](io::ErrorKind::WouldBlock) if the listener has no room for another connection.
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied) if the path is a symbolic link, or is not in a folder in
    ///   which the process can change files.
    /// - [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) and other errors of the operating system.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = text(path.as_ref())?;
        let handle = host::net::unix_connect(path).map_err(|error| name_address(error, "connect to", path))?;
        Ok(Self(Socket::new(handle)))
    }

    /// Makes two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may not have another socket.
    pub fn pair() -> io::Result<(Self, Self)> {
        let [one, other] = host::net::unix_pair()?;
        Ok((Self(Socket::new(one)), Self(Socket::new(other))))
    }

    /// Shuts down reading, writing or both, for all clones.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the stream is not connected.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        host::net::shutdown(self.0.raw(), how)
    }

    /// Makes another handle of the same connection, for another process.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may not have another socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

stream!(UnixStream);
