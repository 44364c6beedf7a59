//! Names, listening, accepting, connecting.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_sys::codes::{NO_HOST, NO_TIMEOUT, OK, TIMED_OUT};
use wasmtime::{Caller, Linker};

use super::wait::perform;
use super::{Failure, NAMESPACE, address_bytes, answer, check, check_address, find, open, read_address, write_address};
use crate::guest_memory;
use crate::imports::process::check_handle;
use crate::instance::{self, Ctx};
use crate::net::handles::Charge;
use crate::net::readiness::Direction;
use crate::net::resolve::NAME_LEN_MAX;
use crate::net::socket::Socket;
use crate::net::tcp;
use crate::rights::net::Verb;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap_async(NAMESPACE, "resolve", |caller, (host, len, port, timeout)| {
        Box::new(resolve(caller, host, len, port, timeout))
    })?;
    linker.func_wrap(NAMESPACE, "tcp_listen", tcp_listen)?;
    linker.func_wrap_async(NAMESPACE, "tcp_connect", |caller, (address, timeout, out)| {
        Box::new(tcp_connect(caller, address, timeout, out))
    })?;
    linker.func_wrap_async(
        NAMESPACE,
        "tcp_connect_host",
        |caller, (host, len, port, timeout, out)| Box::new(tcp_connect_host(caller, host, len, port, timeout, out)),
    )?;
    linker.func_wrap_async(NAMESPACE, "accept", |caller, (id, key, timeout, peer, out)| {
        Box::new(accept(caller, id, key, timeout, peer, out))
    })?;
    Ok(())
}

/// When a call gives up that does several things one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(timeout_ns: u64) -> Self {
        let due = (timeout_ns != NO_TIMEOUT).then(|| Instant::now().checked_add(Duration::from_nanos(timeout_ns)));
        Self(due.flatten())
    }

    pub(crate) fn left_ns(self) -> u64 {
        let left = self.0.map(|due| due.saturating_duration_since(Instant::now()));
        left.map_or(NO_TIMEOUT, |left| u64::try_from(left.as_nanos()).unwrap_or(NO_TIMEOUT))
    }
}

/// The name of a host and a port, as a guest wrote them.
fn read_host(
    caller: &mut Caller<'_, Ctx>,
    host: u32,
    len: u32,
    port: i32,
) -> wasmtime::Result<Result<(String, u16), Failure>> {
    let bytes = guest_memory::slice(caller, host, len)?.0;
    let name = std::str::from_utf8(bytes).ok().filter(|name| {
        let length = 1..=NAME_LEN_MAX;
        length.contains(&name.len()) && !name.contains('\0')
    });
    Ok(match (name, u16::try_from(port)) {
        (Some(name), Ok(port)) => Ok((name.to_owned(), port)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
    })
}

/// The addresses of a host that the caller may look up. Waits.
pub(crate) async fn look_up(
    caller: &mut Caller<'_, Ctx>,
    name: &str,
    port: u16,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, Failure> {
    let shared = caller.data().shared.clone();
    let lookup = shared.net.resolver.resolve(&shared.io, name, port);
    let found = match deadline.0 {
        None => lookup.await,
        Some(due) => {
            let _io = shared.io.enter();
            let timer = tokio::time::timeout_at(due.into(), lookup);
            drop(_io);
            timer.await.map_err(|_| Failure::Code(TIMED_OUT))?
        }
    };
    match found {
        Ok(addresses) if addresses.is_empty() => Err(Failure::Text(NO_HOST, format!("{name} has no address"))),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(Failure::Text(
            NO_HOST,
            format!("{name} could not be looked up: {error}"),
        )),
    }
}

async fn resolve(
    mut caller: Caller<'_, Ctx>,
    host: u32,
    len: u32,
    port: i32,
    timeout_ns: u64,
) -> wasmtime::Result<i32> {
    let (name, port) = match read_host(&mut caller, host, len, port)? {
        Ok(target) => target,
        Err(failure) => return Ok(failure.code(caller.data_mut())),
    };
    let result = match check(caller.data(), Verb::Resolve, Some(&name), None) {
        Ok(()) => look_up(&mut caller, &name, port, Deadline::after(timeout_ns)).await,
        Err(failure) => Err(failure),
    };
    let result = result.map(|addresses| {
        caller.data_mut().buffer = addresses
            .iter()
            .flat_map(|address| address_bytes(Some(*address)))
            .collect();
        i32::try_from(addresses.len()).expect("the resolver leaves out what is too much")
    });
    Ok(answer(&mut caller, result))
}

fn tcp_listen(mut caller: Caller<'_, Ctx>, address: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let address = read_address(&mut caller, address)?;
    let made = address.and_then(|address| {
        let ctx = caller.data();
        check(ctx, Verb::Bind, None, Some(address))?;
        let charge = Charge::of(ctx.process())?;
        Ok((tcp::listen(&ctx.shared.net.reactor, address)?, charge))
    });
    finish(&mut caller, made, out)
}

/// Gives a new socket to the caller.
pub(super) fn finish(
    caller: &mut Caller<'_, Ctx>,
    made: Result<(Arc<Socket>, Charge), Failure>,
    out: u32,
) -> wasmtime::Result<i32> {
    let opened = match made {
        Ok((socket, charge)) => open(caller, socket, charge, out)?,
        Err(failure) => Err(failure),
    };
    Ok(answer(caller, opened.map(|_| OK)))
}

async fn tcp_connect(mut caller: Caller<'_, Ctx>, address: u32, timeout_ns: u64, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let made = match read_address(&mut caller, address)? {
        Ok(address) => connect(&mut caller, None, address, Deadline::after(timeout_ns)).await?,
        Err(failure) => Err(failure),
    };
    finish(&mut caller, made, out)
}

async fn tcp_connect_host(
    mut caller: Caller<'_, Ctx>,
    host: u32,
    len: u32,
    port: i32,
    timeout_ns: u64,
    out: u32,
) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let made = match read_host(&mut caller, host, len, port)? {
        Ok((name, port)) => connect_host(&mut caller, &name, port, Deadline::after(timeout_ns)).await?,
        Err(failure) => Err(failure),
    };
    finish(&mut caller, made, out)
}

