//! TCP.

use std::fmt;
use std::io;
use std::time::Duration;

use lunatic_sys::codes::{NO_TIMEOUT, option};
use serde::{Deserialize, Serialize};

use super::address::first;
use super::socket::Socket;
use super::stream::stream;
use super::{Shutdown, SocketAddr, Target, ToSocketAddrs};
use crate::host;

/// Accepts TCP connections.
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
    /// Listens at an address; port 0 is one that the system chooses.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right `bind:ADDRESS:PORT`,
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), and others of the system.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        first(&address, |address| {
            host::net::tcp_listen(address).map(|handle| Self(Socket::new(handle)))
        })
    }

    /// Waits for a connection, and tells who it is from.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may have no more sockets: the connection waits on;
    /// and those of the system.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_ns(NO_TIMEOUT)
    }

    /// As [`accept`](Self::accept), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Also [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_ns(host::timeout_ns(timeout))
    }

    fn accept_ns(&self, timeout_ns: u64) -> io::Result<(TcpStream, SocketAddr)> {
        let (handle, peer) = host::net::accept(self.0.raw(), timeout_ns)?;
        Ok((TcpStream(Socket::new(handle)), peer))
    }

    /// The connections, one after the other, without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        host::net::local_address(self.0.raw())
    }

    /// Another handle of the same listener, for another process.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded).
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The time to live of the packets of accepted connections.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.number(option::TTL)
    }

    /// Sets the time to live of the packets of accepted connections.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set(option::TTL, ttl)
    }

    /// The error that is pending.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpListener({})", self.0)
    }
}

/// The connections of a [`TcpListener`], without end.
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
    /// Connects, and waits until that has come about: to the first of several addresses that answers.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right to this address or name,
    /// [`NotFound`](io::ErrorKind::NotFound) if a name has no address,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) and others of the system.
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::connect_ns(&address, NO_TIMEOUT)
    }

    /// As [`connect`](Self::connect) to one address, for at most `timeout`, which is not zero.
    ///
    /// # Errors
    ///
    /// Also [`TimedOut`](io::ErrorKind::TimedOut), [`InvalidInput`](io::ErrorKind::InvalidInput).
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        Self::connect_within(address, timeout)
    }

    /// As [`connect`](Self::connect), for at most `timeout`, which is not zero: that of looking a name up and of all its
    /// addresses together.
    ///
    /// # Errors
    ///
    /// Also [`TimedOut`](io::ErrorKind::TimedOut), [`InvalidInput`](io::ErrorKind::InvalidInput).
    pub fn connect_within(address: impl ToSocketAddrs, timeout: Duration) -> io::Result<Self> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a timeout of zero connects to nothing",
            ));
        }
        Self::connect_ns(&address, host::timeout_ns(timeout))
    }

    fn connect_ns(address: &impl ToSocketAddrs, timeout_ns: u64) -> io::Result<Self> {
        let handle = match address.target()? {
            Target::Addresses(addresses) => first(&addresses, |address| host::net::tcp_connect(address, timeout_ns))?,
            Target::Host(host, port) => host::net::tcp_connect_host(&host, port, timeout_ns)?,
        };
        Ok(Self(Socket::new(handle)))
    }

    /// Who is connected.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection was reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        host::net::peer_address(self.0.raw())
    }

    /// This end of the connection.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        host::net::local_address(self.0.raw())
    }

    /// Ends reading, writing or both, for all clones. After writing has ended the peer reads to the end, and can still
    /// write.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection was reset.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        host::net::shutdown(self.0.raw(), how)
    }

    /// Another handle of the same connection, for another process. Timeouts and options are those of the connection.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded).
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// As a read, but leaves the bytes to be read again.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub fn peek(&self, to: &mut [u8]) -> io::Result<usize> {
        host::net::peek(self.0.raw(), to)
    }

    /// Whether small pieces are sent at once, and not collected for a moment.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.switch(option::NODELAY)
    }

    /// Sets whether small pieces are sent at once, and not collected for a moment.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set(option::NODELAY, nodelay)
    }

    /// The time to live of packets.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.number(option::TTL)
    }

    /// Sets the time to live of packets.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set(option::TTL, ttl)
    }

    /// After how long a silence the peer is asked for a sign of life.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let seconds = self.0.option(option::KEEPALIVE)?;
        Ok((seconds != 0).then(|| Duration::from_secs(seconds)))
    }

    /// Sets after how long a silence the peer is asked for a sign of life: whole seconds, at least one.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_keepalive(&self, silence: Option<Duration>) -> io::Result<()> {
        self.0
            .set(option::KEEPALIVE, silence.map_or(0, |silence| silence.as_secs().max(1)))
    }

    /// Sets whether closing resets the connection and drops what was not sent (`SO_LINGER` of zero).
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_reset_on_close(&self, reset: bool) -> io::Result<()> {
        self.0.set(option::RESET_ON_CLOSE, reset)
    }

    /// The error that is pending.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }
}

stream!(TcpStream);
