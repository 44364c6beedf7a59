//! TLS, over a TCP connection.
//!
//! A TLS stream is a socket like others: its readiness is that of its TCP connection. One thing differs: a write is
//! done only when all of its encrypted bytes have gone to the operating system. Until then the call blocks, so that
//! nothing is left behind in the host if the process does not call again.

pub mod client;
pub mod config;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use lunatic_kernel::budget::Receipt;
use parking_lot::Mutex;
use rustls::Connection;

use self::config::Prepared;
use super::reactor::Reactor;
use super::readiness::{Direction, Waiter};
use super::socket::{Kind, Socket, unsupported};

/// The most bytes that one write takes: a record.
const WRITE_MAX: usize = 16 << 10;

/// The most bytes that a stream holds: 64 KiB of an incomplete handshake message, 64 KiB of the peer's certificates,
/// and 64 KiB for its state, an incoming record, the contents of the last ones, and an outgoing one.
pub const HELD_MAX: usize = 192 << 10;

/// A TLS stream.
pub struct Tls<W: Waiter> {
    /// The TCP connection.
    pub(crate) tcp: Arc<Socket<W>>,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    /// For the configuration, which the connection keeps.
    _receipt: Arc<Receipt>,
    /// How many bytes of the current write were accepted and have not all gone to the operating system.
    taken: Option<usize>,
}

/// What a handshake must wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    Done,
    Waits(Direction),
}

/// Starts TLS on a connection.
pub fn wrap<W: Waiter>(
    reactor: &Arc<Reactor<W>>,
    tcp: Arc<Socket<W>>,
    prepared: Prepared,
) -> io::Result<Arc<Socket<W>>> {
    if !matches!(tcp.kind, Kind::TcpStream(_)) {
        return Err(unsupported());
    }
    let tls = Tls {
        tcp,
        state: Mutex::new(State {
            connection: prepared.connection,
            _receipt: prepared.receipt,
            taken: None,
        }),
    };
    Ok(Socket::new(reactor, Kind::Tls(Box::new(tls))))
}

/// The TCP connection, for reading and writing records.
struct Records<'a, W: Waiter>(&'a Socket<W>);

impl<W: Waiter> Read for Records<'_, W> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(to)
    }
}

impl<W: Waiter> Write for Records<'_, W> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.try_write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    /// Sends all pending records.
    fn flush<W: Waiter>(&mut self, tcp: &Socket<W>) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut Records(tcp))?;
        }
        Ok(())
    }

    /// Reads records from the connection, and decodes them; false at its end.
    fn fill<W: Waiter>(&mut self, tcp: &Socket<W>) -> io::Result<bool> {
        let len = self.connection.read_tls(&mut Records(tcp))?;
        let processed = self.connection.process_new_packets();
        if let Err(error) = processed {
            // The peer learns the reason, if there is room for it.
            let _ = self.flush(tcp);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(len > 0)
    }
}

/// How many times records are read before others have a turn: each time some KiB, and at most 64 KiB.
const STEPS_MAX: usize = 4;
/// The same before a connection closes.
const DRAIN_MAX: usize = 16;

impl State {
    /// Reads what has arrived and was not read, such as the tickets that a server sends after the handshake: closing a
    /// connection with unread data resets it, and the peer may lose what was sent last.
    fn drain<W: Waiter>(&mut self, tcp: &Socket<W>) {
        for _ in 0..DRAIN_MAX {
            if !self.fill(tcp).unwrap_or(false) {
                break;
            }
        }
    }
}

impl<W: Waiter> Drop for Tls<W> {
    fn drop(&mut self) {
        self.state.get_mut().drain(&self.tcp);
    }
}

impl<W: Waiter> Tls<W> {
    /// Continues the handshake as far as possible without waiting. Returns `Interrupted` like `try_read`.
    pub fn try_handshake(&self) -> io::Result<Handshake> {
        let mut state = self.state.lock();
        for _ in 0..STEPS_MAX {
            // Pending data is sent first, because the peer only answers to it.
            match state.flush(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Handshake::Waits(Direction::Write));
                }
                flushed => flushed?,
            }
            if !state.connection.is_handshaking() {
                return Ok(Handshake::Done);
            }
            match state.fill(&self.tcp) {
                Ok(true) => {}
                Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Handshake::Waits(Direction::Read));
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    /// Reads available bytes. Returns `Interrupted` if there may be some, but much other data has arrived: the peer
    /// could continue with that forever, so others should have a turn before the next attempt.
    pub(crate) fn try_read(&self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let mut state = self.state.lock();
        for _ in 0..STEPS_MAX {
            match state.connection.reader().read(to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            // An answer to the peer, such as new keys: if there is no room for it now, the next call sends it.
            match state.flush(&self.tcp) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            state.fill(&self.tcp)?;
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    pub(crate) fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        // If bytes have been accepted, this is the same write again, whose bytes the connection already has.
        if state.taken.is_none() {
            state.flush(&self.tcp)?;
            let len = from.len().min(WRITE_MAX);
            state.taken = Some(state.connection.writer().write(&from[..len])?);
        }
        state.flush(&self.tcp)?;
        Ok(state.taken.take().unwrap_or(0))
    }

    /// Gives up a write: returns how many of its bytes will still be sent.
    pub(crate) fn take_taken(&self) -> Option<usize> {
        self.state.lock().taken.take()
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            let mut state = self.state.lock();
            // Unread data would turn the end of the connection into a reset.
            state.drain(&self.tcp);
            state.connection.send_close_notify();
            match state.flush(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                flushed => flushed?,
            }
        }
        self.tcp.shutdown(how)
    }

    /// Returns the protocol that ALPN has selected.
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.state.lock().connection.alpn_protocol().map(<[u8]>::to_vec)
    }

    /// Returns the name that the client asked for; only a server knows it.
    pub fn server_name(&self) -> Option<String> {
        match &self.state.lock().connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        }
    }

    /// Returns the certificates of the peer in DER, its own first.
    pub fn peer_certificates(&self) -> Vec<Vec<u8>> {
        let state = self.state.lock();
        let chain = state.connection.peer_certificates().unwrap_or_default();
        chain.iter().map(|certificate| certificate.to_vec()).collect()
    }
}
