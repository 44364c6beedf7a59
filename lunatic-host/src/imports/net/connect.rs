//! Look-ups of names, listening, accepting, connecting.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_net::cost;
use lunatic_net::handles::Charge;
use lunatic_net::readiness::Direction;
use lunatic_net::resolve::NAME_LEN_MAX;
use lunatic_net::tcp;
use lunatic_sys::codes::{NO_HOST, NO_TIMEOUT, OK, TIMED_OUT};
use wasmtime::{Caller, Linker};

use super::call::{
    Failure, NAMESPACE, address_bytes, answer, check, check_address, find, open, read_address, write_address,
};
use super::wait::perform;
use crate::guest_memory;
use crate::imports::handle::check_handle;
use crate::imports::timed::Timed as _;
use crate::instance::{self, Ctx};
use crate::rights::net::Verb;
use crate::wasm::{Kernel, Socket};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.timed_async(NAMESPACE, "resolve", |caller, (host, len, port, timeout)| {
        Box::new(resolve(caller, host, len, port, timeout))
    })?;
    linker.timed(NAMESPACE, "tcp_listen", tcp_listen)?;
    linker.timed_async(NAMESPACE, "tcp_connect", |caller, (address, timeout, out)| {
        Box::new(tcp_connect(caller, address, timeout, out))
    })?;
    linker.timed_async(
        NAMESPACE,
        "tcp_connect_host",
        |caller, (host, len, port, timeout, out)| Box::new(tcp_connect_host(caller, host, len, port, timeout, out)),
    )?;
    linker.timed_async(NAMESPACE, "accept", |caller, (id, key, timeout, peer, out)| {
        Box::new(accept(caller, id, key, timeout, peer, out))
    })?;
    Ok(())
}

/// The deadline of a call that consists of several steps.
#[derive(Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    pub fn after(kernel: &Kernel, timeout_ns: u64) -> Self {
        // A time too far away to be represented is as good as none.
        let due = (timeout_ns != NO_TIMEOUT).then(|| kernel.now().checked_add(Duration::from_nanos(timeout_ns)));
        Self(due.flatten())
    }

    pub fn left_ns(self, kernel: &Kernel) -> u64 {
        let left = self.0.map(|due| due.saturating_duration_since(kernel.now()));
        left.map_or(NO_TIMEOUT, |left| u64::try_from(left.as_nanos()).unwrap_or(NO_TIMEOUT))
    }
}

