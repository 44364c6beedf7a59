//! `lunatic::message`: the one message that a process writes or reads, and how it is sent and received.

use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use lunatic_host::imports::wait::{show, wait};
use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::wait::poll_until;
use wasmtime::{Caller, Linker};

use super::networking::{TCP_STREAMS, TLS_STREAMS, Table, UDP_SOCKETS};
use super::{fault, keep, longs, nanoseconds, state};
use crate::TIMED_OUT;
use crate::environment::{NODE, neighbour};
use crate::links::{letters, send_letter};
use crate::message::{Letter, Message, Resource};
use crate::sockets::Open;

/// How many tags one receive may wait for: each sender compares its own with them.
const TAGS_MAX: u32 = 4096;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::message";
    linker.func_wrap(namespace, "create_data", create_data)?;
    linker.func_wrap(namespace, "write_data", write_data)?;
    linker.func_wrap(namespace, "read_data", read_data)?;
    linker.func_wrap(namespace, "seek_data", seek_data)?;
    linker.func_wrap(namespace, "get_tag", get_tag)?;
    linker.func_wrap(namespace, "get_process_id", get_process_id)?;
    linker.func_wrap(namespace, "data_size", data_size)?;
    linker.func_wrap(namespace, "push_module", push_module)?;
    linker.func_wrap(namespace, "take_module", take_module)?;
    add_sockets(linker, namespace)?;
    linker.func_wrap(namespace, "send", send)?;
    linker.func_wrap_async(
        namespace,
        "send_receive_skip_search",
        |caller, (process, tag, timeout)| Box::new(send_receive(caller, process, tag, timeout)),
    )?;
    linker.func_wrap_async(namespace, "receive", |caller, (tags, count, timeout)| {
        Box::new(receive(caller, tags, count, timeout))
    })?;
    Ok(())
}

/// The letter that the process writes or reads.
fn scratch<'a>(caller: &'a mut Caller<'_, Ctx>) -> wasmtime::Result<&'a mut Letter> {
    state(caller)
        .scratch
        .as_mut()
        .ok_or_else(|| fault("the process has no message: it has created and received none, or sent it"))
}

/// The letter, if it is a message.
pub(super) fn data<'a>(caller: &'a mut Caller<'_, Ctx>) -> wasmtime::Result<&'a mut Message> {
    match scratch(caller)? {
        Letter::Data(message) => Ok(message),
        Letter::LinkDied(_) | Letter::ProcessDied(_) => Err(not_data()),
    }
}

fn not_data() -> wasmtime::Error {
    fault("the process has received a notification that another one has ended, which carries no data")
}

/// Takes the letter, to send it.
pub(super) fn take_scratch(caller: &mut Caller<'_, Ctx>) -> wasmtime::Result<Letter> {
    scratch(caller)?;
    Ok(state(caller).scratch.take().expect("it was there just now"))
}

/// Takes the message out, calls `f` with it and the guest's memory, and puts it back unless `f` fails.
fn with_data<T>(
    caller: &mut Caller<'_, Ctx>,
    at: u32,
    len: u32,
    f: impl FnOnce(&mut Message, &mut [u8]) -> wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    let Letter::Data(mut message) = take_scratch(caller)? else {
        return Err(not_data());
    };
    let (bytes, _) = guest_memory::slice(caller, at, len)?;
    let result = f(&mut message, bytes)?;
    state(caller).scratch = Some(Letter::Data(message));
    Ok(result)
}

fn create_data(mut caller: Caller<'_, Ctx>, tag: i64, _capacity: u64) -> wasmtime::Result<()> {
    let message = Message::new(caller.data().process(), tag)?;
    state(&mut caller).scratch = Some(Letter::Data(message));
    Ok(())
}

/// How many bytes of a message one call reads or writes at most, so that none blocks a worker for long. Callers repeat
/// the call for the rest.
const PART_MAX: u32 = 1 << 20;

