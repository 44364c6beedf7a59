//! TCP sockets.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use lunatic_sys::codes::{NO_TIMEOUT, option};
use serde::{Deserialize, Serialize};

use super::address::{first, name_address};
use super::socket::Socket;
use super::stream::stream;
use super::{Shutdown, SocketAddr, Target, ToSocketAddrs};
use crate::host;
use crate::task::waits::Wait;

/// A TCP socket that accepts connections.
///
/// Several processes can accept from clones of one listener; each connection goes to one of them.
///
/// # Examples
///
/// ```no_run
/// use lunatic::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
/// println!("listening at {}", listener.local_addr().unwrap());
/// let (stream, peer) = listener.accept().unwrap();
/// ```
#[derive(Serialize, Deserialize)]
pub struct TcpListener(Socket);

impl TcpListener {
    /// Listens at an address. With port 0 the system chooses a port.
    ///
    /// # Errors
    ///
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right `bind:ADDRESS:PORT`.
    /// - [`AddrInUse`](io::ErrorKind::AddrInUse) and other errors of the operating system.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        first(&address, "listen at", |address| {
            host::net::tcp_listen(address).map(|handle| Self(Socket::new(handle)))
        })
    }

    /// Waits for a connection, and returns it with the address of the peer.
    ///
    /// # Errors
    ///
    /// - [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may not have another socket. The connection
    ///   goes on waiting.
    /// - Errors of the operating system.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_ns(NO_TIMEOUT)
    }

    /// Waits for a connection as [`accept`](Self::accept) does, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept); and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_ns(host::timeout_ns(timeout))
    }

    /// Waits for a connection as [`accept`](Self::accept) does, as a future for [`block_on`](crate::task::block_on).
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no connection is lost.
    pub async fn accept_async(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut wait = Wait::default();
        poll_fn(|context| match self.accept_ns(0) {
            Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
                wait.for_reading(self.0.raw(), context.waker());
                Poll::Pending
            }
            accepted => Poll::Ready(accepted),
        })
        .await
    }

    fn accept_ns(&self, timeout_ns: u64) -> io::Result<(TcpStream, SocketAddr)> {
        let (handle, peer) = host::net::accept(self.0.raw(), timeout_ns)?;
        Ok((TcpStream(Socket::new(handle)), peer))
    }

    /// Returns an endless iterator over the connections, which waits for each.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Returns the address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        host::net::local_address(self.0.raw())
    }

    /// Makes another handle of the same listener, for another process.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may not have another socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Returns the time to live of the packets of accepted connections.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.number(option::TTL)
    }

    /// Sets the time to live of the packets of accepted connections.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set(option::TTL, ttl)
    }

    /// Takes the error that is pending on the socket.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpListener({})", self.0)
    }
}

/// An endless iterator over the connections of a [`TcpListener`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

/// A TCP connection.
///
/// # Examples
///
/// ```no_run
/// use std::io::{Read, Write};
///
/// use lunatic::net::TcpStream;
///
/// let mut stream = TcpStream::connect("example.com:80").unwrap();
/// stream.write_all(b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n").unwrap();
/// let mut page = String::new();
/// stream.read_to_string(&mut page).unwrap();
/// ```
#[derive(Serialize, Deserialize)]
pub struct TcpStream(pub(super) Socket);

impl TcpStream {
    /// Connects to an address, and waits until the connection is established. If there are several addresses, they are
    /// tried one after the other.
    ///
    /// # Errors
    ///
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right to connect to this address or name.
    /// - [`NotFound`](io::ErrorKind::NotFound) if the name has no address.
    /// - [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) and other errors of the operating system.
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::connect_ns(&address, NO_TIMEOUT)
    }

    /// Connects to one address as [`connect`](Self::connect) does, and waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); [`TimedOut`](io::ErrorKind::TimedOut); and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `timeout` is zero.
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        Self::connect_within(address, timeout)
    }

    /// Connects as [`connect`](Self::connect) does, and waits for at most `timeout`. If a name is given, this is the time
    /// for resolving it and for trying all its addresses; if several addresses are given, it is the time for each.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); [`TimedOut`](io::ErrorKind::TimedOut); and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `timeout` is zero.
    pub fn connect_within(address: impl ToSocketAddrs, timeout: Duration) -> io::Result<Self> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the timeout must not be zero",
            ));
        }
        Self::connect_ns(&address, host::timeout_ns(timeout))
    }

    fn connect_ns(address: &impl ToSocketAddrs, timeout_ns: u64) -> io::Result<Self> {
        let handle = match address.target()? {
            Target::Addresses(addresses) => first(&addresses, "connect to", |address| {
                host::net::tcp_connect(address, timeout_ns)
            })?,
            Target::Host(host, port) => host::net::tcp_connect_host(&host, port, timeout_ns)
                .map_err(|error| name_address(error, "connect to", format_args!("{host}:{port}")))?,
        };
        Ok(Self(Socket::new(handle)))
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection was reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        host::net::peer_address(self.0.raw())
    }

    /// Returns the local address of the connection.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        host::net::local_address(self.0.raw())
    }

    /// Shuts down reading, writing or both, for all clones. After writing was shut down, the peer reads to the end of
    /// the stream, and can still write.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection was reset.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        host::net::shutdown(self.0.raw(), how)
    }

    /// Makes another handle of the same connection, for another process. Timeouts and options belong to the connection,
    /// not to the handle.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may not have another socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Reads, but leaves the bytes to be read again.
    ///
    /// # Errors
    ///
    /// As for a read.
    pub fn peek(&self, to: &mut [u8]) -> io::Result<usize> {
        host::net::peek(self.0.raw(), to)
    }

    /// Returns whether small writes are sent immediately (`TCP_NODELAY`), instead of being collected for a moment.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.switch(option::NODELAY)
    }

    /// Sets whether small writes are sent immediately (`TCP_NODELAY`), instead of being collected for a moment.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set(option::NODELAY, nodelay)
    }

    /// Returns the time to live of packets.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.number(option::TTL)
    }

    /// Sets the time to live of packets.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set(option::TTL, ttl)
    }

    /// Returns the time without traffic after which the peer is probed (TCP keepalive); `None` if it is not.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let seconds = self.0.option(option::KEEPALIVE)?;
        Ok((seconds != 0).then(|| Duration::from_secs(seconds)))
    }

    /// Sets the time without traffic after which the peer is probed (TCP keepalive), in whole seconds, at least one.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_keepalive(&self, silence: Option<Duration>) -> io::Result<()> {
        self.0
            .set(option::KEEPALIVE, silence.map_or(0, |silence| silence.as_secs().max(1)))
    }

    /// Sets whether closing resets the connection and drops data that was not sent (`SO_LINGER` of zero).
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_reset_on_close(&self, reset: bool) -> io::Result<()> {
        self.0.set(option::RESET_ON_CLOSE, reset)
    }

    /// Takes the error that is pending on the socket.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }
}

stream!(TcpStream);
