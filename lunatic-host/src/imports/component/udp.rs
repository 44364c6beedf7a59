//! `wasi:sockets/udp`. wasmtime-wasi does the work, without blocking; rights are checked before each call that needs one.

use std::net::SocketAddr;

use lunatic_net::cost;
use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    self, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram,
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket;
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult, UdpSocket};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use super::file_streams::PART_MAX;
use super::state::View;
use crate::rights::net::Verb;

/// The most datagrams of a call, of which wasmtime-wasi permits no more. The rights for each are checked in one step.
const DATAGRAMS_MAX: usize = 16;

/// A socket, and a datagram in each direction.
const SOCKET_SIZE: usize = cost::UDP + 2 * PART_MAX;

impl udp::Host for View<'_> {}

impl udp_create_socket::Host for View<'_> {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        let charge = self.charge_socket(SOCKET_SIZE)?;
        self.gives().map_err(SocketError::trap)?;
        let made = self.state().context.sockets().create_udp_socket(family).await;
        match &made {
            Ok(socket) => _ = self.state().sockets.insert(socket.rep(), charge),
            Err(_) => self.dropped(),
        }
        made
    }
}

impl HostUdpSocket for View<'_> {
    async fn start_bind(
        &mut self,
        socket: Resource<UdpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.may(Verb::Bind, SocketAddr::from(address))?;
        HostUdpSocket::start_bind(&mut self.state().context.sockets(), socket, network, address).await
    }

    fn finish_bind(&mut self, socket: Resource<UdpSocket>) -> SocketResult<()> {
        HostUdpSocket::finish_bind(&mut self.state().context.sockets(), socket)
    }

    async fn stream(
        &mut self,
        socket: Resource<UdpSocket>,
        address: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<IncomingDatagramStream>, Resource<OutgoingDatagramStream>)> {
        if let Some(address) = address {
            self.may(Verb::Connect, SocketAddr::from(address))?;
        }
        self.gives().and_then(|()| self.gives()).map_err(SocketError::trap)?;
        let made = self.state().context.sockets().stream(socket, address).await;
        if made.is_err() {
            self.dropped();
            self.dropped();
        }
        made
    }

    fn local_address(&mut self, socket: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        HostUdpSocket::local_address(&mut self.state().context.sockets(), socket)
    }

    fn remote_address(&mut self, socket: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        HostUdpSocket::remote_address(&mut self.state().context.sockets(), socket)
    }

    fn address_family(&mut self, socket: Resource<UdpSocket>) -> Result<IpAddressFamily> {
        HostUdpSocket::address_family(&mut self.state().context.sockets(), socket)
    }

    fn unicast_hop_limit(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u8> {
        self.state().context.sockets().unicast_hop_limit(socket)
    }

    fn set_unicast_hop_limit(&mut self, socket: Resource<UdpSocket>, value: u8) -> SocketResult<()> {
        self.state().context.sockets().set_unicast_hop_limit(socket, value)
    }

    fn receive_buffer_size(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u64> {
        HostUdpSocket::receive_buffer_size(&mut self.state().context.sockets(), socket)
    }

    /// The process pays for buffers of the usual size, so they are not larger.
    fn set_receive_buffer_size(&mut self, socket: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        let value = value.min(cost::UDP_BUFFER as u64);
        HostUdpSocket::set_receive_buffer_size(&mut self.state().context.sockets(), socket, value)
    }

    fn send_buffer_size(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u64> {
        HostUdpSocket::send_buffer_size(&mut self.state().context.sockets(), socket)
    }

    fn set_send_buffer_size(&mut self, socket: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        let value = value.min(cost::UDP_BUFFER as u64);
        HostUdpSocket::set_send_buffer_size(&mut self.state().context.sockets(), socket, value)
    }

    fn subscribe(&mut self, socket: Resource<UdpSocket>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| HostUdpSocket::subscribe(&mut state.context.sockets(), socket),
        )
    }

    fn drop(&mut self, socket: Resource<UdpSocket>) -> Result<()> {
        self.dropping(|state| {
            let charge = state.sockets.remove(&socket.rep());
            HostUdpSocket::drop(&mut state.context.sockets(), socket)?;
            drop(charge);
            Ok(())
        })
    }
}

impl HostIncomingDatagramStream for View<'_> {
    fn receive(&mut self, stream: Resource<IncomingDatagramStream>, max: u64) -> SocketResult<Vec<IncomingDatagram>> {
        self.state().context.sockets().receive(stream, max)
    }

    fn subscribe(&mut self, stream: Resource<IncomingDatagramStream>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| HostIncomingDatagramStream::subscribe(&mut state.context.sockets(), stream),
        )
    }

    fn drop(&mut self, stream: Resource<IncomingDatagramStream>) -> Result<()> {
        self.dropping(|state| HostIncomingDatagramStream::drop(&mut state.context.sockets(), stream))
    }
}

impl HostOutgoingDatagramStream for View<'_> {
    fn check_send(&mut self, stream: Resource<OutgoingDatagramStream>) -> SocketResult<u64> {
        self.state().context.sockets().check_send(stream)
    }

    fn send(
        &mut self,
        stream: Resource<OutgoingDatagramStream>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> SocketResult<u64> {
        if datagrams.len() > DATAGRAMS_MAX {
            return Err(SocketError::trap(Error::msg(format!(
                "the process sends {} datagrams in one call, more than `check-send` has permitted",
                datagrams.len()
            ))));
        }
        for address in datagrams.iter().filter_map(|datagram| datagram.remote_address) {
            self.may(Verb::Connect, SocketAddr::from(address))?;
        }
        self.state().context.sockets().send(stream, datagrams)
    }

    fn subscribe(&mut self, stream: Resource<OutgoingDatagramStream>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| HostOutgoingDatagramStream::subscribe(&mut state.context.sockets(), stream),
        )
    }

    async fn drop(&mut self, stream: Resource<OutgoingDatagramStream>) -> Result<()> {
        HostOutgoingDatagramStream::drop(&mut self.state().context.sockets(), stream).await?;
        self.dropped();
        Ok(())
    }
}
