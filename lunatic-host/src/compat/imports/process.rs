//! `lunatic::process`: modules, configurations, spawns, links and monitors.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::{Caller, Linker};

use super::{bytes, failed, fault, state, text, write_long};
use crate::compat::config::Config;
use crate::compat::environment::{NAMES_MAX, NODE, NUMBER, Place};
use crate::imports::wait::{Wait, sleep};
use crate::instance::Ctx;
use crate::module::{LoadError, Module};
use crate::process::id::Id;
use crate::process::{self, Argument, Call, Entry, Process};
use crate::rights::{May, Rights, denial};

/// The size of one argument in the memory of the guest.
const ARGUMENT_SIZE: usize = 17;
/// A configuration or module that is the caller's own.
const OWN: i64 = -1;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::process";
    linker.func_wrap_async(namespace, "compile_module", |caller, (wasm, len, out)| {
        Box::new(compile_module(caller, wasm, len, out))
    })?;
    linker.func_wrap(namespace, "drop_module", drop_module)?;
    add_configs(linker, namespace)?;
    linker.func_wrap(namespace, "spawn", spawn)?;
    linker.func_wrap(namespace, "get_or_spawn", get_or_spawn)?;
    linker.func_wrap_async(namespace, "sleep_ms", |caller, (ms,)| Box::new(sleep_ms(caller, ms)))?;
    linker.func_wrap(namespace, "die_when_link_dies", die_when_link_dies)?;
    linker.func_wrap(namespace, "process_id", process_id)?;
    linker.func_wrap(namespace, "environment_id", || NUMBER)?;
    linker.func_wrap(namespace, "link", link)?;
    linker.func_wrap(namespace, "unlink", unlink)?;
    linker.func_wrap(namespace, "monitor", monitor)?;
    linker.func_wrap(namespace, "stop_monitoring", stop_monitoring)?;
    linker.func_wrap(namespace, "kill", kill)?;
    linker.func_wrap(namespace, "exists", exists)?;
    Ok(())
}

fn add_configs(linker: &mut Linker<Ctx>, namespace: &str) -> wasmtime::Result<()> {
    /// A getter and a setter of one field.
    macro_rules! field {
        ($get:literal, $set:literal, $field:ident, $number:ty, $from:expr, $to:expr) => {
            linker.func_wrap(
                namespace,
                $get,
                |mut caller: Caller<'_, Ctx>, id: u64| -> wasmtime::Result<$number> {
                    Ok($from(config(&mut caller, id)?.$field))
                },
            )?;
            linker.func_wrap(
                namespace,
                $set,
                |mut caller: Caller<'_, Ctx>, id: u64, value: $number| -> wasmtime::Result<()> {
                    config(&mut caller, id)?.$field = $to(value);
                    Ok(())
                },
            )?;
        };
    }
    linker.func_wrap(namespace, "create_config", create_config)?;
    linker.func_wrap(namespace, "drop_config", drop_config)?;
    field!(
        "config_get_max_memory",
        "config_set_max_memory",
        max_memory,
        u64,
        u64::from,
        u64::from
    );
    field!(
        "config_get_max_fuel",
        "config_set_max_fuel",
        max_fuel,
        u64,
        u64::from,
        u64::from
    );
    field!(
        "config_can_compile_modules",
        "config_set_can_compile_modules",
        can_compile,
        i32,
        i32::from,
        is_set
    );
    field!(
        "config_can_create_configs",
        "config_set_can_create_configs",
        can_configure,
        i32,
        i32::from,
        is_set
    );
    field!(
        "config_can_spawn_processes",
        "config_set_can_spawn_processes",
        can_spawn,
        i32,
        i32::from,
        is_set
    );
    Ok(())
}

pub(super) fn config<'a>(caller: &'a mut Caller<'_, Ctx>, id: u64) -> wasmtime::Result<&'a mut Config> {
    Ok(state(caller).configs.get_mut("configuration", id)?)
}

fn is_set(value: i32) -> bool {
    value != 0
}

/// Whether the caller may do this; if not, the log says so.
fn may(caller: &Caller<'_, Ctx>, what: May, name: &str) -> bool {
    let process = caller.data().process();
    let may = process.rights.may.contains(what);
    if !may {
        denial::log(process, name, "", "");
    }
    may
}

async fn compile_module(mut caller: Caller<'_, Ctx>, wasm: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    if !may(&caller, May::COMPILE, "may not compile modules") {
        return Ok(-1);
    }
    let wasm = bytes(&mut caller, wasm, len)?;
    let (shared, process) = (caller.data().shared.clone(), caller.data().process().clone());
    let start = Instant::now();
    let loaded = shared.io.spawn_blocking({
        let shared = shared.clone();
        move || Module::load(&shared, &wasm)
    });
    let loaded = loaded
        .await
        .unwrap_or_else(|_| Err(LoadError::Compile("the compiler failed".into())));
    // Compiling is computing, too.
    if let Some(budget) = &process.rights.budget {
        budget.spend(start.elapsed());
    }
    match loaded {
        Ok(module) => {
            let id = state(&mut caller).modules.add("module", module)?;
            write_long(&mut caller, out, id)?;
            Ok(0)
        }
        Err(error) => failed(&mut caller, out, error),
    }
}

