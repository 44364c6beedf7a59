//! `lunatic::process`: modules, configurations, spawns, links and monitors.

use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::Module;
use lunatic_host::imports::module::load;
use lunatic_host::imports::wait::{show, wait};
use lunatic_host::rights::{May, Rights, denial};
use lunatic_host::spawning::new_process;
use lunatic_host::wasm::{Argument, Call, Entry, Process};
use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::wait::sleep;
use wasmtime::{Caller, Linker};

use super::{bytes, failed, failed_with, fault, keep, state, text, write_long};
use crate::config::Config;
use crate::environment::{NODE, NUMBER, Place, neighbour};
use crate::links;

/// The size of one argument in the guest's memory, in bytes.
const ARGUMENT_SIZE: usize = 17;
/// The number for the caller's own configuration or module.
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
    /// Adds a getter and a setter for one field.
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

/// A configuration, for changes that do not add texts.
pub(super) fn config<'a>(caller: &'a mut Caller<'_, Ctx>, id: u64) -> wasmtime::Result<&'a mut Config> {
    Ok(state(caller).configs.get_mut("configuration", id)?)
}

fn is_set(value: i32) -> bool {
    value != 0
}

/// Whether the caller has this right; if not, the log reports it.
fn may(caller: &Caller<'_, Ctx>, what: May, name: &str) -> bool {
    let process = caller.data().process();
    let may = process.local.rights().may.contains(what);
    if !may {
        denial::log(process, name, "", "");
    }
    may
}

async fn compile_module(mut caller: Caller<'_, Ctx>, wasm: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    if !may(&caller, May::COMPILE, "may not compile modules") {
        return Ok(-1);
    }
    match load(&mut caller, wasm, len).await? {
        Ok(module) => {
            let id = keep(&mut caller, |state| &mut state.modules, "module", module)?;
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
    let config = Config::default();
    let id = keep(&mut caller, |state| &mut state.configs, "configuration", config)?;
    Ok(id.cast_signed())
}

fn drop_config(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<()> {
    state(&mut caller).configs.remove("configuration", id)?;
    Ok(())
}

/// A requested process that the caller may spawn.
pub(super) struct Wanted {
    pub(super) rights: Arc<Rights>,
    pub(super) module: Arc<Module>,
    pub(super) call: Call,
}

/// A function and its arguments, as pointers and lengths that a guest has written.
#[derive(Clone, Copy)]
pub(super) struct Called {
    pub(super) name: (u32, u32),
    pub(super) arguments: (u32, u32),
}

impl Wanted {
    /// Reads a request of the guest. Traps if it is not valid.
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
            OWN => process.local.rights().clone(),
            id => {
                let config = self::config(caller, id.cast_unsigned())?.clone();
                config
                    .rights(caller.data().kernel(), &process)
                    .map_err(|denied| fault(denied.to_string()))?
            }
        };
        let call = Call {
            name: name.into(),
            arguments,
        };
        Ok(Self { rights, module, call })
    }

    /// Makes the process, links it if `link` is not 0, and lets it run. Returns its id, or why there is none.
    pub(super) fn start(self, caller: &Caller<'_, Ctx>, link: i64) -> Result<u64, String> {
        let child = self.make(caller)?;
        let (kernel, parent) = (caller.data().kernel(), caller.data().process());
        let id = child.id;
        // Before it runs, so that the parent is notified even of a very early end of the child.
        if link != 0 {
            links::link(kernel, parent, id, Some(&child), link, 0);
        }
        kernel.begin(child);
        Ok(id.raw())
    }

    /// Makes the process, which is not in a queue yet. The error says why there is none.
    fn make(self, caller: &Caller<'_, Ctx>) -> Result<Arc<Process>, String> {
        let Self { rights, module, call } = self;
        let memory = module.memory_min();
        if memory > rights.max_memory as u64 {
            let max = rights.max_memory;
            return Err(format!(
                "the module needs {memory} bytes of memory from the start, but the process can have at most {max}"
            ));
        }
        let ctx = caller.data();
        let entry = Entry::Call(Box::new(call));
        let made = new_process(ctx.kernel(), ctx.process(), rights, module, entry, None);
        made.map_err(|limit| limit.to_string())
    }
}