fn write_data(mut caller: Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<u32> {
    with_data(&mut caller, at, len, |message, bytes| {
        let part = len.min(PART_MAX);
        message.write(&bytes[..part as usize])?;
        Ok(part)
    })
}

fn read_data(mut caller: Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<u32> {
    let read = with_data(&mut caller, at, len, |message, bytes| {
        let part = len.min(PART_MAX) as usize;
        Ok(message.read(&mut bytes[..part])?)
    })?;
    Ok(u32::try_from(read)?)
}

fn seek_data(mut caller: Caller<'_, Ctx>, position: u64) -> wasmtime::Result<()> {
    data(&mut caller)?.seek(position);
    Ok(())
}

fn get_tag(mut caller: Caller<'_, Ctx>) -> wasmtime::Result<i64> {
    Ok(scratch(&mut caller)?.tag())
}

fn get_process_id(mut caller: Caller<'_, Ctx>) -> wasmtime::Result<u64> {
    Ok(match scratch(&mut caller)? {
        Letter::ProcessDied(id) => id.raw(),
        Letter::Data(_) | Letter::LinkDied(_) => 0,
    })
}

fn data_size(mut caller: Caller<'_, Ctx>) -> wasmtime::Result<u64> {
    Ok(data(&mut caller)?.len() as u64)
}

fn push_module(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<u64> {
    let module = state(&mut caller).modules.get("module", id)?.clone();
    Ok(data(&mut caller)?.push(Resource::Module(module))?)
}

fn take_module(mut caller: Caller<'_, Ctx>, index: u64) -> wasmtime::Result<u64> {
    let module = data(&mut caller)?.take(index, |resource| match resource {
        Resource::Module(module) => Some(module.clone()),
        _ => None,
    })?;
    keep(&mut caller, |state| &mut state.modules, "module", module)
}

/// Moves sockets from a process into a message, and from a message to a process.
fn add_sockets(linker: &mut Linker<Ctx>, namespace: &str) -> wasmtime::Result<()> {
    type Put = fn(Arc<Open>) -> Resource;
    type Pick = fn(&Resource) -> Option<Arc<Open>>;
    let kinds: [(&str, &str, Table, Put, Pick); 3] = [
        (
            "push_tcp_stream",
            "take_tcp_stream",
            TCP_STREAMS,
            Resource::TcpStream,
            |resource| match resource {
                Resource::TcpStream(open) => Some(open.clone()),
                _ => None,
            },
        ),
        (
            "push_tls_stream",
            "take_tls_stream",
            TLS_STREAMS,
            Resource::TlsStream,
            |resource| match resource {
                Resource::TlsStream(open) => Some(open.clone()),
                _ => None,
            },
        ),
        (
            "push_udp_socket",
            "take_udp_socket",
            UDP_SOCKETS,
            Resource::UdpSocket,
            |resource| match resource {
                Resource::UdpSocket(open) => Some(open.clone()),
                _ => None,
            },
        ),
    ];
    for (push, take, table, put, pick) in kinds {
        linker.func_wrap(namespace, push, move |mut caller: Caller<'_, Ctx>, id: u64| {
            let open = table.remove(&mut caller, id)?;
            wasmtime::Result::Ok(data(&mut caller)?.push(put(open))?)
        })?;
        linker.func_wrap(namespace, take, move |mut caller: Caller<'_, Ctx>, index: u64| {
            let open = data(&mut caller)?.take(index, pick)?;
            table.add(&mut caller, open)
        })?;
    }
    Ok(())
}

fn send(mut caller: Caller<'_, Ctx>, process: u64) -> wasmtime::Result<i32> {
    let letter = take_scratch(&mut caller)?;
    deliver(&caller, process, letter);
    Ok(0)
}

/// Sends a letter to a process of this node. False if there is no such process.
pub(super) fn deliver(caller: &Caller<'_, Ctx>, process: u64, letter: Letter) -> bool {
    let ctx = caller.data();
    let to = neighbour(ctx.kernel(), ctx.process(), process);
    if let Some(to) = &to {
        send_letter(ctx.kernel(), to, letter);
    }
    to.is_some()
}

async fn send_receive(mut caller: Caller<'_, Ctx>, process: u64, tag: i64, timeout: u64) -> wasmtime::Result<i32> {
    let letter = take_scratch(&mut caller)?;
    deliver(&caller, process, letter);
    Ok(await_answer(&mut caller, tag, timeout).await)
}

/// Waits for a letter with this tag.
///
/// Also searches the inbox for an answer that came before the wait began; no other letter has its tag.
pub(super) async fn await_answer(caller: &mut Caller<'_, Ctx>, tag: i64, timeout: u64) -> i32 {
    match take(caller, &[tag], timeout).await {
        Some(letter) => {
            state(caller).scratch = Some(letter);
            0
        }
        None => TIMED_OUT,
    }
}

async fn receive(mut caller: Caller<'_, Ctx>, tags: u32, count: u32, timeout: u64) -> wasmtime::Result<i32> {
    let tags: Vec<i64> = match count {
        0 => Vec::new(),
        count => longs(&mut caller, tags, count, TAGS_MAX)?
            .into_iter()
            .map(u64::cast_signed)
            .collect(),
    };
    let Some(letter) = take(&mut caller, &tags, timeout).await else {
        return Ok(TIMED_OUT);
    };
    let code = match letter {
        Letter::Data(_) => 0,
        Letter::LinkDied(_) => 1,
        Letter::ProcessDied(_) => 2,
    };
    state(&mut caller).scratch = Some(letter);
    Ok(code)
}

/// Takes a letter of the caller. Waits for it for up to `timeout` milliseconds.
async fn take(caller: &mut Caller<'_, Ctx>, tags: &[i64], timeout: u64) -> Option<Letter> {
    let found = letters(caller.data().process(), |queue| queue.take(tags)).flatten();
    if found.is_some() || timeout == 0 {
        return found;
    }
    let waiting = wait(caller, WaitFor::Mail, Id::NONE, nanoseconds(timeout));
    let letter = poll_until(&waiting, |process| {
        letters(process, |queue| queue.take_or_wait(tags)).flatten()
    });
    show(caller, letter).await
}

/// Takes the message, for `lunatic::distributed` to send it. Traps if it carries resources, which cannot leave the
/// node.
pub(super) fn take_plain(caller: &mut Caller<'_, Ctx>) -> wasmtime::Result<Letter> {
    if data(caller)?.has_resources() {
        return Err(fault("a message that carries resources cannot be sent to a node"));
    }
    take_scratch(caller)
}

/// An error for a node other than this one.
pub(super) fn check_node(node: u64) -> Result<(), String> {
    match node {
        NODE => Ok(()),
        node => Err(format!("there is no node {node}: the only node is this one, {NODE}")),
    }
}
