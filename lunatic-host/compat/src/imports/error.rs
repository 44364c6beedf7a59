//! `lunatic::error`: the texts of errors of other functions.

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use wasmtime::{Caller, Linker};

use super::state;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::error";
    linker.func_wrap(namespace, "string_size", string_size)?;
    linker.func_wrap(namespace, "to_string", to_string)?;
    linker.func_wrap(namespace, "drop", drop_error)?;
    Ok(())
}

fn string_size(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<u32> {
    let text = state(&mut caller).errors.get("error", id)?;
    Ok(u32::try_from(text.len())?)
}

fn to_string(mut caller: Caller<'_, Ctx>, id: u64, to: u32) -> wasmtime::Result<()> {
    let text = state(&mut caller).errors.get("error", id)?.clone();
    guest_memory::write(&mut caller, to, text.as_bytes())
}

fn drop_error(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<()> {
    state(&mut caller).errors.remove("error", id)?;
    Ok(())
}
