//! `wasi:sockets/tcp`. wasmtime-wasi does the work, without blocking; rights are checked before each call that needs one.

use std::net::SocketAddr;

use lunatic_net::cost;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, Duration, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, SocketError, SocketResult, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use super::file_streams::PART_MAX;
use super::state::View;
use crate::rights::net::Verb;

/// A socket, and what a stream holds that its peer does not take.
const STREAM_SIZE: usize = cost::TCP_STREAM + PART_MAX;

impl tcp::Host for View<'_> {}

impl tcp_create_socket::Host for View<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let charge = self.charge_socket(STREAM_SIZE)?;
        self.giving(SocketError::trap, |state| {
            let socket = state.context.sockets().create_tcp_socket(family)?;
            state.sockets.insert(socket.rep(), charge);
            Ok(socket)
        })
    }
}

/// Functions that only pass on what they are asked.
macro_rules! pass_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $name(&mut self, socket: Resource<TcpSocket>, $($argument: $type),*) -> $result {
            self.state().context.sockets().$name(socket, $($argument),*)
        }
    )*};
}

impl HostTcpSocket for View<'_> {
    pass_on! {
        finish_bind() -> SocketResult<()>;
        finish_listen() -> SocketResult<()>;
        local_address() -> SocketResult<IpSocketAddress>;
        remote_address() -> SocketResult<IpSocketAddress>;
        is_listening() -> Result<bool>;
        address_family() -> Result<IpAddressFamily>;
        keep_alive_enabled() -> SocketResult<bool>;
        set_keep_alive_enabled(value: bool) -> SocketResult<()>;
        keep_alive_idle_time() -> SocketResult<Duration>;
        set_keep_alive_idle_time(value: Duration) -> SocketResult<()>;
        keep_alive_interval() -> SocketResult<Duration>;
        set_keep_alive_interval(value: Duration) -> SocketResult<()>;
        keep_alive_count() -> SocketResult<u32>;
        set_keep_alive_count(value: u32) -> SocketResult<()>;
        hop_limit() -> SocketResult<u8>;
        set_hop_limit(value: u8) -> SocketResult<()>;
        receive_buffer_size() -> SocketResult<u64>;
        set_receive_buffer_size(value: u64) -> SocketResult<()>;
        send_buffer_size() -> SocketResult<u64>;
        set_send_buffer_size(value: u64) -> SocketResult<()>;
        shutdown(what: ShutdownType) -> SocketResult<()>;
    }

    /// A listener pays for the connections that may wait.
    fn set_listen_backlog_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        let value = value.min(cost::TCP_BACKLOG as u64);
        self.state().context.sockets().set_listen_backlog_size(socket, value)
    }

    async fn start_bind(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.may(Verb::Bind, SocketAddr::from(address))?;
        self.state()
            .context
            .sockets()
            .start_bind(socket, network, address)
            .await
    }

    fn start_connect(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.may(Verb::Connect, SocketAddr::from(address))?;
        self.state().context.sockets().start_connect(socket, network, address)
    }

    fn finish_connect(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        self.gives().map_err(SocketError::trap)?;
        let connected = self.giving(SocketError::trap, |state| {
            state.context.sockets().finish_connect(socket)
        });
        if connected.is_err() {
            self.dropped();
        }
        connected
    }

    /// It must have been bound, which requires a right.
    async fn start_listen(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        const MORE: usize = cost::TCP_LISTENER - cost::TCP_STREAM;
        let number = socket.rep();
        self.charge_more(number, MORE)?;
        let started = self.state().context.sockets().start_listen(socket).await;
        if started.is_err() {
            self.charge_less(number, MORE);
        }
        started
    }

    fn accept(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let charge = self.charge_socket(STREAM_SIZE)?;
        self.gives().and_then(|()| self.gives()).map_err(SocketError::trap)?;
        let accepted = self.giving(SocketError::trap, |state| {
            let accepted = state.context.sockets().accept(socket)?;
            state.sockets.insert(accepted.0.rep(), charge);
            Ok(accepted)
        });
        if accepted.is_err() {
            self.dropped();
            self.dropped();
        }
        accepted
    }

    fn subscribe(&mut self, socket: Resource<TcpSocket>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| HostTcpSocket::subscribe(&mut state.context.sockets(), socket),
        )
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> Result<()> {
        self.dropping(|state| {
            let charge = state.sockets.remove(&socket.rep());
            HostTcpSocket::drop(&mut state.context.sockets(), socket)?;
            drop(charge);
            Ok(())
        })
    }
}