/// Reads arguments of 17 bytes: a type, and 16 bytes whose lowest part counts. If `may_be_cut`, ignores an incomplete
/// argument at the end.
fn arguments(bytes: &[u8], may_be_cut: bool) -> wasmtime::Result<Vec<Argument>> {
    let chunks = bytes.chunks_exact(ARGUMENT_SIZE);
    if !may_be_cut && !chunks.remainder().is_empty() {
        return Err(fault(format!(
            "the arguments of a process take up {ARGUMENT_SIZE} bytes each, but these have {}",
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

/// Traps unless the caller may spawn now.
pub(super) fn check_may_spawn(caller: &Caller<'_, Ctx>) -> wasmtime::Result<()> {
    if !may(caller, May::SPAWN, "may not spawn") {
        return Err(fault("the process may not spawn: its configuration does not allow it"));
    }
    if !caller.data().has_started() {
        return Err(fault("a process cannot spawn while its start function runs"));
    }
    Ok(())
}

/// The caller's module with this number, or the one that it runs.
fn module(caller: &mut Caller<'_, Ctx>, id: i64) -> wasmtime::Result<Arc<Module>> {
    match id {
        OWN => Ok(caller.data().process().local.module()),
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
    let started = Wanted::read(&mut caller, config, module, called, false)?.start(&caller, link);
    answer_spawn(&mut caller, started, out, 1)
}

/// The status of a spawn. Writes the id of the child; or keeps the reason of the failure for the guest, and returns
/// `code`.
pub(super) fn answer_spawn(
    caller: &mut Caller<'_, Ctx>,
    started: Result<u64, String>,
    out: u32,
    code: i32,
) -> wasmtime::Result<i32> {
    match started {
        Ok(id) => {
            write_long(caller, out, id)?;
            Ok(0)
        }
        Err(why) => failed_with(caller, out, code, why),
    }
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
    let found = environment.names.lock().get(&key);
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
    // As long as this is locked, nobody else can give the name. The child may run immediately, but cannot look up the
    // name before it is there.
    let mut names = environment.names.lock();
    // Another process may have given the name since it was looked up above, when the lock was free.
    if let Some(place) = names.get(&key) {
        drop(names);
        return write_holder(&mut caller, place, out_node, out);
    }
    let paid = match names.pay(caller.data().process(), &key) {
        Ok(paid) => paid,
        Err(why) => {
            drop(names);
            return failed(&mut caller, out, why);
        }
    };
    let started = wanted.start(&caller, link);
    if let Ok(id) = started {
        names.put(&key, (NODE, id), paid);
    }
    drop(names);
    if started.is_ok() {
        write_long(&mut caller, out_node, NODE)?;
    }
    answer_spawn(&mut caller, started, out, 1)
}

/// Answers with the process that already has the name.
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
    let waiting = wait(&mut caller, WaitFor::Sleep, Id::NONE, ms.saturating_mul(1_000_000));
    show(&caller, sleep(&waiting)).await;
}

fn die_when_link_dies(caller: Caller<'_, Ctx>, dies: i32) {
    caller.data().process().trap_exits(dies == 0);
}

fn process_id(caller: Caller<'_, Ctx>) -> u64 {
    caller.data().process().id.raw()
}

fn link(caller: Caller<'_, Ctx>, tag: i64, id: u64) {
    let (kernel, process) = (caller.data().kernel(), caller.data().process());
    let other = neighbour(kernel, process, id);
    links::link(kernel, process, Id::from_raw(id), other.as_ref(), tag, tag);
}

fn unlink(caller: Caller<'_, Ctx>, id: u64) {
    let (kernel, process) = (caller.data().kernel(), caller.data().process());
    let other = neighbour(kernel, process, id);
    links::unlink(kernel, process, Id::from_raw(id), other.as_deref());
}

fn monitor(caller: Caller<'_, Ctx>, id: u64) {
    let (kernel, process) = (caller.data().kernel(), caller.data().process());
    if let Some(watched) = neighbour(kernel, process, id) {
        links::monitor(kernel, process, watched.id);
    }
}

fn stop_monitoring(caller: Caller<'_, Ctx>, id: u64) {
    let (kernel, process) = (caller.data().kernel(), caller.data().process());
    links::stop_monitoring(kernel, process, Id::from_raw(id));
}

fn kill(caller: Caller<'_, Ctx>, id: u64) {
    let (kernel, process) = (caller.data().kernel(), caller.data().process());
    if let Some(victim) = neighbour(kernel, process, id) {
        kernel.kill(&victim);
    }
}

fn exists(caller: Caller<'_, Ctx>, id: u64) -> i32 {
    let (kernel, process) = (caller.data().kernel(), caller.data().process());
    i32::from(neighbour(kernel, process, id).is_some())
}
