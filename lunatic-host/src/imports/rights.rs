//! `lunatic::rights`.

use lunatic_rights::table;
use lunatic_sys::codes::{CLOSED, EMPTY, INVALID, OK};
use lunatic_sys::layout::RawHandle;
use lunatic_sys::layout::{USAGE_SIZE, Usage};
use wasmtime::{Caller, Linker};

use super::outputs::Outputs;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;

/// The longest question, in bytes.
const QUESTION_LEN_MAX: usize = 1024;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::rights";
    linker.timed(namespace, "allows", allows)?;
    linker.timed(namespace, "usage", usage)?;
    linker.timed(namespace, "take_output", take_output)?;
    Ok(())
}

fn allows(mut caller: Caller<'_, Ctx>, question: u32, len: u32) -> wasmtime::Result<i32> {
    let (bytes, ctx) = guest_memory::slice(&mut caller, question, len)?;
    if bytes.len() > QUESTION_LEN_MAX {
        return Ok(INVALID);
    }
    let Ok(question) = std::str::from_utf8(bytes) else {
        return Ok(INVALID);
    };
    let rights = &ctx.process().local.rights;
    let allowed = match table::may(question) {
        Some(may) => Some(rights.may.contains(may)),
        None => rights.net.answers(question),
    };
    Ok(allowed.map_or(INVALID, i32::from))
}

fn usage(mut caller: Caller<'_, Ctx>, id: u64, key: u64, out: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, out, USAGE_SIZE as u32)?;
    let ctx = caller.data();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    let Some(process) = ctx.kernel.find(id) else {
        return Ok(CLOSED);
    };
    let Some(budget) = &process.local.rights.budget else {
        return Ok(EMPTY);
    };
    let usage = budget.usage();
    let usage = Usage {
        processes: usage.processes,
        memory: usage.memory,
        sockets: usage.sockets,
        cpu_ns: u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX),
    };
    guest_memory::write(&mut caller, out, &usage.encode())?;
    Ok(OK)
}

fn take_output(mut caller: Caller<'_, Ctx>, id: u64, key: u64, stream: i32) -> i32 {
    let ctx = caller.data_mut();
    let Some(id) = ctx.process_of(id, key) else {
        return INVALID;
    };
    let Some(wasi) = Outputs::of(ctx).find(id) else {
        return EMPTY;
    };
    // This comes before the text is taken: if it has ended, the text is complete.
    let has_ended = !ctx.kernel.is_alive(id);
    let stream = usize::try_from(stream).ok();
    let Some(text) = stream.and_then(|stream| wasi.take_captured(stream)) else {
        return EMPTY;
    };
    ctx.set_buffer(text);
    let is_empty = (0..2)
        .filter_map(|stream| wasi.captured(stream))
        .all(|capture| capture.is_empty());
    if has_ended && is_empty {
        Outputs::remove(ctx, id);
    }
    OK
}