fn drop_module(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<()> {
    state(&mut caller).modules.remove("module", id)?;
    Ok(())
}

fn create_config(mut caller: Caller<'_, Ctx>) -> wasmtime::Result<i64> {
    if !may(&caller, May::CONFIGURE, "may not configure a child") {
        return Ok(-1);
    }
    let id = state(&mut caller).configs.add("configuration", Config::default())?;
    Ok(id.cast_signed())
}

fn drop_config(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<()> {
    state(&mut caller).configs.remove("configuration", id)?;
    Ok(())
}

/// A process that is asked for, and that the caller may have.
pub(super) struct Wanted {
    pub(super) rights: Arc<Rights>,
    pub(super) module: Arc<Module>,
    pub(super) call: Call,
}

/// A function and its arguments, as a guest wrote them: pointers and lengths.
#[derive(Clone, Copy)]
pub(super) struct Called {
    pub(super) name: (u32, u32),
    pub(super) arguments: (u32, u32),
}

impl Wanted {
    /// What the guest asks for, or the trap for it.
    pub(super) fn read(
        caller: &mut Caller<'_, Ctx>,
        config: i64,
        module: Arc<Module>,
        called: Called,
        may_be_cut: bool,
    ) -> wasmtime::Result<Self> {
        let name = text(caller, called.name.0, called.name.1)?;
        let arguments = arguments(&bytes(caller, called.arguments.0, called.arguments.1)?, may_be_cut)?;
        let process = caller.data().process().clone();
        let rights = match config {
            OWN => process.rights.clone(),
            id => {
                let config = self::config(caller, id.cast_unsigned())?.clone();
                config.rights(&process).map_err(|denied| fault(denied.to_string()))?
            }
        };
        let call = Call {
            name: name.into(),
            arguments,
        };
        Ok(Self { rights, module, call })
    }

    /// Makes the process, which is in no queue yet; or says why not.
    pub(super) fn make(self, caller: &Caller<'_, Ctx>) -> Result<Arc<Process>, String> {
        let Self { rights, module, call } = self;
        let memory = module
            .facts
            .memory
            .map_or(0, |memory| memory.pages_min.saturating_mul(1 << 16));
        if memory > rights.max_memory as u64 {
            let max = rights.max_memory;
            return Err(format!(
                "the module needs {memory} bytes of memory from the start, and the process may have {max}"
            ));
        }
        let ctx = caller.data();
        let made = ctx
            .shared
            .new_process(ctx.process(), rights, module, Entry::Call(Box::new(call)));
        made.map_err(|limit| limit.to_string())
    }
}

/// Reads arguments of 17 bytes: a type and 16 bytes of which the lowest count. `may_be_cut`: what is left at the end of
/// them is no fault.
fn arguments(bytes: &[u8], may_be_cut: bool) -> wasmtime::Result<Vec<Argument>> {
    let chunks = bytes.chunks_exact(ARGUMENT_SIZE);
    if !may_be_cut && !chunks.remainder().is_empty() {
        return Err(fault(format!(
            "the arguments of a process take up {ARGUMENT_SIZE} bytes each, these are {}",
            bytes.len()
        )));
    }
    let argument = |chunk: &[u8]| {
        let bits = u128::from_le_bytes(chunk[1..].try_into().expect("sixteen bytes"));
        Ok(match chunk[0] {
            0x7f => Argument::I32(bits as i32),
            0x7e => Argument::I64(bits as i64),
            0x7b => Argument::V128(bits),
            ty => return Err(fault(format!("a process cannot be given an argument of type {ty:#x}"))),
        })
    };
    chunks.map(argument).collect()
}

/// Traps unless the caller may spawn, and now.
pub(super) fn check_may_spawn(caller: &Caller<'_, Ctx>) -> wasmtime::Result<()> {
    if !may(caller, May::SPAWN, "may not spawn") {
        return Err(fault(
            "the process may not spawn: its configuration does not allow for it",
        ));
    }
    if !caller.data().started {
        return Err(fault("a process cannot spawn while its start function runs"));
    }
    Ok(())
}

/// The module of this number of the caller, or its own.
fn module(caller: &mut Caller<'_, Ctx>, id: i64) -> wasmtime::Result<Arc<Module>> {
    match id {
        OWN => Ok(caller.data().process().module.clone()),
        id => Ok(state(caller).modules.get("module", id.cast_unsigned())?.clone()),
    }
}

#[expect(clippy::too_many_arguments, reason = "the guest passes them so")]
fn spawn(
    mut caller: Caller<'_, Ctx>,
    link: i64,
    config: i64,
    module_id: i64,
    name: u32,
    name_len: u32,
    arguments: u32,
    arguments_len: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    check_may_spawn(&caller)?;
    let called = Called {
        name: (name, name_len),
        arguments: (arguments, arguments_len),
    };
    let module = module(&mut caller, module_id)?;
    let wanted = Wanted::read(&mut caller, config, module, called, false)?;
    match wanted.make(&caller) {
        Ok(child) => {
            let id = child.id.raw();
            start(&caller, link, child);
            write_long(&mut caller, out, id)?;
            Ok(0)
        }
        Err(why) => failed(&mut caller, out, why),
    }
}

/// Links the child, if that is wanted, and lets it run.
pub(super) fn start(caller: &Caller<'_, Ctx>, link: i64, child: Arc<Process>) {
    let (shared, parent) = (&caller.data().shared, caller.data().process());
    if link != 0 {
        shared.link_tagged(parent, child.id, Some(&child), link, 0);
    }
    shared.scheduler.spawn(child);
}

#[expect(clippy::too_many_arguments, reason = "the guest passes them so")]
fn get_or_spawn(
    mut caller: Caller<'_, Ctx>,
    key: u32,
    key_len: u32,
    link: i64,
    config: i64,
    module_id: i64,
    name: u32,
    name_len: u32,
    arguments: u32,
    arguments_len: u32,
    out_node: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    let key = super::registry::name(&mut caller, key, key_len)?;
    let environment = super::registry::environment(&caller)?;
    let found = environment.names.lock().get(&*key).copied();
    if let Some(place) = found {
        return write_holder(&mut caller, place, out_node, out);
    }
    check_may_spawn(&caller)?;
    super::registry::check_may_name(&caller, &key)?;
    let called = Called {
        name: (name, name_len),
        arguments: (arguments, arguments_len),
    };
    let module = module(&mut caller, module_id)?;
    let wanted = Wanted::read(&mut caller, config, module, called, false)?;
    // From here on nobody else gives the name. The child may use the registry as soon as it runs.
    let mut names = environment.names.lock();
    if let Some(place) = names.get(&*key).copied() {
        drop(names);
        return write_holder(&mut caller, place, out_node, out);
    }
    if names.len() >= NAMES_MAX {
        drop(names);
        return failed(&mut caller, out, format!("there are {NAMES_MAX} names already"));
    }
    match wanted.make(&caller) {
        Ok(child) => {
            let id = child.id.raw();
            names.insert(key.into(), (NODE, id));
            start(&caller, link, child);
            drop(names);
            write_long(&mut caller, out_node, NODE)?;
            write_long(&mut caller, out, id)?;
            Ok(0)
        }
        Err(why) => {
            drop(names);
            failed(&mut caller, out, why)
        }
    }
}

/// The name that was asked for is this one's.
fn write_holder(
    caller: &mut Caller<'_, Ctx>,
    (node, process): Place,
    out_node: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    write_long(caller, out_node, node)?;
    write_long(caller, out, process)?;
    Ok(2)
}

async fn sleep_ms(mut caller: Caller<'_, Ctx>, ms: u64) {
    let wait = Wait::new(&mut caller, process::Wait::Sleep, 0, ms.saturating_mul(1_000_000));
    sleep(&wait).await;
}

fn die_when_link_dies(caller: Caller<'_, Ctx>, dies: i32) {
    caller.data().process().trap_exits(dies == 0);
}

fn process_id(caller: Caller<'_, Ctx>) -> u64 {
    caller.data().process().id.raw()
}

fn link(caller: Caller<'_, Ctx>, tag: i64, id: u64) {
    let (shared, process) = (&caller.data().shared, caller.data().process());
    let other = shared.neighbour(process, id);
    shared.link_tagged(process, Id::from_raw(id), other.as_deref(), tag, tag);
}

fn unlink(caller: Caller<'_, Ctx>, id: u64) {
    let (shared, process) = (&caller.data().shared, caller.data().process());
    let other = shared.neighbour(process, id);
    shared.unlink_tagged(process, Id::from_raw(id), other.as_deref());
}

fn monitor(caller: Caller<'_, Ctx>, id: u64) {
    let (shared, process) = (&caller.data().shared, caller.data().process());
    if let Some(watched) = shared.neighbour(process, id) {
        shared.monitor_once(process, &watched);
    }
}

fn stop_monitoring(caller: Caller<'_, Ctx>, id: u64) {
    let (shared, process) = (&caller.data().shared, caller.data().process());
    shared.monitor_no_more(process, Id::from_raw(id));
}

fn kill(caller: Caller<'_, Ctx>, id: u64) {
    let (shared, process) = (&caller.data().shared, caller.data().process());
    if let Some(victim) = shared.neighbour(process, id) {
        shared.kill(&victim);
    }
}

fn exists(caller: Caller<'_, Ctx>, id: u64) -> i32 {
    let (shared, process) = (&caller.data().shared, caller.data().process());
    i32::from(shared.neighbour(process, id).is_some())
}
