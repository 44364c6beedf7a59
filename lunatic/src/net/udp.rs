//! UDP sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};

use lunatic_sys::codes::option;
use serde::{Deserialize, Serialize};

use super::address::first;
use super::socket::Socket;
use super::stream::timeouts;
use super::{SocketAddr, ToSocketAddrs};
use crate::host;

/// A UDP socket, which sends and receives datagrams.
///
/// # Examples
///
/// ```no_run
/// use lunatic::net::UdpSocket;
///
/// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
/// socket.send_to(b"hello", "127.0.0.1:7001").unwrap();
/// let mut bytes = [0; 1500];
/// let (len, peer) = socket.recv_from(&mut bytes).unwrap();
/// println!("{peer} answers {:?}", &bytes[..len]);
/// ```
#[derive(Serialize, Deserialize)]
pub struct UdpSocket(Socket);

/// All methods can fail with errors of the operating system; other errors are listed for each.
impl UdpSocket {
    /// Binds a socket to an address. With port 0 the system chooses a port.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right `bind:ADDRESS:PORT`, and errors of the
    /// operating system.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        first(&address, "bind to", |address| {
            host::net::udp_bind(address).map(|handle| Self(Socket::new(handle)))
        })
    }

    /// Connects the socket to an address: [`send`](Self::send) sends to it, and only datagrams from it are received.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right to this address, and errors of the
    /// operating system.
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        first(&address, "connect to", |address| {
            host::net::udp_connect(self.0.raw(), address)
        })
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right to this address, and errors of the
    /// operating system, for example if the datagram is too long.
    pub fn send_to(&self, datagram: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let address = address.to_socket_addrs()?.next();
        let address =
            address.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no address to send to"))?;
        host::net::send_to(self.0.raw(), datagram, address)
    }

    /// Sends a datagram to the address that the socket is connected to.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        host::net::write(self.0.raw(), datagram)
    }

    /// Waits for a datagram, and returns its length and the address of its sender. Bytes that do not fit into `to` are
    /// lost.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut), and errors of the operating system.
    pub fn recv_from(&self, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        host::net::receive_from(self.0.raw(), to, false)
    }

    /// Waits for a datagram as [`recv_from`](Self::recv_from) does, but leaves it to be received again.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        host::net::receive_from(self.0.raw(), to, true)
    }

    /// Waits for a datagram from the address that the socket is connected to, and returns its length.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn recv(&self, to: &mut [u8]) -> io::Result<usize> {
        host::net::read(self.0.raw(), to)
    }

    /// Waits for a datagram as [`recv`](Self::recv) does, but leaves it to be received again.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn peek(&self, to: &mut [u8]) -> io::Result<usize> {
        host::net::peek(self.0.raw(), to)
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        host::net::local_address(self.0.raw())
    }

    /// Returns the address that the socket is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it is not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        host::net::peer_address(self.0.raw())
    }

    /// Makes another handle of the same socket, for another process.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if the process may not have another socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sets whether datagrams can be sent to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.0.set(option::BROADCAST, on)
    }

    /// Returns whether datagrams can be sent to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.0.switch(option::BROADCAST)
    }

    /// Sets the time to live of datagrams.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set(option::TTL, ttl)
    }

    /// Returns the time to live of datagrams.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.number(option::TTL)
    }

    /// Sets whether IPv4 multicast datagrams are also delivered on this machine.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.0.set(option::MULTICAST_LOOP_V4, on)
    }

    /// Sets the time to live of IPv4 multicast datagrams; with 1 they do not leave the local network.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.0.set(option::MULTICAST_TTL_V4, ttl)
    }

    /// Sets whether IPv6 multicast datagrams are also delivered on this machine.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.0.set(option::MULTICAST_LOOP_V6, on)
    }

    /// Joins a multicast group on the interface with this address.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right `bind:GROUP`, and errors of the
    /// operating system.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        let interface = SocketAddr::new((*interface).into(), 0);
        host::net::multicast(self.0.raw(), IpAddr::V4(*group), interface, true)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    ///
    /// As for [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        let interface = SocketAddr::new((*interface).into(), 0);
        host::net::multicast(self.0.raw(), IpAddr::V4(*group), interface, false)
    }

    /// Joins a multicast group on the interface with this index.
    ///
    /// # Errors
    ///
    /// As for [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        let interface = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, interface).into();
        host::net::multicast(self.0.raw(), IpAddr::V6(*group), interface, true)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    ///
    /// As for [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        let interface = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, interface).into();
        host::net::multicast(self.0.raw(), IpAddr::V6(*group), interface, false)
    }

    /// Takes the error that is pending on the socket, for example because a peer refuses datagrams.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }
}

timeouts!(UdpSocket);

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdpSocket({})", self.0)
    }
}
