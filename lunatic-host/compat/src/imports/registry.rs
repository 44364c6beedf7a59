//! `lunatic::registry`: names for processes. What they name need not exist, and they stay after it has ended.

use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::rights::{May, denial};
use wasmtime::{Caller, Linker};

use super::{fault, text, write_long};
use crate::environment::{self, Environment};

/// The maximum length of a name, in bytes.
const NAME_LEN_MAX: u32 = 1 << 16;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::registry";
    linker.func_wrap(namespace, "put", put)?;
    linker.func_wrap(namespace, "get", get)?;
    linker.func_wrap(namespace, "remove", remove)?;
    Ok(())
}

pub(super) fn environment(caller: &Caller<'_, Ctx>) -> wasmtime::Result<Arc<Environment>> {
    let environment = environment::of(caller.data().process());
    environment.ok_or_else(|| fault("the process belongs to no environment"))
}

pub(super) fn name(caller: &mut Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<String> {
    if len > NAME_LEN_MAX {
        return Err(fault(format!("a name has at most {NAME_LEN_MAX} bytes, not {len}")));
    }
    text(caller, at, len)
}

/// Traps unless the caller may give names: a parent of the other interface may have taken that right away.
pub(super) fn check_may_name(caller: &Caller<'_, Ctx>, name: &str) -> wasmtime::Result<()> {
    let process = caller.data().process();
    if process.local.rights().may.contains(May::NAMES) {
        return Ok(());
    }
    denial::log(process, "may not register or remove the name", name, "");
    Err(fault(
        "the process may not register or remove names: its configuration does not allow it",
    ))
}

fn put(mut caller: Caller<'_, Ctx>, at: u32, len: u32, node: u64, process: u64) -> wasmtime::Result<()> {
    let name = name(&mut caller, at, len)?;
    check_may_name(&caller, &name)?;
    let environment = environment(&caller)?;
    let mut names = environment.names.lock();
    let paid = names.pay(caller.data().process(), &name).map_err(fault)?;
    names.put(&name, (node, process), paid);
    Ok(())
}

fn get(mut caller: Caller<'_, Ctx>, at: u32, len: u32, out_node: u32, out: u32) -> wasmtime::Result<i32> {
    let name = name(&mut caller, at, len)?;
    let found = environment(&caller)?.names.lock().get(&name);
    let Some((node, process)) = found else { return Ok(1) };
    write_long(&mut caller, out_node, node)?;
    write_long(&mut caller, out, process)?;
    Ok(0)
}

fn remove(mut caller: Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<()> {
    let name = name(&mut caller, at, len)?;
    check_may_name(&caller, &name)?;
    environment(&caller)?.names.lock().remove(&name);
    Ok(())
}
