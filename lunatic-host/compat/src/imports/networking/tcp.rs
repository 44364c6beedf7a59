//! TCP: listening, accepting, connecting.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::imports::net::call::{Failure, check};
use lunatic_host::imports::net::connect::{finish_connect, next_connection};
use lunatic_host::rights::net::Verb;
use lunatic_host::wasm::Socket;
use lunatic_net::cost;
use lunatic_net::handles::Charge;
use lunatic_net::tcp;
use lunatic_sys::codes::NO_TIMEOUT;
use wasmtime::{Caller, Linker};

use super::{Accepted, NAMESPACE, RawAddress, TCP_LISTENERS, TCP_STREAMS, charge, check_connect, read_address};
use crate::imports::nanoseconds;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap(NAMESPACE, "tcp_bind", tcp_bind)?;
    linker.func_wrap(NAMESPACE, "drop_tcp_listener", TCP_LISTENERS.drop_handle())?;
    let local_address = TCP_LISTENERS.tell_address(Socket::local_address);
    linker.func_wrap(NAMESPACE, "tcp_local_addr", local_address)?;
    linker.func_wrap_async(NAMESPACE, "tcp_accept", |caller, (id, out, out_peer)| {
        Box::new(tcp_accept(caller, id, out, out_peer))
    })?;
    linker.func_wrap_async(
        NAMESPACE,
        "tcp_connect",
        |caller, (ty, at, port, flow, scope, timeout, out)| {
            Box::new(tcp_connect(caller, (ty, at, port, flow, scope), timeout, out))
        },
    )?;
    let peer_address = TCP_STREAMS.tell_address(Socket::peer_address);
    linker.func_wrap(NAMESPACE, "tcp_peer_addr", peer_address)?;
    linker.func_wrap(NAMESPACE, "drop_tcp_stream", TCP_STREAMS.drop_handle())?;
    linker.func_wrap(NAMESPACE, "clone_tcp_stream", TCP_STREAMS.clone_handle())?;
    Ok(())
}

/// A listening socket, if the caller may have it.
pub(super) fn listen(caller: &mut Caller<'_, Ctx>, address: SocketAddr) -> Result<(Arc<Socket>, Charge), Failure> {
    check(caller.data(), Verb::Bind, None, Some(address))?;
    let charge = charge(caller, cost::TCP_LISTENER)?;
    Ok((tcp::listen(caller.data().kernel().host.reactor(), address)?, charge))
}

fn tcp_bind(
    mut caller: Caller<'_, Ctx>,
    ty: u32,
    at: u32,
    port: u32,
    flow: u32,
    scope: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    let address = read_address(&mut caller, (ty, at, port, flow, scope))?;
    let made = listen(&mut caller, address);
    TCP_LISTENERS.open(&mut caller, made, out)
}

/// Waits for a connection.
pub(super) async fn accept(
    caller: &mut Caller<'_, Ctx>,
    listener: &Arc<Socket>,
) -> wasmtime::Result<Result<Accepted, Failure>> {
    let accepted = next_connection(caller, listener, NO_TIMEOUT, charge).await?;
    Ok(accepted.and_then(|(socket, charge, peer)| {
        // Only a Unix socket has a peer without an address, and this interface has no Unix sockets.
        let peer = peer.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        Ok((socket, charge, peer))
    }))
}

async fn tcp_accept(mut caller: Caller<'_, Ctx>, id: u64, out: u32, out_peer: u32) -> wasmtime::Result<i32> {
    let listener = TCP_LISTENERS.get(&mut caller, id)?;
    let accepted = accept(&mut caller, &listener.socket).await?;
    TCP_STREAMS.open_accepted(&mut caller, accepted, out, out_peer)
}

async fn tcp_connect(
    mut caller: Caller<'_, Ctx>,
    address: RawAddress,
    timeout: u64,
    out: u32,
) -> wasmtime::Result<i32> {
    let address = read_address(&mut caller, address)?;
    let begun = check_connect(&mut caller, address).and_then(|()| {
        let charge = charge(&mut caller, cost::TCP_STREAM)?;
        Ok((tcp::connect(caller.data().kernel().host.reactor(), address)?, charge))
    });
    let made = finish_connect(&mut caller, begun, nanoseconds(timeout)).await?;
    TCP_STREAMS.open(&mut caller, made, out)
}
