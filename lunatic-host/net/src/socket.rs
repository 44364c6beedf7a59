//! A socket of any kind, and its operations, which never wait.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_sys::codes::{NO_TIMEOUT, option};
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};

use super::cost::{self, UDP_BUFFER, UNIX_BUFFER};
use super::reactor::{self, Reactor};
use super::readiness::{Direction, Readiness, Waiter};
use super::tls::Tls;

/// The kind of a socket.
pub enum Kind<W: Waiter> {
    TcpListener(mio::net::TcpListener),
    TcpStream(mio::net::TcpStream),
    Udp(mio::net::UdpSocket),
    UnixListener(mio::net::UnixListener),
    UnixStream(mio::net::UnixStream),
    Tls(Box<Tls<W>>),
}

/// An open socket. It closes on drop.
///
/// `W` waits for it. Operations never wait: they return `WouldBlock`, and [`readiness`](Self::readiness) says when to
/// try again.
pub struct Socket<W: Waiter> {
    pub(crate) kind: Kind<W>,
    directions: [Readiness<W>; 2],
    is_watched: AtomicBool,
    watched: Mutex<Option<Id>>,
    reactor: Arc<Reactor<W>>,
    /// In nanoseconds, or `NO_TIMEOUT`. As with the operating system's own timeouts, all clones share them.
    timeouts: [AtomicU64; 2],
}

