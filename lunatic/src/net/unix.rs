//! Unix sockets: streams between programs of one machine, under a path in a folder that the process was given and may
//! change things in.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use lunatic_sys::codes::NO_TIMEOUT;
use serde::{Deserialize, Serialize};

use super::Shutdown;
use super::socket::Socket;
use super::stream::stream;
use crate::host;

fn text(path: &Path) -> io::Result<&str> {
    path.to_str()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path of a socket must be UTF-8"))
}

/// Accepts connections at a path.
#[derive(Serialize, Deserialize)]
pub struct UnixListener(Socket);

impl UnixListener {
    /// Listens at a path, at which nothing may be yet. The file stays when the listener closes.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) if the path is in no folder in which the process may change
    /// things, [`AddrInUse`](io::ErrorKind::AddrInUse), and others of the system.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        host::net::unix_listen(text(path.as_ref())?).map(|handle| Self(Socket::new(handle)))
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may have no more sockets, and those of the system.
    pub fn accept(&self) -> io::Result<UnixStream> {
        let (handle, _) = host::net::accept(self.0.raw(), NO_TIMEOUT)?;
        Ok(UnixStream(Socket::new(handle)))
    }

    /// As [`accept`](Self::accept), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Also [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<UnixStream> {
        let (handle, _) = host::net::accept(self.0.raw(), host::timeout_ns(timeout))?;
        Ok(UnixStream(Socket::new(handle)))
    }

    /// The connections, one after the other, without end.
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<UnixStream>> + '_ {
        std::iter::repeat_with(|| self.accept())
    }

    /// Another handle of the same listener, for another process.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded).
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixListener({})", self.0)
    }
}

/// A connection between two programs of this machine.
#[derive(Serialize, Deserialize)]
pub struct UnixStream(Socket);

impl UnixStream {
    /// Connects to a path. Does not wait: a listener with no room for more refuses with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) if the path is in no folder in which the process may change
    /// things, or is a link; [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) and others of the system.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        host::net::unix_connect(text(path.as_ref())?).map(|handle| Self(Socket::new(handle)))
    }

    /// Two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded).
    pub fn pair() -> io::Result<(Self, Self)> {
        let [one, other] = host::net::unix_pair()?;
        Ok((Self(Socket::new(one)), Self(Socket::new(other))))
    }

    /// Ends reading, writing or both, for all clones.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        host::net::shutdown(self.0.raw(), how)
    }

    /// Another handle of the same connection, for another process.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded).
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

stream!(UnixStream);
