//! UDP: binding, and datagrams from and to any address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::cost::UDP_BUFFER;
use super::reactor::Reactor;
use super::readiness::{Direction, Waiter};
use super::socket::{Kind, Socket, unsupported};

/// Binds a socket to an address.
pub fn bind<W: Waiter>(reactor: &Arc<Reactor<W>>, address: SocketAddr) -> io::Result<Arc<Socket<W>>> {
    let socket = mio::net::UdpSocket::bind(address)?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(UDP_BUFFER)?;
    Ok(Socket::new(reactor, Kind::Udp(socket)))
}

impl<W: Waiter> Socket<W> {
    fn udp(&self) -> io::Result<&mio::net::UdpSocket> {
        match &self.kind {
            Kind::Udp(socket) => Ok(socket),
            _ => Err(unsupported()),
        }
    }

    /// From now on, sends datagrams to this address, and receives only those from it.
    pub fn udp_connect(&self, address: SocketAddr) -> io::Result<()> {
        self.udp()?.connect(address)
    }

    /// Sends a datagram to an address.
    pub fn try_send_to(&self, from: &[u8], address: SocketAddr) -> io::Result<usize> {
        let socket = self.udp()?;
        self.readiness(Direction::Write)
            .attempt(|| Ok((socket.send_to(from, address)?, false)))
    }

    /// Receives a datagram, or only copies it with `peek`: returns its length, up to the room for it, and its sender.
    pub fn try_receive_from(&self, to: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        let socket = self.udp()?;
        self.readiness(Direction::Read).attempt(|| {
            let received = if peek {
                socket.peek_from(to)?
            } else {
                socket.recv_from(to)?
            };
            Ok((received, false))
        })
    }

    /// Joins or leaves a multicast group, on the interface with this address (IPv4) or number (IPv6).
    pub fn multicast(&self, group: IpAddr, v4: Ipv4Addr, v6: u32, join: bool) -> io::Result<()> {
        let socket = self.udp()?;
        match (group, join) {
            (IpAddr::V4(group), true) => socket.join_multicast_v4(&group, &v4),
            (IpAddr::V4(group), false) => socket.leave_multicast_v4(&group, &v4),
            (IpAddr::V6(group), true) => socket.join_multicast_v6(&group, v6),
            (IpAddr::V6(group), false) => socket.leave_multicast_v6(&group, v6),
        }
    }
}
