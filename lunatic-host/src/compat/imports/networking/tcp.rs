//! TCP: listening, accepting, connecting.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::{Caller, Linker};

use super::{
    NAMESPACE, RawAddress, TCP_LISTENERS, TCP_STREAMS, add_addresses, answer_address, charge, check_connect,
    read_address, refuse,
};
use crate::compat::imports::{nanoseconds, write_long};
use crate::compat::sockets::Open;
use crate::imports::net::wait::perform;
use crate::imports::net::{Failure, check};
use crate::instance::Ctx;
use crate::net::handles::Charge;
use crate::net::readiness::Direction;
use crate::net::socket::Socket;
use crate::net::tcp;
use crate::rights::net::Verb;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap(NAMESPACE, "tcp_bind", tcp_bind)?;
    linker.func_wrap(NAMESPACE, "drop_tcp_listener", TCP_LISTENERS.drop_handle())?;
    linker.func_wrap(
        NAMESPACE,
        "tcp_local_addr",
        |mut caller: Caller<'_, Ctx>, id: u64, out: u32| {
            let address = TCP_LISTENERS.get(&mut caller, id)?.socket.local_address();
            answer_address(&mut caller, address, out)
        },
    )?;
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
    linker.func_wrap(
        NAMESPACE,
        "tcp_peer_addr",
        |mut caller: Caller<'_, Ctx>, id: u64, out: u32| {
            let address = TCP_STREAMS.get(&mut caller, id)?.socket.peer_address();
            answer_address(&mut caller, address, out)
        },
    )?;
    linker.func_wrap(NAMESPACE, "drop_tcp_stream", TCP_STREAMS.drop_handle())?;
    linker.func_wrap(NAMESPACE, "clone_tcp_stream", TCP_STREAMS.clone_handle())?;
    Ok(())
}

/// A socket that listens, if the caller may have it.
pub(super) fn listen(caller: &mut Caller<'_, Ctx>, address: SocketAddr) -> Result<(Arc<Socket>, Charge), Failure> {
    check(caller.data(), Verb::Bind, None, Some(address))?;
    let charge = charge(caller)?;
    Ok((tcp::listen(&caller.data().shared.net.reactor, address)?, charge))
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
    listener: &Arc<Open>,
) -> wasmtime::Result<Result<(Arc<Socket>, Charge, SocketAddr), Failure>> {
    let socket = &listener.socket;
    perform(
        caller,
        socket,
        Direction::Read,
        lunatic_sys::codes::NO_TIMEOUT,
        |caller| {
            // Before: a connection for which there is no room waits on.
            let charge = match charge(caller) {
                Ok(charge) => charge,
                Err(failure) => return Ok(Err(failure)),
            };
            let accepted = socket.try_accept(&caller.data().shared.net.reactor);
            Ok(accepted.map_err(Failure::Io).and_then(|(socket, peer)| {
                let peer = peer.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::Unsupported))?;
                Ok((socket, charge, peer))
            }))
        },
    )
    .await
}

/// The status of an accept that failed: there is no peer.
pub(super) fn not_accepted(
    caller: &mut Caller<'_, Ctx>,
    failure: Failure,
    out: u32,
    out_peer: u32,
) -> wasmtime::Result<i32> {
    let code = refuse(caller, failure, out)?;
    write_long(caller, out_peer, 0)?;
    Ok(code)
}

async fn tcp_accept(mut caller: Caller<'_, Ctx>, id: u64, out: u32, out_peer: u32) -> wasmtime::Result<i32> {
    let listener = TCP_LISTENERS.get(&mut caller, id)?;
    match accept(&mut caller, &listener).await? {
        Ok((socket, charge, peer)) => {
            let code = TCP_STREAMS.open(&mut caller, Ok((socket, charge)), out)?;
            let peer = add_addresses(&mut caller, [peer])?;
            write_long(&mut caller, out_peer, peer)?;
            Ok(code)
        }
        Err(failure) => not_accepted(&mut caller, failure, out, out_peer),
    }
}

async fn tcp_connect(
    mut caller: Caller<'_, Ctx>,
    address: RawAddress,
    timeout: u64,
    out: u32,
) -> wasmtime::Result<i32> {
    let address = read_address(&mut caller, address)?;
    let begun = check_connect(&mut caller, address).and_then(|()| {
        let charge = charge(&mut caller)?;
        Ok((tcp::connect(&caller.data().shared.net.reactor, address)?, charge))
    });
    let made = match begun {
        Ok((socket, charge)) => {
            let connected = perform(&mut caller, &socket, Direction::Write, nanoseconds(timeout), |_| {
                Ok(socket.try_connected().map_err(Failure::Io))
            });
            connected.await?.map(|()| (socket.clone(), charge))
        }
        Err(failure) => Err(failure),
    };
    TCP_STREAMS.open(&mut caller, made, out)
}
