//! Reading, writing, and closing streams.

use std::io;
use std::net::Shutdown;

use lunatic_net::handles::Charge;
use lunatic_net::readiness::Direction;
use lunatic_net::socket::would_block;
use lunatic_sys::codes::{FULL, INVALID, OK};
use wasmtime::{Caller, Linker};

use super::call::{Failure, NAMESPACE, answer, find};
use super::wait::perform;
use crate::guest_memory;
use crate::imports::handle::check_handle;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::wasm::Socket;

/// No call reads or writes more, so that none occupies a worker for long, and every length fits in a result.
const PART_MAX: usize = 1 << 20;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.timed_async(NAMESPACE, "read", |caller, (id, key, to, len)| {
        Box::new(receive(caller, id, key, to, len, Socket::try_read))
    })?;
    linker.timed_async(NAMESPACE, "peek", |caller, (id, key, to, len)| {
        Box::new(receive(caller, id, key, to, len, Socket::try_peek))
    })?;
    linker.timed(NAMESPACE, "try_write", try_write)?;
    linker.timed_async(NAMESPACE, "write", |caller, (id, key, from, len)| {
        Box::new(write(caller, id, key, from, len))
    })?;
    linker.timed(NAMESPACE, "shutdown", shutdown)?;
    linker.timed(NAMESPACE, "close", close)?;
    linker.timed(NAMESPACE, "clone", clone)?;
    Ok(())
}

/// The part of a guest's range that one call handles.
pub(super) fn part(bytes: &mut [u8]) -> &mut [u8] {
    let len = bytes.len().min(PART_MAX);
    &mut bytes[..len]
}

pub(super) fn len(len: usize) -> i32 {
    i32::try_from(len).expect("a part is short")
}

async fn receive(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    to: u32,
    to_len: u32,
    attempt: fn(&Socket, &mut [u8]) -> io::Result<usize>,
) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, to, to_len)?;
    let socket = match find(caller.data(), id, key) {
        Ok(socket) => socket,
        Err(failure) => return Ok(failure.code(caller.data_mut())),
    };
    let timeout = socket.timeout_ns(Direction::Read);
    let received = perform(&mut caller, &socket, Direction::Read, timeout, |caller| {
        let bytes = guest_memory::slice(caller, to, to_len)?.0;
        Ok(attempt(&socket, part(bytes)).map_err(Failure::Io))
    });
    let received = received.await?.map(len);
    Ok(answer(&mut caller, received))
}

fn try_write(mut caller: Caller<'_, Ctx>, id: u64, key: u64, from: u32, from_len: u32) -> wasmtime::Result<i32> {
    let (bytes, ctx) = guest_memory::slice(&mut caller, from, from_len)?;
    let socket = match find(ctx, id, key) {
        Ok(socket) => socket,
        Err(failure) => return Ok(failure.code(ctx)),
    };
    let written = socket.try_write(part(bytes));
    if would_block(&written) {
        return Ok(FULL);
    }
    if let Some(next) = socket.readiness(Direction::Write).next() {
        ctx.kernel.wake(&next);
    }
    Ok(match written {
        Ok(written) => len(written),
        Err(error) => Failure::Io(error).code(ctx),
    })
}

async fn write(mut caller: Caller<'_, Ctx>, id: u64, key: u64, from: u32, from_len: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, from, from_len)?;
    let socket = match find(caller.data(), id, key) {
        Ok(socket) => socket,
        Err(failure) => return Ok(failure.code(caller.data_mut())),
    };
    let timeout = socket.timeout_ns(Direction::Write);
    let written = perform(&mut caller, &socket, Direction::Write, timeout, |caller| {
        let bytes = guest_memory::slice(caller, from, from_len)?.0;
        Ok(socket.try_write(part(bytes)).map_err(Failure::Io))
    });
    let written = match written.await? {
        // What was accepted is being sent, and must not be written again.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
            socket.give_up_write().ok_or(Failure::Io(error))
        }
        written => written,
    };
    let written = written.map(len);
    Ok(answer(&mut caller, written))
}

fn shutdown(mut caller: Caller<'_, Ctx>, id: u64, key: u64, how: i32) -> i32 {
    let result = find(caller.data(), id, key).and_then(|socket| {
        let how = match how {
            0 => Shutdown::Read,
            1 => Shutdown::Write,
            2 => Shutdown::Both,
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
        };
        socket.shutdown(how)?;
        Ok(OK)
    });
    answer(&mut caller, result)
}

fn close(mut caller: Caller<'_, Ctx>, id: u64, key: u64) -> i32 {
    let ctx = caller.data();
    if ctx.on_trial {
        // What would be dropped there may still belong to the other instance.
        return OK;
    }
    let handles = &ctx.kernel.host.net.handles;
    let result = match handles.keys.check(id, key) {
        Some(id) => handles
            .close(ctx.kernel.worker(), ctx.process(), id)
            .map(|()| OK)
            .map_err(Failure::from),
        None => Err(Failure::Code(INVALID)),
    };
    answer(&mut caller, result)
}

fn clone(mut caller: Caller<'_, Ctx>, id: u64, key: u64, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let made = find(caller.data(), id, key).and_then(|socket| {
        if !socket.can_be_cloned() {
            return Err(io::Error::from(io::ErrorKind::Unsupported).into());
        }
        let charge = Charge::of(caller.data().process(), socket.cost())?;
        Ok((socket, charge))
    });
    super::connect::finish(&mut caller, made, out)
}
