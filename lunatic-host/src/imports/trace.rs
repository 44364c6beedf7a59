//! `lunatic::trace`.

use std::sync::Arc;

use lunatic_kernel::budget::Payer;
use lunatic_sys::codes::{DENIED, FULL, INVALID, LIMIT, OK};
use lunatic_sys::record::{Value, decode_fields};
use lunatic_sys::trace::{Context, ENTER, FIELDS_LEN_MAX, PARENT_LEN, ROOT, STATE_LEN_MAX};
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::instance::Ctx;
use crate::rights::{May, denial};
use crate::trace::{Asked, Closed, Kind, Owner};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::trace";
    linker.func_wrap(namespace, "current", current)?;
    linker.func_wrap(namespace, "set", set)?;
    linker.func_wrap(namespace, "recorded", |caller: Caller<'_, Ctx>| {
        i32::from(caller.data().process().system.data.config.tracer.is_some())
    })?;
    linker.func_wrap(namespace, "open", open)?;
    linker.func_wrap(namespace, "enter", |mut caller: Caller<'_, Ctx>, span: i32| {
        code(caller.data_mut().current.enter(span))
    })?;
    linker.func_wrap(namespace, "leave", |mut caller: Caller<'_, Ctx>, span: i32| {
        code(caller.data_mut().current.leave(span))
    })?;
    linker.func_wrap(namespace, "record", record)?;
    linker.func_wrap(namespace, "fail", fail)?;
    linker.func_wrap(namespace, "close", close)?;
    Ok(())
}

fn code(done: bool) -> i32 {
    if done { OK } else { INVALID }
}

fn current(mut caller: Caller<'_, Ctx>, to: u32, capacity: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, to, capacity)?;
    let Some(context) = caller.data().current.trace().clone() else {
        return Ok(0);
    };
    let text = context.to_text();
    let len = i32::try_from(text.len())?;
    if text.len() <= capacity as usize {
        guest_memory::write(&mut caller, to, text.as_bytes())?;
    } else {
        caller.data_mut().set_buffer(text);
    }
    Ok(len)
}

/// Whether the caller may say which request it works for, and open spans; says so in the log if not.
fn may_trace(ctx: &Ctx) -> bool {
    let process = ctx.process();
    let may = process.local.rights.may.contains(May::TRACE);
    if !may {
        denial::log(process, "may not trace", "", "");
    }
    may
}

fn set(mut caller: Caller<'_, Ctx>, context: u32, len: u32) -> wasmtime::Result<i32> {
    let (bytes, ctx) = guest_memory::slice(&mut caller, context, len)?;
    let trace = match bytes.len() {
        0 => None,
        len if len > PARENT_LEN + STATE_LEN_MAX => return Ok(INVALID),
        _ => match Context::from_text(std::str::from_utf8(bytes)?) {
            Some(context) => Some(Arc::new(context)),
            None => return Ok(INVALID),
        },
    };
    // To have none is no right.
    if trace.is_some() && !may_trace(ctx) {
        return Ok(DENIED);
    }
    ctx.current.give(trace);
    Ok(OK)
}

/// The fields that a guest wrote.
fn read_fields(bytes: &[u8]) -> wasmtime::Result<Vec<(&str, Value<'_>)>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    decode_fields(bytes).ok_or_else(|| wasmtime::Error::msg("lunatic::trace was given bytes that are no fields"))
}

fn open(
    mut caller: Caller<'_, Ctx>,
    kind: i32,
    name: u32,
    len: u32,
    fields: u32,
    fields_len: u32,
) -> wasmtime::Result<i32> {
    let wanted = Kind::from_number(kind & !(ROOT | ENTER));
    let wanted = wanted.ok_or_else(|| wasmtime::Error::msg(format!("{kind} is no kind of a span")))?;
    let (memory, ctx) = guest_memory::all(&mut caller)?;
    guest_memory::part(memory, name, len)?;
    guest_memory::part(memory, fields, fields_len)?;
    let memory = &*memory;
    let part = |start: u32, len: u32| &memory[start as usize..][..len as usize];
    let (name, fields) = (part(name, len), part(fields, fields_len));
    let process = ctx.process().clone();
    // Asked first: most programs have nobody who wants spans.
    let Some(tracer) = &process.system.data.config.tracer else {
        return Ok(0);
    };
    if fields.len() > FIELDS_LEN_MAX || !may_trace(ctx) {
        return Ok(0);
    }
    let asked = Asked {
        kind: wanted,
        name: std::str::from_utf8(name)?,
        fields: read_fields(fields)?,
        fields_len: fields.len(),
        is_root: kind & ROOT != 0,
        enters: kind & ENTER != 0,
    };
    let kernel = ctx.kernel.clone();
    let owner = || Owner {
        tracer: tracer.clone(),
        account: process.purse().to_account(),
        process: (process.id.to_string(), process.local.title()),
        group: process.local.rights.group.clone(),
    };
    Ok(ctx.current.open(asked, owner, || kernel.random()))
}

fn record(mut caller: Caller<'_, Ctx>, span: i32, fields: u32, len: u32) -> wasmtime::Result<i32> {
    let (bytes, ctx) = guest_memory::slice(&mut caller, fields, len)?;
    if bytes.len() > FIELDS_LEN_MAX {
        return Ok(LIMIT);
    }
    let added = ctx.current.add(span, read_fields(bytes)?, bytes.len(), None);
    Ok(added.map_or(INVALID, |fits| if fits { OK } else { LIMIT }))
}

fn fail(mut caller: Caller<'_, Ctx>, span: i32, text: u32, len: u32) -> wasmtime::Result<i32> {
    let (bytes, ctx) = guest_memory::slice(&mut caller, text, len)?;
    let added = ctx.current.add(span, Vec::new(), 0, Some(std::str::from_utf8(bytes)?));
    Ok(code(added.is_some()))
}

fn close(mut caller: Caller<'_, Ctx>, span: i32) -> i32 {
    let ctx = caller.data_mut();
    let process = ctx.process().clone();
    match ctx.current.close(span, || process.first_name()) {
        Closed::Done => OK,
        Closed::Dropped => FULL,
        Closed::None => INVALID,
    }
}