/// Reads the host name and the port that a guest wrote.
fn read_host(
    caller: &mut Caller<'_, Ctx>,
    host: u32,
    len: u32,
    port: i32,
) -> wasmtime::Result<Result<(String, u16), Failure>> {
    let bytes = &*guest_memory::slice(caller, host, len)?.0;
    // The length first: the name may be as long as the memory.
    let has_length = (1..=NAME_LEN_MAX).contains(&bytes.len());
    let name = has_length.then(|| std::str::from_utf8(bytes).ok()).flatten();
    let name = name.filter(|name| !name.contains('\0'));
    Ok(match (name, u16::try_from(port)) {
        (Some(name), Ok(port)) => Ok((name.to_owned(), port)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
    })
}

/// The addresses of a host that the caller may look up. Waits for them.
pub async fn look_up(
    caller: &mut Caller<'_, Ctx>,
    name: &str,
    port: u16,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, Failure> {
    let kernel = caller.data().kernel.clone();
    let group = caller.data().process().local.rights.group.clone();
    let lookup = kernel.host.net.resolver.resolve(&kernel.host.io, &group, name, port);
    let found = match deadline.left_ns(&kernel) {
        NO_TIMEOUT => lookup.await,
        left_ns => {
            // A timer of tokio belongs to the runtime in which it is made, not to the one in which it is awaited.
            let io = kernel.host.io.enter();
            let timer = tokio::time::timeout(Duration::from_nanos(left_ns), lookup);
            drop(io);
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
        Ok(()) => {
            let deadline = Deadline::after(&caller.data().kernel, timeout_ns);
            look_up(&mut caller, &name, port, deadline).await
        }
        Err(failure) => Err(failure),
    };
    let result = result.map(|addresses| {
        let bytes = addresses.iter().flat_map(|address| address_bytes(Some(*address)));
        caller.data_mut().set_buffer(bytes.collect::<Vec<u8>>());
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
        let charge = Charge::of(ctx.process(), cost::TCP_LISTENER)?;
        Ok((tcp::listen(&ctx.kernel.host.net.reactor, address)?, charge))
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
        Ok(address) => connect(&mut caller, None, address, timeout_ns).await?,
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
        Ok((name, port)) => {
            let deadline = Deadline::after(&caller.data().kernel, timeout_ns);
            connect_host(&mut caller, &name, port, deadline).await?
        }
        Err(failure) => Err(failure),
    };
    finish(&mut caller, made, out)
}

/// Looks a host up once, and connects to the first of its addresses that answers and that the caller may connect to:
/// the address that is checked is the one that is used.
pub async fn connect_host(
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
        let left_ns = deadline.left_ns(&caller.data().kernel);
        match connect(caller, Some(name), address, left_ns).await? {
            Ok(made) => return Ok(Ok(made)),
            Err(failure) => last = failure,
        }
        if deadline.left_ns(&caller.data().kernel) == 0 {
            break;
        }
    }
    Ok(Err(last))
}

/// Connects to an address, which was looked up as `name`, if the caller may.
async fn connect(
    caller: &mut Caller<'_, Ctx>,
    name: Option<&str>,
    address: SocketAddr,
    timeout_ns: u64,
) -> wasmtime::Result<Result<(Arc<Socket>, Charge), Failure>> {
    instance::note_place(&mut *caller);
    let ctx = caller.data();
    let begun = check(ctx, Verb::Connect, name, Some(address)).and_then(|()| {
        let charge = Charge::of(ctx.process(), cost::TCP_STREAM)?;
        Ok((tcp::connect(&ctx.kernel.host.net.reactor, address)?, charge))
    });
    finish_connect(caller, begun, timeout_ns).await
}

/// Waits until a connection is established.
pub async fn finish_connect(
    caller: &mut Caller<'_, Ctx>,
    begun: Result<(Arc<Socket>, Charge), Failure>,
    timeout_ns: u64,
) -> wasmtime::Result<Result<(Arc<Socket>, Charge), Failure>> {
    let (socket, charge) = match begun {
        Ok(begun) => begun,
        Err(failure) => return Ok(Err(failure)),
    };
    let connected = perform(caller, &socket, Direction::Write, timeout_ns, |_| {
        Ok(socket.try_connected().map_err(Failure::Io))
    });
    Ok(connected.await?.map(|()| (socket.clone(), charge)))
}

/// An accepted connection, and its peer's address if known.
pub type Accepted = (Arc<Socket>, Charge, Option<SocketAddr>);

/// Waits for the next connection of a listener. It is charged before it is accepted: a connection for which there is no
/// room stays in the listener's queue.
pub async fn next_connection(
    caller: &mut Caller<'_, Ctx>,
    listener: &Arc<Socket>,
    timeout_ns: u64,
    charge: fn(&mut Caller<'_, Ctx>, usize) -> Result<Charge, Failure>,
) -> wasmtime::Result<Result<Accepted, Failure>> {
    perform(caller, listener, Direction::Read, timeout_ns, |caller| {
        let charge = match charge(caller, listener.accepted_cost()) {
            Ok(charge) => charge,
            Err(failure) => return Ok(Err(failure)),
        };
        let accepted = listener.try_accept(&caller.data().kernel.host.net.reactor);
        Ok(accepted
            .map(|(socket, peer)| (socket, charge, peer))
            .map_err(Failure::Io))
    })
    .await
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
    let charge = |caller: &mut Caller<'_, Ctx>, bytes| Ok(Charge::of(caller.data().process(), bytes)?);
    match next_connection(&mut caller, &listener, timeout_ns, charge).await? {
        Ok((socket, charge, address)) => {
            write_address(&mut caller, peer, address)?;
            finish(&mut caller, Ok((socket, charge)), out)
        }
        Err(failure) => Ok(failure.code(caller.data_mut())),
    }
}