impl<W: Waiter> Socket<W> {
    pub fn new(reactor: &Arc<Reactor<W>>, kind: Kind<W>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            directions: Default::default(),
            is_watched: AtomicBool::new(false),
            watched: Mutex::new(None),
            reactor: reactor.clone(),
            timeouts: [const { AtomicU64::new(NO_TIMEOUT) }; 2],
        })
    }

    /// Returns the bytes that are kept for it.
    pub fn cost(&self) -> usize {
        match &self.kind {
            Kind::TcpListener(_) => cost::TCP_LISTENER,
            Kind::TcpStream(_) => cost::TCP_STREAM,
            Kind::Udp(_) => cost::UDP,
            Kind::UnixListener(_) => cost::UNIX_LISTENER,
            Kind::UnixStream(_) => cost::UNIX_STREAM,
            Kind::Tls(_) => cost::TLS,
        }
    }

    /// Whether it works no more after an error. Listeners count, too: they do not have errors of their own.
    pub(crate) fn is_stream(&self) -> bool {
        !matches!(self.kind, Kind::Udp(_))
    }

    /// Returns the TLS stream, if it is one.
    pub fn tls(&self) -> io::Result<&Tls<W>> {
        match &self.kind {
            Kind::Tls(tls) => Ok(tls),
            _ => Err(unsupported()),
        }
    }

    /// The socket to wait for: for a TLS stream, its TCP connection.
    fn below(&self) -> &Self {
        match &self.kind {
            Kind::Tls(tls) => &tls.tcp,
            _ => self,
        }
    }

    pub fn readiness(&self, direction: Direction) -> &Readiness<W> {
        &self.below().directions[direction as usize]
    }

    /// Makes the reactor watch the socket; must be called before anyone waits for it.
    ///
    /// # Errors
    ///
    /// If the kernel has no room for it.
    pub fn watch(self: &Arc<Self>, direction: Direction) -> io::Result<()> {
        if let Kind::Tls(tls) = &self.kind {
            return tls.tcp.watch(direction);
        }
        if self.is_watched.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut watched = self.watched.lock();
        if watched.is_none() {
            // This direction has just been found to block; nobody has tried the other one. This precedes the reactor's
            // watch, whose reports must not be overwritten.
            self.readiness(direction).watched(false);
            let other = match direction {
                Direction::Read => Direction::Write,
                Direction::Write => Direction::Read,
            };
            self.readiness(other).watched(true);
            match self.reactor.watch(self, reactor::fd(&self.fd())) {
                Ok(new) => *watched = Some(new),
                Err(error) => {
                    // Nobody would set them again.
                    self.readiness(direction).not_watched();
                    self.readiness(other).not_watched();
                    return Err(error);
                }
            }
            self.is_watched.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Returns the nanoseconds after which an operation gives up, or `NO_TIMEOUT`.
    pub fn timeout_ns(&self, direction: Direction) -> u64 {
        self.below().timeouts[direction as usize].load(Ordering::Relaxed)
    }

    pub fn set_timeout_ns(&self, direction: Direction, ns: u64) {
        self.below().timeouts[direction as usize].store(ns, Ordering::Relaxed);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::TcpListener(socket) => socket.as_fd(),
            Kind::TcpStream(socket) => socket.as_fd(),
            Kind::Udp(socket) => socket.as_fd(),
            Kind::UnixListener(socket) => socket.as_fd(),
            Kind::UnixStream(socket) => socket.as_fd(),
            Kind::Tls(tls) => tls.tcp.fd(),
        }
    }

    fn options(&self) -> SockRef<'_> {
        match &self.kind {
            Kind::TcpListener(socket) => SockRef::from(socket),
            Kind::TcpStream(socket) => SockRef::from(socket),
            Kind::Udp(socket) => SockRef::from(socket),
            Kind::UnixListener(socket) => SockRef::from(socket),
            Kind::UnixStream(socket) => SockRef::from(socket),
            Kind::Tls(tls) => tls.tcp.options(),
        }
    }

    /// Reads available bytes; 0 is the end.
    pub fn try_read(&self, to: &mut [u8]) -> io::Result<usize> {
        if let Kind::Tls(tls) = &self.kind {
            return tls.try_read(to);
        }
        self.readiness(Direction::Read).attempt(|| {
            let (len, is_stream) = match &self.kind {
                Kind::TcpStream(socket) => ((&mut &*socket).read(to)?, true),
                Kind::UnixStream(socket) => ((&mut &*socket).read(to)?, true),
                Kind::Udp(socket) => (socket.recv(to)?, false),
                _ => return Err(unsupported()),
            };
            // A stream that returns less than requested has no more; at its end it continues to return nothing.
            Ok((len, is_stream && len > 0 && len < to.len()))
        })
    }

    /// Reads available bytes without consuming them.
    pub fn try_peek(&self, to: &mut [u8]) -> io::Result<usize> {
        self.readiness(Direction::Read).attempt(|| {
            let len = match &self.kind {
                Kind::TcpStream(socket) => socket.peek(to)?,
                Kind::Udp(socket) => socket.peek(to)?,
                _ => return Err(unsupported()),
            };
            Ok((len, false))
        })
    }

    /// Writes as many bytes as there is room for.
    pub fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        if let Kind::Tls(tls) = &self.kind {
            return tls.try_write(from);
        }
        self.readiness(Direction::Write).attempt(|| {
            let (len, is_stream) = match &self.kind {
                Kind::TcpStream(socket) => ((&mut &*socket).write(from)?, true),
                Kind::UnixStream(socket) => ((&mut &*socket).write(from)?, true),
                Kind::Udp(socket) => (socket.send(from)?, false),
                _ => return Err(unsupported()),
            };
            Ok((len, is_stream && len < from.len()))
        })
    }

    /// Gives up a write that has waited for too long. Returns how many of its bytes will still be sent.
    pub fn give_up_write(&self) -> Option<usize> {
        self.tls().ok()?.take_taken()
    }

    /// Returns whether it can have several handles. A TLS stream has one write at a time.
    pub fn can_be_cloned(&self) -> bool {
        self.tls().is_err()
    }

    /// Shuts down one direction of a stream, or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.kind {
            Kind::TcpStream(socket) => socket.shutdown(how),
            Kind::UnixStream(socket) => socket.shutdown(how),
            Kind::Tls(tls) => tls.shutdown(how),
            _ => Err(unsupported()),
        }
    }

    /// Returns the name of its kind.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::TcpListener(_) => "tcp listener",
            Kind::TcpStream(_) => "tcp",
            Kind::Udp(_) => "udp",
            Kind::UnixListener(_) => "unix listener",
            Kind::UnixStream(_) => "unix",
            Kind::Tls(_) => "tls",
        }
    }

    /// Returns the local address.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            Kind::TcpListener(socket) => socket.local_addr(),
            Kind::TcpStream(socket) => socket.local_addr(),
            Kind::Udp(socket) => socket.local_addr(),
            Kind::Tls(tls) => tls.tcp.local_address(),
            _ => Err(unsupported()),
        }
    }

    /// Returns the address of the peer.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            Kind::TcpStream(socket) => socket.peer_addr(),
            Kind::Udp(socket) => socket.peer_addr(),
            Kind::Tls(tls) => tls.tcp.peer_address(),
            _ => Err(unsupported()),
        }
    }

    /// Returns the value of one of [`lunatic_sys::codes::option`].
    pub fn option(&self, name: i32) -> io::Result<u64> {
        let socket = self.options();
        Ok(match name {
            option::READ_TIMEOUT => self.timeout_ns(Direction::Read),
            option::WRITE_TIMEOUT => self.timeout_ns(Direction::Write),
            option::NODELAY => socket.tcp_nodelay()?.into(),
            option::TTL if self.is_v6()? => socket.unicast_hops_v6()?.into(),
            option::TTL => socket.ttl_v4()?.into(),
            option::KEEPALIVE if socket.keepalive()? => socket.tcp_keepalive_time()?.as_secs(),
            option::KEEPALIVE => 0,
            option::BROADCAST => socket.broadcast()?.into(),
            option::ONLY_V6 => socket.only_v6()?.into(),
            option::RECEIVE_BUFFER => socket.recv_buffer_size()? as u64,
            option::SEND_BUFFER => socket.send_buffer_size()? as u64,
            option::RESET_ON_CLOSE => u64::from(socket.linger()? == Some(Duration::ZERO)),
            option::MULTICAST_TTL_V4 => socket.multicast_ttl_v4()?.into(),
            option::MULTICAST_LOOP_V4 => socket.multicast_loop_v4()?.into(),
            option::MULTICAST_LOOP_V6 => socket.multicast_loop_v6()?.into(),
            option::ERROR => match socket.take_error()? {
                Some(error) => super::errno::of(&error) as u64,
                None => 0,
            },
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        })
    }

    /// Sets the value of one of [`lunatic_sys::codes::option`].
    pub fn set_option(&self, name: i32, value: u64) -> io::Result<()> {
        let socket = self.options();
        let number = || u32::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        // The kernel limits the value, and then doubles it.
        let size = || usize::try_from(value).unwrap_or(usize::MAX).min(self.buffer_max());
        match name {
            option::READ_TIMEOUT | option::WRITE_TIMEOUT if value == 0 => Err(io::ErrorKind::InvalidInput.into()),
            option::READ_TIMEOUT | option::WRITE_TIMEOUT => {
                let direction = match name {
                    option::READ_TIMEOUT => Direction::Read,
                    _ => Direction::Write,
                };
                self.set_timeout_ns(direction, value);
                Ok(())
            }
            option::NODELAY => socket.set_tcp_nodelay(value != 0),
            option::TTL if self.is_v6()? => socket.set_unicast_hops_v6(number()?),
            option::TTL => socket.set_ttl_v4(number()?),
            option::KEEPALIVE if value == 0 => socket.set_keepalive(false),
            option::KEEPALIVE => {
                let time = Duration::from_secs(number()?.into());
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time))
            }
            option::BROADCAST => socket.set_broadcast(value != 0),
            option::ONLY_V6 => socket.set_only_v6(value != 0),
            option::RECEIVE_BUFFER => socket.set_recv_buffer_size(size()),
            option::SEND_BUFFER => socket.set_send_buffer_size(size()),
            // Only zero: closing with any other linger time would block a worker.
            option::RESET_ON_CLOSE => socket.set_linger((value != 0).then_some(Duration::ZERO)),
            option::MULTICAST_TTL_V4 => socket.set_multicast_ttl_v4(number()?),
            option::MULTICAST_LOOP_V4 => socket.set_multicast_loop_v4(value != 0),
            option::MULTICAST_LOOP_V6 => socket.set_multicast_loop_v6(value != 0),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The largest buffer that may be requested from the operating system, in bytes: the size that is paid for.
    fn buffer_max(&self) -> usize {
        match &self.kind {
            Kind::Udp(_) => UDP_BUFFER,
            Kind::UnixListener(_) | Kind::UnixStream(_) => UNIX_BUFFER,
            // The operating system would take a larger number for a negative one.
            Kind::TcpListener(_) | Kind::TcpStream(_) | Kind::Tls(_) => 1 << 30,
        }
    }

    fn is_v6(&self) -> io::Result<bool> {
        Ok(self.local_address()?.is_ipv6())
    }
}

impl<W: Waiter> Drop for Socket<W> {
    fn drop(&mut self) {
        if let Some(id) = self.watched.get_mut().take() {
            self.reactor.forget(id);
        }
    }
}

/// The socket does not support the operation.
pub(crate) fn unsupported() -> io::Error {
    io::ErrorKind::Unsupported.into()
}

/// Returns whether the operation must be tried again when the socket is ready.
pub fn would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
