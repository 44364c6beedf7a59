//! UDP.

use std::io;
use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use lunatic_host::imports::net::call::{Failure, check};
use lunatic_host::imports::net::wait::perform;
use lunatic_host::rights::net::Verb;
use lunatic_host::wasm::Socket;
use lunatic_net::cost;
use lunatic_net::readiness::Direction;
use lunatic_net::udp;
use lunatic_sys::codes::{NO_TIMEOUT, option};
use wasmtime::{Caller, Linker};

use super::{
    NAMESPACE, RawAddress, UDP_SOCKETS, answer_address, charge, check_connect, give_addresses, read_address, refuse,
    streams, transferred,
};
use crate::imports::{failed, failed_with, write_long};
use crate::sockets::Open;

/// The code for a failure to get the peer of a socket, other than that there is no peer.
const OTHER_ERROR: i32 = 2;
/// More than the length of any datagram.
const DATAGRAM_MAX: usize = 64 << 10;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap(NAMESPACE, "udp_bind", udp_bind)?;
    linker.func_wrap(NAMESPACE, "drop_udp_socket", UDP_SOCKETS.drop_handle())?;
    linker.func_wrap(NAMESPACE, "clone_udp_socket", UDP_SOCKETS.clone_handle())?;
    let local_address = UDP_SOCKETS.tell_address(Socket::local_address);
    linker.func_wrap(NAMESPACE, "udp_local_addr", local_address)?;
    linker.func_wrap(NAMESPACE, "udp_peer_addr", udp_peer_addr)?;
    linker.func_wrap(NAMESPACE, "udp_connect", udp_connect)?;
    linker.func_wrap_async(NAMESPACE, "udp_send", |caller, (id, from, len, out)| {
        Box::new(udp_send(caller, id, from, len, out))
    })?;
    linker.func_wrap_async(
        NAMESPACE,
        "udp_send_to",
        |caller, (id, from, len, ty, at, port, flow, scope, out)| {
            Box::new(udp_send_to(caller, id, from, len, (ty, at, port, flow, scope), out))
        },
    )?;
    linker.func_wrap_async(NAMESPACE, "udp_receive", |caller, (id, to, len, out)| {
        Box::new(udp_receive(caller, id, to, len, out))
    })?;
    linker.func_wrap_async(
        NAMESPACE,
        "udp_receive_from",
        |caller, (id, to, len, out, out_sender)| Box::new(udp_receive_from(caller, id, to, len, out, out_sender)),
    )?;
    for (get, set, name) in [
        (
            "get_udp_socket_broadcast",
            "set_udp_socket_broadcast",
            option::BROADCAST,
        ),
        ("get_udp_socket_ttl", "set_udp_socket_ttl", option::TTL),
    ] {
        linker.func_wrap(NAMESPACE, get, move |mut caller: Caller<'_, Ctx>, id: u64| {
            let value = UDP_SOCKETS.get(&mut caller, id)?.socket.option(name)?;
            wasmtime::Result::Ok(i32::try_from(value)?)
        })?;
        linker.func_wrap(
            NAMESPACE,
            set,
            move |mut caller: Caller<'_, Ctx>, id: u64, value: u32| {
                UDP_SOCKETS
                    .get(&mut caller, id)?
                    .socket
                    .set_option(name, value.into())?;
                wasmtime::Result::Ok(())
            },
        )?;
    }
    Ok(())
}

fn udp_bind(
    mut caller: Caller<'_, Ctx>,
    ty: u32,
    at: u32,
    port: u32,
    flow: u32,
    scope: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    let address = read_address(&mut caller, (ty, at, port, flow, scope))?;
    let made = check(caller.data(), Verb::Bind, None, Some(address)).and_then(|()| {
        let charge = charge(&mut caller, cost::UDP)?;
        Ok((udp::bind(caller.data().kernel().host.reactor(), address)?, charge))
    });
    UDP_SOCKETS.open(&mut caller, made, out)
}

