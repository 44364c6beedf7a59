//! TCP: listening, accepting, connecting.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Type};

use super::cost::{self, TCP_BACKLOG};
use super::reactor::Reactor;
use super::readiness::{Direction, Waiter};
use super::socket::{Kind, Socket, unsupported};
use super::unix;

/// Listens at an address.
pub fn listen<W: Waiter>(reactor: &Arc<Reactor<W>>, address: SocketAddr) -> io::Result<Arc<Socket<W>>> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // As in std: a server that is restarted need not wait for the connections of its predecessor.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    let listener = mio::net::TcpListener::from_std(socket.into());
    Ok(Socket::new(reactor, Kind::TcpListener(listener)))
}

/// Begins to connect; [`Socket::try_connected`] returns when that is done.
pub fn connect<W: Waiter>(reactor: &Arc<Reactor<W>>, address: SocketAddr) -> io::Result<Arc<Socket<W>>> {
    let stream = mio::net::TcpStream::connect(address)?;
    Ok(Socket::new(reactor, Kind::TcpStream(stream)))
}

impl<W: Waiter> Socket<W> {
    /// Succeeds once the connection is established; until then returns `WouldBlock`.
    pub fn try_connected(&self) -> io::Result<()> {
        let Kind::TcpStream(stream) = &self.kind else {
            return Err(unsupported());
        };
        self.readiness(Direction::Write).attempt(|| {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                Ok(_) => Ok(((), false)),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Err(error),
            }
        })
    }

    /// Returns the cost of a connection that it accepts.
    pub fn accepted_cost(&self) -> usize {
        match &self.kind {
            Kind::UnixListener(_) => cost::UNIX_STREAM,
            _ => cost::TCP_STREAM,
        }
    }

    /// Accepts a connection: returns its socket, and the peer's address if it has one.
    pub fn try_accept(&self, reactor: &Arc<Reactor<W>>) -> io::Result<(Arc<Socket<W>>, Option<SocketAddr>)> {
        self.readiness(Direction::Read).attempt(|| {
            let accepted = match &self.kind {
                Kind::TcpListener(listener) => {
                    let (stream, peer) = listener.accept()?;
                    (Kind::TcpStream(stream), Some(peer))
                }
                Kind::UnixListener(listener) => (unix::stream(listener.accept()?.0)?, None),
                _ => return Err(unsupported()),
            };
            Ok(((Socket::new(reactor, accepted.0), accepted.1), false))
        })
    }
}
