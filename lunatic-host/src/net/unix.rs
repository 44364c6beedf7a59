//! Unix sockets: streams between programs of one machine, under a path in a folder that the process was given.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::reactor::Reactor;
use super::socket::{Kind, Socket};

/// Listens at a path, which must not exist yet.
pub(crate) fn listen(reactor: &Arc<Reactor>, path: &Path) -> io::Result<Arc<Socket>> {
    let listener = mio::net::UnixListener::bind(path)?;
    Ok(Socket::new(reactor, Kind::UnixListener(listener)))
}

/// Connects to a path. This does not wait: if the listener has no room, it says so.
pub(crate) fn connect(reactor: &Arc<Reactor>, path: &Path) -> io::Result<Arc<Socket>> {
    let stream = mio::net::UnixStream::connect(path)?;
    Ok(Socket::new(reactor, Kind::UnixStream(stream)))
}

/// Two streams that are connected with each other.
pub(crate) fn pair(reactor: &Arc<Reactor>) -> io::Result<[Arc<Socket>; 2]> {
    let (one, other) = mio::net::UnixStream::pair()?;
    Ok([one, other].map(|stream| Socket::new(reactor, Kind::UnixStream(stream))))
}
