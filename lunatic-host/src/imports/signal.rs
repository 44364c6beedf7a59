//! `lunatic::process`, the part about exits, links and monitors.

use lunatic_kernel::Fate;
use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use lunatic_sys::codes::{CLOSED, FULL, INVALID, OK, REASON_HEAD_LEN, REASON_TEXT_LEN_MAX};
use lunatic_sys::layout::RawHandle;
use wasmtime::{Caller, Linker};

use super::handle::{check_handle, write_handle};
use crate::ending::Exited;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::process";
    linker.timed(namespace, "exit", exit)?;
    linker.timed(namespace, "exit_signal", exit_signal)?;
    linker.timed(namespace, "link", link)?;
    linker.timed(namespace, "unlink", unlink)?;
    linker.timed(namespace, "monitor", monitor)?;
    linker.timed(namespace, "demonitor", demonitor)?;
    linker.timed(namespace, "trap_exit", trap_exit)?;
    linker.timed(namespace, "parent", parent)?;
    Ok(())
}

/// Reads the exit reason that a guest wrote.
fn read_reason(caller: &mut Caller<'_, Ctx>, reason: u32, len: u32) -> wasmtime::Result<ExitReason> {
    let bytes = guest_memory::slice(caller, reason, len)?.0;
    if bytes.len() > REASON_HEAD_LEN + REASON_TEXT_LEN_MAX {
        let text = format!("the text of a reason has at most {REASON_TEXT_LEN_MAX} bytes");
        return Err(wasmtime::Error::msg(text));
    }
    ExitReason::from_bytes(bytes).ok_or_else(|| wasmtime::Error::msg("these bytes are not an exit reason"))
}

/// The effect on the caller of a signal to itself.
pub(super) fn follow(fate: Fate) -> wasmtime::Result<i32> {
    match fate {
        Fate::Lives => Ok(OK),
        Fate::Ends(reason) => Err(Exited(reason).into()),
    }
}

fn exit(mut caller: Caller<'_, Ctx>, reason: u32, len: u32) -> wasmtime::Result<()> {
    let reason = read_reason(&mut caller, reason, len)?;
    Err(Exited(reason).into())
}

fn exit_signal(mut caller: Caller<'_, Ctx>, id: u64, key: u64, reason: u32, len: u32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let reason = read_reason(&mut caller, reason, len)?;
    let ctx = caller.data();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    signal(ctx, id, &reason)
}

/// Sends an exit signal from the caller. Returns the code.
pub(super) fn signal(ctx: &Ctx, id: Id, reason: &ExitReason) -> wasmtime::Result<i32> {
    if !ctx.kernel.may_send(id) {
        return Ok(FULL);
    }
    follow(ctx.kernel.send_exit(ctx.process(), id, reason))
}

fn link(caller: Caller<'_, Ctx>, id: u64, key: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let ctx = caller.data();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    link_to(ctx, id)
}

/// Links the caller to a process. Returns the code.
pub(super) fn link_to(ctx: &Ctx, id: Id) -> wasmtime::Result<i32> {
    if !ctx.kernel.may_send(id) {
        return Ok(FULL);
    }
    follow(ctx.kernel.link(ctx.process(), id))
}

fn unlink(caller: Caller<'_, Ctx>, id: u64, key: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let ctx = caller.data();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    ctx.kernel.unlink(ctx.process(), id);
    Ok(OK)
}

fn monitor(mut caller: Caller<'_, Ctx>, id: u64, key: u64, tag: u64, out: u32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    guest_memory::slice(&mut caller, out, 8)?;
    let ctx = caller.data();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    let Some(reference) = watch(ctx, id, tag) else {
        return Ok(FULL);
    };
    guest_memory::write(&mut caller, out, &reference.to_le_bytes())?;
    Ok(OK)
}

/// Makes the caller monitor a process. Returns the reference; `None` if too much waits to be sent to its node.
pub(super) fn watch(ctx: &Ctx, id: Id, tag: u64) -> Option<u64> {
    let may_send = ctx.kernel.may_send(id);
    may_send.then(|| ctx.kernel.monitor(ctx.process(), id, tag))
}

fn demonitor(caller: Caller<'_, Ctx>, reference: u64, flush: i32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let ctx = caller.data();
    Ok(i32::from(ctx.kernel.demonitor(ctx.process(), reference, flush != 0)))
}

fn trap_exit(caller: Caller<'_, Ctx>, on: i32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    Ok(i32::from(caller.data().process().trap_exits(on != 0)))
}

fn parent(mut caller: Caller<'_, Ctx>, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let ctx = caller.data();
    let Some(parent) = ctx.process().parent else {
        return Ok(CLOSED);
    };
    let handle = ctx.kernel.process_address(parent);
    write_handle(&mut caller, out, handle)?;
    Ok(OK)
}