fn udp_peer_addr(mut caller: Caller<'_, Ctx>, id: u64, out: u32) -> wasmtime::Result<i32> {
    let address = UDP_SOCKETS.get(&mut caller, id)?.socket.peer_address();
    match address {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => failed_with(&mut caller, out, OTHER_ERROR, error),
        address => answer_address(&mut caller, address, out),
    }
}

/// Ignores the timeout, as there is nothing to wait for.
#[expect(clippy::too_many_arguments, reason = "the guest passes them so")]
fn udp_connect(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    ty: u32,
    at: u32,
    port: u32,
    flow: u32,
    scope: u32,
    _timeout: u64,
    out: u32,
) -> wasmtime::Result<i32> {
    let open = UDP_SOCKETS.get(&mut caller, id)?;
    let address = read_address(&mut caller, (ty, at, port, flow, scope))?;
    let connected = check_connect(&mut caller, address);
    match connected.and_then(|()| Ok(open.socket.udp_connect(address)?)) {
        Ok(()) => {
            write_long(&mut caller, out, 0)?;
            Ok(0)
        }
        Err(failure) => refuse(&mut caller, failure, out),
    }
}

/// Sends a range of the guest's memory by `attempt`, as soon as there is room.
async fn send(
    caller: &mut Caller<'_, Ctx>,
    open: &Arc<Open>,
    (from, len): (u32, u32),
    attempt: impl Fn(&Socket, &[u8]) -> io::Result<usize>,
) -> wasmtime::Result<Result<usize, Failure>> {
    guest_memory::slice(caller, from, len)?;
    let socket = &open.socket;
    perform(caller, socket, Direction::Write, NO_TIMEOUT, |caller| {
        let bytes = guest_memory::slice(caller, from, len)?.0;
        // The system refuses anything longer than a datagram.
        let bytes = &bytes[..bytes.len().min(DATAGRAM_MAX)];
        Ok(attempt(socket, bytes).map_err(Failure::Io))
    })
    .await
}

async fn udp_send(mut caller: Caller<'_, Ctx>, id: u64, from: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    let open = UDP_SOCKETS.get(&mut caller, id)?;
    let sent = send(&mut caller, &open, (from, len), Socket::try_write).await?;
    transferred(&mut caller, sent, out)
}

async fn udp_send_to(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    from: u32,
    len: u32,
    address: RawAddress,
    out: u32,
) -> wasmtime::Result<i32> {
    let open = UDP_SOCKETS.get(&mut caller, id)?;
    let address = read_address(&mut caller, address)?;
    let sent = match check_connect(&mut caller, address) {
        Ok(()) => {
            send(&mut caller, &open, (from, len), |socket, bytes| {
                socket.try_send_to(bytes, address)
            })
            .await?
        }
        Err(failure) => Err(failure),
    };
    transferred(&mut caller, sent, out)
}

async fn udp_receive(mut caller: Caller<'_, Ctx>, id: u64, to: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    let open = UDP_SOCKETS.get(&mut caller, id)?;
    let received = streams::receive(&mut caller, &open, NO_TIMEOUT, (to, len), Socket::try_read).await?;
    transferred(&mut caller, received, out)
}

async fn udp_receive_from(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    to: u32,
    len: u32,
    out: u32,
    out_sender: u32,
) -> wasmtime::Result<i32> {
    let open = UDP_SOCKETS.get(&mut caller, id)?;
    guest_memory::slice(&mut caller, to, len)?;
    let socket = &open.socket;
    let received = perform(&mut caller, socket, Direction::Read, NO_TIMEOUT, |caller| {
        let bytes = guest_memory::slice(caller, to, len)?.0;
        Ok(socket.try_receive_from(bytes, false).map_err(Failure::Io))
    });
    match received.await? {
        Ok((len, sender)) => {
            write_long(&mut caller, out, len as u64)?;
            give_addresses(&mut caller, [sender], out_sender)?;
            Ok(0)
        }
        Err(failure) => {
            let text = super::why(failure);
            failed(&mut caller, out, text)
        }
    }
}
