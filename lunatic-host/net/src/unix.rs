//! Unix sockets: streams between programs of one machine, under a path in a folder that the process was given.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::reactor::Reactor;
use super::readiness::Waiter;
use super::socket::{Kind, Socket};

/// Listens at a path, which must not exist yet.
pub fn listen<W: Waiter>(reactor: &Arc<Reactor<W>>, path: &Path) -> io::Result<Arc<Socket<W>>> {
    let listener = mio::net::UnixListener::bind(path)?;
    Ok(Socket::new(reactor, Kind::UnixListener(listener)))
}

/// Connects to a path. This does not wait: if the listener has no room, it says so.
pub fn connect<W: Waiter>(reactor: &Arc<Reactor<W>>, path: &Path) -> io::Result<Arc<Socket<W>>> {
    let stream = mio::net::UnixStream::connect(path)?;
    Ok(Socket::new(reactor, Kind::UnixStream(stream)))
}

/// Two streams that are connected with each other.
pub fn pair<W: Waiter>(reactor: &Arc<Reactor<W>>) -> io::Result<[Arc<Socket<W>>; 2]> {
    let (one, other) = mio::net::UnixStream::pair()?;
    Ok([one, other].map(|stream| Socket::new(reactor, Kind::UnixStream(stream))))
}
