//! `lunatic::rights`.

use lunatic_sys::codes::{CLOSED, EMPTY, INVALID, OK};
use lunatic_sys::layout::USAGE_SIZE;
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::instance::Ctx;
use crate::rights::May;

/// The longest question, in bytes.
const QUESTION_LEN_MAX: usize = 1024;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::rights";
    linker.func_wrap(namespace, "allows", allows)?;
    linker.func_wrap(namespace, "usage", usage)?;
    linker.func_wrap(namespace, "take_output", take_output)?;
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
    let rights = &ctx.process().rights;
    let allowed = match question {
        "spawn" => Some(rights.may.contains(May::SPAWN)),
        "configure" => Some(rights.may.contains(May::CONFIGURE)),
        "names" => Some(rights.may.contains(May::NAMES)),
        "compile" => Some(rights.may.contains(May::COMPILE)),
        question => rights.net.answers(question),
    };
    Ok(allowed.map_or(INVALID, i32::from))
}

fn usage(mut caller: Caller<'_, Ctx>, id: u64, key: u64, out: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, out, USAGE_SIZE as u32)?;
    let ctx = caller.data();
    let Some(id) = ctx.shared.process_keys.check(id, key) else {
        return Ok(INVALID);
    };
    let Some(process) = ctx.shared.find(id) else {
        return Ok(CLOSED);
    };
    let Some(budget) = &process.rights.budget else {
        return Ok(EMPTY);
    };
    let usage = budget.usage();
    let cpu = u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX);
    let bytes: Vec<u8> = [usage.processes, usage.memory, usage.sockets, cpu]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    guest_memory::write(&mut caller, out, &bytes)?;
    Ok(OK)
}

fn take_output(mut caller: Caller<'_, Ctx>, id: u64, key: u64, stream: i32) -> i32 {
    let ctx = caller.data_mut();
    let Some(id) = ctx.shared.process_keys.check(id, key) else {
        return INVALID;
    };
    let Some(at) = ctx.outputs.iter().position(|(child, _)| *child == id) else {
        return EMPTY;
    };
    // Asked before the text is taken: what comes after that is the last.
    let has_ended = ctx.shared.find(id).is_none();
    let wasi = ctx.outputs[at].1.clone();
    let Some(capture) = usize::try_from(stream).ok().and_then(|stream| wasi.captured(stream)) else {
        return EMPTY;
    };
    ctx.buffer = capture.take();
    let is_empty = (0..2)
        .filter_map(|stream| wasi.captured(stream))
        .all(|capture| capture.is_empty());
    if has_ended && is_empty {
        ctx.outputs.swap_remove(at);
        ctx.limits.give_back(super::signal::CAPTURE_COST);
    }
    OK
}
