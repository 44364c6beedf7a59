//! Reading and writing streams of TCP and TLS.

use std::io;
use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use lunatic_host::imports::net::call::Failure;
use lunatic_host::imports::net::wait::perform;
use lunatic_host::imports::wait::wait;
use lunatic_host::wasm::Socket;
use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::wait::sleep;
use lunatic_net::readiness::Direction;
use wasmtime::{Caller, Linker};

use super::{NAMESPACE, TCP_STREAMS, TLS_STREAMS, Table, transferred};
use crate::imports::{longs, nanoseconds, write_long};
use crate::sockets::Open;

/// How many bytes a call moves at most, so that none blocks a worker for long.
const PART_MAX: usize = 1 << 20;
/// How many bytes of several ranges are sent in one call.
const GATHERED_MAX: usize = 64 << 10;
/// How many ranges are written in one call; the rest is ignored.
const RANGES_MAX: u32 = 1024;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    for (table, read, write, flush) in [
        (TCP_STREAMS, "tcp_read", "tcp_write_vectored", "tcp_flush"),
        (TLS_STREAMS, "tls_read", "tls_write_vectored", "tls_flush"),
    ] {
        linker.func_wrap_async(NAMESPACE, read, move |caller, (id, to, len, out)| {
            Box::new(read_stream(caller, table, id, to, len, out))
        })?;
        linker.func_wrap_async(NAMESPACE, write, move |caller, (id, ranges, count, out)| {
            Box::new(write_vectored(caller, table, id, ranges, count, out))
        })?;
        // A flush does nothing: written bytes have already gone to the system.
        linker.func_wrap(
            NAMESPACE,
            flush,
            move |mut caller: Caller<'_, Ctx>, id: u64, out: u32| {
                table.get(&mut caller, id)?;
                write_long(&mut caller, out, 0)?;
                wasmtime::Result::Ok(0)
            },
        )?;
    }
    linker.func_wrap_async(NAMESPACE, "tcp_peek", |caller, (id, to, len, out)| {
        Box::new(peek(caller, id, to, len, out))
    })?;
    for (table, direction, get, set) in [
        (TCP_STREAMS, Direction::Read, "get_read_timeout", "set_read_timeout"),
        (TCP_STREAMS, Direction::Write, "get_write_timeout", "set_write_timeout"),
        (
            TLS_STREAMS,
            Direction::Read,
            "get_tls_read_timeout",
            "set_tls_read_timeout",
        ),
        (
            TLS_STREAMS,
            Direction::Write,
            "get_tls_write_timeout",
            "set_tls_write_timeout",
        ),
    ] {
        linker.func_wrap(NAMESPACE, get, move |mut caller: Caller<'_, Ctx>, id: u64| {
            let ns = table.get(&mut caller, id)?.socket.timeout_ns(direction);
            wasmtime::Result::Ok(if ns == lunatic_sys::codes::NO_TIMEOUT {
                ns
            } else {
                ns / 1_000_000
            })
        })?;
        linker.func_wrap(NAMESPACE, set, move |mut caller: Caller<'_, Ctx>, id: u64, ms: u64| {
            table
                .get(&mut caller, id)?
                .socket
                .set_timeout_ns(direction, nanoseconds(ms));
            wasmtime::Result::Ok(())
        })?;
    }
    linker.func_wrap(NAMESPACE, "get_peek_timeout", |mut caller: Caller<'_, Ctx>, id: u64| {
        wasmtime::Result::Ok(TCP_STREAMS.get(&mut caller, id)?.peek_ms())
    })?;
    linker.func_wrap(
        NAMESPACE,
        "set_peek_timeout",
        |mut caller: Caller<'_, Ctx>, id: u64, ms: u64| {
            TCP_STREAMS.get(&mut caller, id)?.set_peek_ms(ms);
            wasmtime::Result::Ok(())
        },
    )?;
    Ok(())
}

fn part(bytes: &mut [u8]) -> &mut [u8] {
    let len = bytes.len().min(PART_MAX);
    &mut bytes[..len]
}

/// Receives into a range of the guest's memory by `attempt`, as soon as there is something.
pub(super) async fn receive(
    caller: &mut Caller<'_, Ctx>,
    open: &Arc<Open>,
    timeout_ns: u64,
    (to, len): (u32, u32),
    attempt: fn(&Socket, &mut [u8]) -> io::Result<usize>,
) -> wasmtime::Result<Result<usize, Failure>> {
    guest_memory::slice(caller, to, len)?;
    let socket = &open.socket;
    perform(caller, socket, Direction::Read, timeout_ns, |caller| {
        let bytes = guest_memory::slice(caller, to, len)?.0;
        Ok(attempt(socket, part(bytes)).map_err(Failure::Io))
    })
    .await
}

async fn read_stream(
    mut caller: Caller<'_, Ctx>,
    table: Table,
    id: u64,
    to: u32,
    len: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    let open = table.get(&mut caller, id)?;
    let timeout = open.socket.timeout_ns(Direction::Read);
    let received = receive(&mut caller, &open, timeout, (to, len), Socket::try_read).await?;
    transferred(&mut caller, received, out)
}

async fn peek(mut caller: Caller<'_, Ctx>, id: u64, to: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    let open = TCP_STREAMS.get(&mut caller, id)?;
    let timeout = nanoseconds(open.peek_ms());
    let received = receive(&mut caller, &open, timeout, (to, len), Socket::try_peek).await?;
    transferred(&mut caller, received, out)
}

/// The bytes of several ranges, as many as are sent in one call. All ranges must be in the memory.
fn gather(caller: &mut Caller<'_, Ctx>, ranges: &[u64]) -> wasmtime::Result<Vec<u8>> {
    let (memory, _) = guest_memory::all(caller)?;
    let mut gathered = Vec::new();
    for range in ranges {
        let (at, len) = (*range as u32, (*range >> 32) as u32);
        let bytes = guest_memory::part(memory, at, len)?;
        // Ranges for which there is no room are still checked.
        let room = GATHERED_MAX - gathered.len();
        gathered.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok(gathered)
}

async fn write_vectored(
    mut caller: Caller<'_, Ctx>,
    table: Table,
    id: u64,
    ranges: u32,
    count: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    let open = table.get(&mut caller, id)?;
    guest_memory::slice(&mut caller, ranges, count.saturating_mul(8))?;
    let ranges = longs(&mut caller, ranges, count.min(RANGES_MAX), RANGES_MAX)?;
    let bytes = gather(&mut caller, &ranges)?;
    let written = write(&mut caller, &open, &bytes).await?;
    transferred(&mut caller, written, out)
}

/// Writes as much as there is room for, as soon as there is any.
async fn write(
    caller: &mut Caller<'_, Ctx>,
    open: &Arc<Open>,
    bytes: &[u8],
) -> wasmtime::Result<Result<usize, Failure>> {
    let _writing = loop {
        match open.begin_write() {
            Some(writing) => break writing,
            // Another process with a clone of the socket is writing, which is very rare.
            None => sleep(&wait(caller, WaitFor::Sleep, Id::NONE, 1_000_000)).await,
        }
    };
    let timeout = open.socket.timeout_ns(Direction::Write);
    let written = perform(caller, &open.socket, Direction::Write, timeout, |_| {
        Ok(open.socket.try_write(bytes).map_err(Failure::Io))
    });
    Ok(match written.await? {
        // Accepted bytes are on their way, and must not be written again.
        Err(failure) if super::is_timeout(&failure) => open.socket.give_up_write().ok_or(failure),
        written => written,
    })
}
