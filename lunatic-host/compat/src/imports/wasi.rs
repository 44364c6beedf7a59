//! `lunatic::wasi`: the variables, arguments and folders of a child, set in a configuration.

use lunatic_host::Ctx;
use wasmtime::{Caller, Linker};

use super::{state, text};
use crate::config::{BadText, Config, TEXT_SIZE};

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
    let len = key.len() + value.len();
    add_text(&mut caller, id, len, |config| config.add_variable(key, value))
}

fn add_argument(mut caller: Caller<'_, Ctx>, id: u64, argument: u32, len: u32) -> wasmtime::Result<()> {
    let argument = text(&mut caller, argument, len)?;
    add_text(&mut caller, id, argument.len(), |config| config.add_argument(argument))
}

fn preopen_dir(mut caller: Caller<'_, Ctx>, id: u64, dir: u32, len: u32) -> wasmtime::Result<()> {
    let dir = text(&mut caller, dir, len)?;
    add_text(&mut caller, id, dir.len(), |config| config.add_dir(dir))
}

/// Adds texts of `len` bytes to a configuration. The process pays for them.
fn add_text(
    caller: &mut Caller<'_, Ctx>,
    id: u64,
    len: usize,
    add: impl FnOnce(&mut Config) -> Result<(), BadText>,
) -> wasmtime::Result<()> {
    let configs = &mut state(caller).configs;
    Ok(configs.grow("configuration", id, len + TEXT_SIZE, add)??)
}
