//! `lunatic::log`.

use lunatic_sys::codes::{FULL, LIMIT, OK};
use lunatic_sys::log::{OFF, TARGET_LEN_MAX};
use lunatic_sys::record::{RECORD_LEN_MAX, Record};
use wasmtime::{Caller, Linker};

use crate::ending::began_as;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::log::{Format, Log, line_of};
use crate::wasi::Output;
use crate::wasm::Process;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::log";
    linker.timed(namespace, "level", level)?;
    linker.timed(namespace, "record", record)?;
    Ok(())
}

/// The standard error of a process, if it differs from that of the system.
fn own_stderr(process: &Process) -> Option<&Output> {
    let own = process.local.rights.wasi.stderr();
    (!own.is_same(process.system.data.wasi.stderr())).then_some(own)
}

/// The log for records of a process; none if its output is discarded.
fn log_of(process: &Process) -> Option<&Log> {
    let log = process.system.data.config.log.as_ref();
    log.filter(|_| own_stderr(process).is_none_or(|own| !own.is_discarded()))
}

/// The name of a process after its entry, kept for the process.
struct BeganAs(String);

/// The name of the process in this instance, as in reports, without looking up its entry each time.
fn called(process: &Process, ctx: &mut Ctx) -> String {
    process.first_name().unwrap_or_else(|| {
        let BeganAs(title) = ctx.state(|| BeganAs(began_as(process)));
        title.clone()
    })
}

fn level(mut caller: Caller<'_, Ctx>, target: u32, len: u32) -> wasmtime::Result<i32> {
    let (bytes, ctx) = guest_memory::slice(&mut caller, target, len)?;
    if bytes.len() > TARGET_LEN_MAX {
        let text = format!("a target has at most {TARGET_LEN_MAX} bytes, not {len}");
        return Err(wasmtime::Error::msg(text));
    }
    let target = std::str::from_utf8(bytes)?;
    Ok(log_of(ctx.process()).map_or(OFF, |log| log.level(target)))
}

fn record(mut caller: Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<i32> {
    let (bytes, ctx) = guest_memory::slice(&mut caller, at, len)?;
    if bytes.len() > RECORD_LEN_MAX {
        ctx.set_buffer(format!("a record has at most {RECORD_LEN_MAX} bytes"));
        return Ok(LIMIT);
    }
    let Some(record) = Record::decode(bytes) else {
        return Err(wasmtime::Error::msg(
            "lunatic::log::record was given bytes that are not a record",
        ));
    };
    let process = ctx.process().clone();
    let Some(log) = log_of(&process).filter(|log| record.level <= log.level(record.target)) else {
        return Ok(OK);
    };
    let id = process.id.to_string();
    let title = called(&process, ctx);
    let line = line_of(&record, (&id, &title), ctx.current.trace().as_deref());
    let is_put = match own_stderr(&process) {
        // Whoever captures its output wants records, too.
        Some(own) => own.log(&line.to_text(Format::Text)),
        None => log.record(&line),
    };
    Ok(if is_put { OK } else { FULL })
}