/// Looks a host up once, and connects to the first of its addresses that answers and that the caller may connect to: what
/// is checked is what is used.
pub(crate) async fn connect_host(
    caller: &mut Caller<'_, Ctx>,
    name: &str,
    port: u16,
    deadline: Deadline,
) -> wasmtime::Result<Result<(Arc<Socket>, Charge), Failure>> {
    if let Err(failure) = check(caller.data(), Verb::Resolve, Some(name), None) {
        return Ok(Err(failure));
    }
    let addresses = match look_up(caller, name, port, deadline).await {
        Ok(addresses) => addresses,
        Err(failure) => return Ok(Err(failure)),
    };
    let mut last = Failure::Code(TIMED_OUT);
    for address in addresses {
        match connect(caller, Some(name), address, deadline).await? {
            Ok(made) => return Ok(Ok(made)),
            Err(failure) => last = failure,
        }
        if deadline.left_ns() == 0 {
            break;
        }
    }
    Ok(Err(last))
}

/// Connects to an address, that was looked up by `name`, if the caller may.
async fn connect(
    caller: &mut Caller<'_, Ctx>,
    name: Option<&str>,
    address: SocketAddr,
    deadline: Deadline,
) -> wasmtime::Result<Result<(Arc<Socket>, Charge), Failure>> {
    instance::note_place(&mut *caller);
    let ctx = caller.data();
    let begun = check(ctx, Verb::Connect, name, Some(address)).and_then(|()| {
        let charge = Charge::of(ctx.process())?;
        Ok((tcp::connect(&ctx.shared.net.reactor, address)?, charge))
    });
    let (socket, charge) = match begun {
        Ok(begun) => begun,
        Err(failure) => return Ok(Err(failure)),
    };
    let connected = perform(caller, &socket, Direction::Write, deadline.left_ns(), |_| {
        Ok(socket.try_connected().map_err(Failure::Io))
    });
    Ok(connected.await?.map(|()| (socket.clone(), charge)))
}

async fn accept(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    timeout_ns: u64,
    peer: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    check_address(&mut caller, peer)?;
    check_handle(&mut caller, out)?;
    let listener = match find(caller.data(), id, key) {
        Ok(listener) => listener,
        Err(failure) => return Ok(failure.code(caller.data_mut())),
    };
    let accepted = perform(&mut caller, &listener, Direction::Read, timeout_ns, |caller| {
        let ctx = caller.data();
        // Before: a connection for which there is no room waits on.
        let charge = match Charge::of(ctx.process()) {
            Ok(charge) => charge,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let accepted = listener.try_accept(&ctx.shared.net.reactor);
        Ok(accepted
            .map(|(socket, peer)| (socket, peer, charge))
            .map_err(Failure::Io))
    });
    match accepted.await? {
        Ok((socket, address, charge)) => {
            write_address(&mut caller, peer, address)?;
            finish(&mut caller, Ok((socket, charge)), out)
        }
        Err(failure) => Ok(failure.code(caller.data_mut())),
    }
}
