//! UDP.

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

/// Sends and receives datagrams.
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

/// All of them may fail with errors of the system; what else is said of each.
impl UdpSocket {
    /// Binds to an address; port 0 is one that the system chooses.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right `bind:ADDRESS:PORT`, and those of the system.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        first(&address, |address| {
            host::net::udp_bind(address).map(|handle| Self(Socket::new(handle)))
        })
    }

    /// From now on [`send`](Self::send) goes to this address, and only what comes from there is received.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right to this address, and those of the system.
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        first(&address, |address| host::net::udp_connect(self.0.raw(), address))
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right to this address; one that is too long, and
    /// others of the system.
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
    /// Those of the system.
    pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        host::net::write(self.0.raw(), datagram)
    }

    /// Waits for a datagram: its length and who sent it. What has no room is lost.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut), and those of the system.
    pub fn recv_from(&self, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        host::net::receive_from(self.0.raw(), to, false)
    }

    /// As [`recv_from`](Self::recv_from), and leaves the datagram to be received again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        host::net::receive_from(self.0.raw(), to, true)
    }

    /// Waits for a datagram from the address that the socket is connected to.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, to: &mut [u8]) -> io::Result<usize> {
        host::net::read(self.0.raw(), to)
    }

    /// As [`recv`](Self::recv), and leaves the datagram to be received again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn peek(&self, to: &mut [u8]) -> io::Result<usize> {
        host::net::peek(self.0.raw(), to)
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        host::net::local_address(self.0.raw())
    }

    /// What the socket is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        host::net::peer_address(self.0.raw())
    }

    /// Another handle of the same socket, for another process.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded).
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sets whether datagrams may go to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.0.set(option::BROADCAST, on)
    }

    /// Whether datagrams may go to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.0.switch(option::BROADCAST)
    }

    /// Sets the time to live of datagrams.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set(option::TTL, ttl)
    }

    /// The time to live of datagrams.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.number(option::TTL)
    }

    /// Sets whether multicast datagrams come back to this machine.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.0.set(option::MULTICAST_LOOP_V4, on)
    }

    /// Sets the time to live of multicast datagrams, in which 1 is this network only.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.0.set(option::MULTICAST_TTL_V4, ttl)
    }

    /// Sets whether multicast datagrams come back to this machine.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.0.set(option::MULTICAST_LOOP_V6, on)
    }

    /// Joins a multicast group on the interface with this address.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right `bind:GROUP`, and those of the system.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        let interface = SocketAddr::new((*interface).into(), 0);
        host::net::multicast(self.0.raw(), IpAddr::V4(*group), interface, true)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    ///
    /// As [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        let interface = SocketAddr::new((*interface).into(), 0);
        host::net::multicast(self.0.raw(), IpAddr::V4(*group), interface, false)
    }

    /// Joins a multicast group on the interface with this number.
    ///
    /// # Errors
    ///
    /// As [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        let interface = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, interface).into();
        host::net::multicast(self.0.raw(), IpAddr::V6(*group), interface, true)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    ///
    /// As [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        let interface = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, interface).into();
        host::net::multicast(self.0.raw(), IpAddr::V6(*group), interface, false)
    }

    /// The error that is pending, such as that a peer refuses datagrams.
    ///
    /// # Errors
    ///
    /// Those of the system.
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
