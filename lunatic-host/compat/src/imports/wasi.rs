//! `lunatic::wasi`: what a child sees of the world, as a configuration says.

use lunatic_host::Ctx;
use wasmtime::{Caller, Linker};

use super::process::config;
use super::text;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::wasi";
    linker.func_wrap(namespace, "config_add_environment_variable", add_variable)?;
    linker.func_wrap(namespace, "config_add_command_line_argument", add_argument)?;
    linker.func_wrap(namespace, "config_preopen_dir", preopen_dir)?;
    Ok(())
}

fn add_variable(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u32,
    key_len: u32,
    value: u32,
    value_len: u32,
) -> wasmtime::Result<()> {
    let (key, value) = (text(&mut caller, key, key_len)?, text(&mut caller, value, value_len)?);
    Ok(config(&mut caller, id)?.add_variable(key, value)?)
}

fn add_argument(mut caller: Caller<'_, Ctx>, id: u64, argument: u32, len: u32) -> wasmtime::Result<()> {
    let argument = text(&mut caller, argument, len)?;
    Ok(config(&mut caller, id)?.add_argument(argument)?)
}

fn preopen_dir(mut caller: Caller<'_, Ctx>, id: u64, dir: u32, len: u32) -> wasmtime::Result<()> {
    let dir = text(&mut caller, dir, len)?;
    Ok(config(&mut caller, id)?.add_dir(dir)?)
}
