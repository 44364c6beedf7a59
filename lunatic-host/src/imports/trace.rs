//! `lunatic::trace`.

use std::sync::Arc;

use lunatic_kernel::budget::Payer;
use lunatic_sys::codes::{DENIED, FULL, INVALID, LIMIT, OK};
use lunatic_sys::record::{Value, decode_fields};
use lunatic_sys::trace::{Context, ENTER, FIELDS_LEN_MAX, NAME_LEN_MAX, PARENT_LEN, ROOT, STATE_LEN_MAX};
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::rights::{May, denial};
use crate::trace::{Asked, Closed, Kind, Owner};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::trace";
    linker.timed(namespace, "current", current)?;
    linker.timed(namespace, "set", set)?;
    linker.timed(namespace, "recorded", |caller: Caller<'_, Ctx>| {
        i32::from(caller.data().process().system.data.config.tracer.is_some())
    })?;
    linker.timed(namespace, "open", open)?;
    linker.timed(namespace, "enter", |mut caller: Caller<'_, Ctx>, span: i32| {
        code(caller.data_mut().current.enter(span))
    })?;
    linker.timed(namespace, "leave", |mut caller: Caller<'_, Ctx>, span: i32| {
        code(caller.data_mut().current.leave(span))
    })?;
    linker.timed(namespace, "record", record)?;
    linker.timed(namespace, "fail", fail)?;
    linker.timed(namespace, "close", close)?;
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

/// Whether the caller may set the trace that it works for, and open spans; if not, logs the denial.
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
    // Working for no trace requires no right.
    if trace.is_some() && !may_trace(ctx) {
        return Ok(DENIED);
    }
    ctx.current.give(trace);
    Ok(OK)
}

/// Reads the fields that a guest wrote.
fn read_fields(bytes: &[u8]) -> wasmtime::Result<Vec<(&str, Value<'_>)>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    decode_fields(bytes).ok_or_else(|| wasmtime::Error::msg("lunatic::trace was given bytes that are not fields"))
}

/// The beginning of a text that a guest wrote, a little longer than what is kept of it. The text itself may be as long as
/// the memory.
fn beginning(bytes: &[u8]) -> wasmtime::Result<&str> {
    let part = &bytes[..bytes.len().min(NAME_LEN_MAX + char::MAX.len_utf8())];
    match std::str::from_utf8(part) {
        Ok(text) => Ok(text),
        // The last character is not whole.
        Err(error) if error.error_len().is_none() && part.len() < bytes.len() => {
            Ok(std::str::from_utf8(&part[..error.valid_up_to()])?)
        }
        Err(error) => Err(error.into()),
    }
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
    let wanted = wanted.ok_or_else(|| wasmtime::Error::msg(format!("{kind} is not a kind of span")))?;
    let (memory, ctx) = guest_memory::all(&mut caller)?;
    guest_memory::part(memory, name, len)?;
    guest_memory::part(memory, fields, fields_len)?;
    let memory = &*memory;
    let part = |start: u32, len: u32| &memory[start as usize..][..len as usize];
    let (name, fields) = (part(name, len), part(fields, fields_len));
    let process = ctx.process().clone();
    // This comes first: in most programs, nobody wants spans.
    let Some(tracer) = &process.system.data.config.tracer else {
        return Ok(0);
    };
    if fields.len() > FIELDS_LEN_MAX || !may_trace(ctx) {
        return Ok(0);
    }
    let asked = Asked {
        kind: wanted,
        name: beginning(name)?,
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
    let added = ctx.current.add(span, Vec::new(), 0, Some(beginning(bytes)?));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_only_the_beginning_is_looked_at() {
        assert_eq!(beginning(b"short").unwrap(), "short");
        assert!(beginning(b"\xff").is_err() && beginning("é".as_bytes().split_last().unwrap().1).is_err());
        // Wherever it is cut, what remains is text, and longer than what is kept.
        for start in 0..4 {
            let long = format!("{}{}", "x".repeat(start), "𝄞".repeat(100));
            let part = beginning(long.as_bytes()).unwrap();
            assert!(long.starts_with(part) && part.len() > NAME_LEN_MAX, "{start}");
        }
        let mut long = vec![b'x'; 1000];
        long[NAME_LEN_MAX + 10] = 0xff;
        assert!(beginning(&long).is_ok());
        long[5] = 0xff;
        assert!(beginning(&long).is_err());
    }
}
