//! UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use lunatic_net::cost;
use lunatic_net::handles::Charge;
use lunatic_net::readiness::Direction;
use lunatic_net::udp;
use lunatic_sys::codes::OK;
use wasmtime::{Caller, Linker};

use super::call::{Failure, NAMESPACE, answer, check, check_address, find, read_address, write_address};
use super::stream::{len, part};
use super::wait::perform;
use crate::guest_memory;
use crate::imports::handle::check_handle;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::rights::net::Verb;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.timed(NAMESPACE, "udp_bind", udp_bind)?;
    linker.timed(NAMESPACE, "udp_connect", udp_connect)?;
    linker.timed_async(NAMESPACE, "send_to", |caller, (id, key, address, from, len)| {
        Box::new(send_to(caller, id, key, address, from, len))
    })?;
    linker.timed_async(
        NAMESPACE,
        "receive_from",
        |caller, (id, key, to, len, peek, address)| Box::new(receive_from(caller, id, key, to, len, peek, address)),
    )?;
    linker.timed(NAMESPACE, "multicast", multicast)?;
    Ok(())
}

fn udp_bind(mut caller: Caller<'_, Ctx>, address: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let address = read_address(&mut caller, address)?;
    let made = address.and_then(|address| {
        let ctx = caller.data();
        check(ctx, Verb::Bind, None, Some(address))?;
        let charge = Charge::of(ctx.process(), cost::UDP)?;
        Ok((udp::bind(&ctx.kernel.host.net.reactor, address)?, charge))
    });
    super::connect::finish(&mut caller, made, out)
}

fn udp_connect(mut caller: Caller<'_, Ctx>, id: u64, key: u64, address: u32) -> wasmtime::Result<i32> {
    let address = read_address(&mut caller, address)?;
    let connected = find(caller.data(), id, key).and_then(|socket| {
        let address = address?;
        check(caller.data(), Verb::Connect, None, Some(address))?;
        Ok(socket.udp_connect(address)?)
    });
    Ok(answer(&mut caller, connected.map(|()| OK)))
}

async fn send_to(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    address: u32,
    from: u32,
    from_len: u32,
) -> wasmtime::Result<i32> {
    let address = read_address(&mut caller, address)?;
    guest_memory::slice(&mut caller, from, from_len)?;
    let ready = find(caller.data(), id, key).and_then(|socket| {
        let address = address?;
        check(caller.data(), Verb::Connect, None, Some(address))?;
        Ok((socket, address))
    });
    let (socket, address) = match ready {
        Ok(ready) => ready,
        Err(failure) => return Ok(failure.code(caller.data_mut())),
    };
    let timeout = socket.timeout_ns(Direction::Write);
    let sent = perform(&mut caller, &socket, Direction::Write, timeout, |caller| {
        let bytes = guest_memory::slice(caller, from, from_len)?.0;
        Ok(socket.try_send_to(part(bytes), address).map_err(Failure::Io))
    });
    let sent = sent.await?.map(len);
    Ok(answer(&mut caller, sent))
}

async fn receive_from(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    to: u32,
    to_len: u32,
    peek: i32,
    address: u32,
) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, to, to_len)?;
    check_address(&mut caller, address)?;
    let socket = match find(caller.data(), id, key) {
        Ok(socket) => socket,
        Err(failure) => return Ok(failure.code(caller.data_mut())),
    };
    let timeout = socket.timeout_ns(Direction::Read);
    let received = perform(&mut caller, &socket, Direction::Read, timeout, |caller| {
        let bytes = guest_memory::slice(caller, to, to_len)?.0;
        Ok(socket.try_receive_from(part(bytes), peek != 0).map_err(Failure::Io))
    });
    let received = received.await?;
    if let Ok((_, from)) = received {
        write_address(&mut caller, address, Some(from))?;
    }
    Ok(answer(&mut caller, received.map(|(length, _)| len(length))))
}

/// Joins or leaves a multicast group. Datagrams from any sender arrive then, so this requires the right to receive at
/// the group's address.
fn multicast(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    group: u32,
    interface: u32,
    join: i32,
) -> wasmtime::Result<i32> {
    let group = read_address(&mut caller, group)?;
    let interface = read_address(&mut caller, interface)?;
    let done = find(caller.data(), id, key).and_then(|socket| {
        let (group, interface) = (group?, interface?);
        check(caller.data(), Verb::Bind, None, Some(group))?;
        let (v4, v6) = match interface {
            std::net::SocketAddr::V4(v4) => (*v4.ip(), 0),
            std::net::SocketAddr::V6(v6) => (Ipv4Addr::UNSPECIFIED, v6.scope_id()),
        };
        let group: IpAddr = group.ip();
        if !group.is_multicast() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        Ok(socket.multicast(group, v4, v6, join != 0)?)
    });
    Ok(answer(&mut caller, done.map(|()| OK)))
}
