//! Unix sockets: streams between programs of one machine, at a path in a folder that was granted to the process.

use std::io;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, SockAddr, SockRef, Type};

use super::cost::{UNIX_BACKLOG, UNIX_BUFFER};
use super::reactor::Reactor;
use super::readiness::Waiter;
use super::socket::{Kind, Socket};

/// Listens at a path, which must not exist yet.
pub fn listen<W: Waiter>(reactor: &Arc<Reactor<W>>, path: &Path) -> io::Result<Arc<Socket<W>>> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(UNIX_BACKLOG)?;
    let listener = mio::net::UnixListener::from_std(socket.into());
    Ok(Socket::new(reactor, Kind::UnixListener(listener)))
}

/// Connects to a path, without waiting: if the listener has no room, it returns an error.
pub fn connect<W: Waiter>(reactor: &Arc<Reactor<W>>, path: &Path) -> io::Result<Arc<Socket<W>>> {
    let stream = mio::net::UnixStream::connect(path)?;
    Ok(Socket::new(reactor, self::stream(stream)?))
}

/// A stream, with the send buffer that it pays for.
pub(crate) fn stream<W: Waiter>(stream: mio::net::UnixStream) -> io::Result<Kind<W>> {
    SockRef::from(&stream).set_send_buffer_size(UNIX_BUFFER)?;
    Ok(Kind::UnixStream(stream))
}

/// Two streams that are connected to each other.
pub fn pair<W: Waiter>(reactor: &Arc<Reactor<W>>) -> io::Result<[Arc<Socket<W>>; 2]> {
    let (one, other) = mio::net::UnixStream::pair()?;
    Ok([Socket::new(reactor, stream(one)?), Socket::new(reactor, stream(other)?)])
}
