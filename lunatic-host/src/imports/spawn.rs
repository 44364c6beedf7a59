//! `lunatic::process` and `lunatic::module`, the part about spawns with options and rights.

use std::sync::Arc;

use lunatic_kernel::SpawnLimit;
use lunatic_kernel::address::Id;
use lunatic_kernel::registry::NameRefusal;
use lunatic_module::facts::RESERVED_PREFIX;
use lunatic_sys::codes::{
    BAD_MODULE, CAPTURE_LEN_MAX, CLOSED, CONFIG_LEN_MAX, DENIED, INVALID, LIMIT, NAME_TAKEN, OK, spawn,
};
use lunatic_sys::layout::{RawHandle, SPAWN_OPTIONS_SIZE, SPAWNED_SIZE, SpawnOptions, Spawned};
use wasmtime::{Caller, Linker};

use super::configuration::{self, Outcome};
use super::module::Modules;
use super::outputs::Outputs;
use super::wasi::blocking;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::module::Module;
use crate::rights::{May, Rights, denial};
use crate::spawning::{limited, new_process};
use crate::wasm::{Captured, Entry, Kernel, Process};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.timed_async(
        "lunatic::process",
        "spawn",
        |caller, (entry, captured, captured_len, options, out)| {
            Box::new(spawn(caller, entry, (captured, captured_len), options, out))
        },
    )?;
    linker.timed_async(
        "lunatic::module",
        "spawn_export",
        |caller, (id, key, export, export_len, options, out)| {
            Box::new(spawn_export(caller, (id, key), (export, export_len), options, out))
        },
    )?;
    Ok(())
}

/// Why nothing was spawned.
pub(super) enum SpawnRefusal {
    Limit(SpawnLimit),
    Name(NameRefusal),
    /// There is no room for the output of the child, in words.
    Output(String),
}

impl From<NameRefusal> for SpawnRefusal {
    fn from(refusal: NameRefusal) -> Self {
        Self::Name(refusal)
    }
}

impl From<SpawnLimit> for SpawnRefusal {
    fn from(limit: SpawnLimit) -> Self {
        Self::Limit(limit)
    }
}

async fn spawn(
    mut caller: Caller<'_, Ctx>,
    entry: u32,
    (captured, captured_len): (u32, u32),
    options: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    // Invalid pointers trap, whatever else is wrong with the call, and before it has any effect.
    guest_memory::slice(&mut caller, options, SPAWN_OPTIONS_SIZE as u32)?;
    guest_memory::slice(&mut caller, out, SPAWNED_SIZE as u32)?;
    let (bytes, ctx) = guest_memory::slice(&mut caller, captured, captured_len)?;
    if bytes.len() > CAPTURE_LEN_MAX {
        ctx.set_buffer(format!("a closure may capture at most {CAPTURE_LEN_MAX} bytes").into_bytes());
        return Ok(LIMIT);
    }
    let entry = Entry::Closure(entry, Captured::from_slice(bytes));
    let module = ctx.module.clone();
    spawn_entry(caller, module, entry, options, out).await
}

/// Spawns a process that calls an exported function of a module that was compiled at run time.
async fn spawn_export(
    mut caller: Caller<'_, Ctx>,
    (id, key): (u64, u64),
    (export, export_len): (u32, u32),
    options: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    let name = super::registry::name(&mut caller, export, export_len)?;
    guest_memory::slice(&mut caller, options, SPAWN_OPTIONS_SIZE as u32)?;
    guest_memory::slice(&mut caller, out, SPAWNED_SIZE as u32)?;
    let ctx = caller.data_mut();
    let modules = Modules::of(&ctx.kernel);
    let Some(id) = modules.check(id, key) else {
        return Ok(INVALID);
    };
    let Some(module) = modules.get(id) else {
        return Ok(CLOSED);
    };
    let name = String::from_utf8_lossy(&name).into_owned();
    // Only the host may call what it has added to a module.
    if name.starts_with(RESERVED_PREFIX) || !module.has_entry(&ctx.kernel.host, &name)? {
        ctx.set_buffer(format!("the module exports no function `{name}` without parameters and results").into_bytes());
        return Ok(BAD_MODULE);
    }
    spawn_entry(caller, module, Entry::Export(name.into()), options, out).await
}

pub(super) async fn spawn_entry(
    mut caller: Caller<'_, Ctx>,
    module: Arc<Module>,
    entry: Entry,
    options: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    guest_memory::slice(&mut caller, out, SPAWNED_SIZE as u32)?;
    let options = SpawnOptions::decode(&guest_memory::read(&mut caller, options)?);
    let name = match options.name_len {
        0 => None,
        len => Some(super::registry::name(&mut caller, u32::try_from(options.name)?, len)?),
    };
    let ctx = caller.data_mut();
    if !may_spawn(ctx) || name.as_ref().is_some_and(|name| !super::registry::may_name(ctx, name)) {
        return Ok(DENIED);
    }
    let parent = ctx.process().clone();
    let base = match asked_rights(&mut caller, &parent, &options).await? {
        Ok(rights) => rights,
        Err((code, text)) => {
            caller.data_mut().set_buffer(text);
            return Ok(code);
        }
    };
    match spawn_child(caller.data_mut(), base, (module, entry), name.as_deref(), &options) {
        Ok((child, reference)) => {
            let handle = caller.data().kernel.process_address(child);
            write_spawned(&mut caller, out, handle, reference)?;
            Ok(OK)
        }
        Err(refusal) => refuse(&mut caller, refusal, out),
    }
}

/// Spawns a child of the caller with these rights, and the limits of the options; the caller [may](may_spawn) do that, and
/// give the name. Returns the child, and the reference of the monitor or 0.
pub(super) fn spawn_child(
    ctx: &mut Ctx,
    base: Arc<Rights>,
    (module, entry): (Arc<Module>, Entry),
    name: Option<&[u8]>,
    options: &SpawnOptions,
) -> Result<(Id, u64), SpawnRefusal> {
    let (kernel, parent) = (ctx.kernel.clone(), ctx.process().clone());
    let captures = captures_output(&parent, &base, options);
    // This comes before the spawn, so that no child exists without room for its output.
    if captures {
        Outputs::charge(ctx, &base.wasi).map_err(SpawnRefusal::Output)?;
    }
    let own_scope = options.flags & spawn::NEW_SCOPE != 0;
    let rights = limited(base, own_scope, options.max_memory, options.mailbox_max);
    let trace = ctx.current.trace().clone();
    let make = |rights: Arc<Rights>| Ok(new_process(&kernel, &parent, rights, module, entry, trace)?);
    let child = make_child(&parent, name, rights, make)?;
    let reference = relate(&kernel, &parent, &child, options);
    if captures {
        Outputs::add(ctx, child.id, child.local.rights.wasi.clone());
    }
    // Everything is set up now: the child may run, and even end, before this returns.
    let id = child.id;
    kernel.begin(child);
    Ok((id, reference))
}

/// The rights of the child before its limits are applied: those of its parent, or those of the configuration in the
/// options.
async fn asked_rights(
    caller: &mut Caller<'_, Ctx>,
    parent: &Arc<Process>,
    options: &SpawnOptions,
) -> wasmtime::Result<Outcome> {
    if options.config_len == 0 {
        return Ok(Ok(parent.local.rights.clone()));
    }
    let (bytes, _) = guest_memory::slice(caller, u32::try_from(options.config)?, options.config_len)?;
    if bytes.len() > CONFIG_LEN_MAX {
        return Ok(Err(configuration::too_long()));
    }
    let bytes = bytes.to_vec();
    configured(caller, bytes).await
}

/// Whether output of the child is captured for its parent. If output of the parent itself is captured for another
/// process, a child that shares that output has nothing captured.
fn captures_output(parent: &Process, rights: &Rights, options: &SpawnOptions) -> bool {
    options.config_len != 0
        && (0..2).any(|stream| rights.wasi.captured(stream).is_some())
        && !Arc::ptr_eq(&rights.wasi, &parent.local.rights.wasi)
}

/// Makes the child, which is in no queue yet, and registers its name if it has one.
fn make_child(
    parent: &Arc<Process>,
    name: Option<&[u8]>,
    rights: Arc<Rights>,
    make: impl FnOnce(Arc<Rights>) -> Result<Arc<Process>, SpawnRefusal>,
) -> Result<Arc<Process>, SpawnRefusal> {
    let scope = rights.scope.clone();
    let make = || make(rights);
    match name {
        Some(name) => scope.register(name, parent, make),
        None => make(),
    }
}

/// The code for a refusal. If another process has the name, the handle of that process is written in place of the
/// child's.
fn refuse(caller: &mut Caller<'_, Ctx>, refusal: SpawnRefusal, out: u32) -> wasmtime::Result<i32> {
    match refusal {
        SpawnRefusal::Limit(limit) => {
            caller.data_mut().set_buffer(limit.to_string());
            Ok(LIMIT)
        }
        SpawnRefusal::Output(why) => {
            caller.data_mut().set_buffer(why);
            Ok(LIMIT)
        }
        SpawnRefusal::Name(NameRefusal::Taken(holder)) => {
            let handle = caller.data().kernel.process_address(holder);
            write_spawned(caller, out, handle, 0)?;
            Ok(NAME_TAKEN)
        }
        SpawnRefusal::Name(NameRefusal::TooMany) => Ok(super::registry::too_many(caller.data_mut())),
        SpawnRefusal::Name(NameRefusal::Ended) => {
            unreachable!("a process that is in no queue has not ended")
        }
    }
}

/// Sets up the relations of parent and child, and returns the reference of the monitor, or 0. They exist before the
/// child runs, so neither can miss the end of the other.
fn relate(kernel: &Kernel, parent: &Arc<Process>, child: &Process, options: &SpawnOptions) -> u64 {
    if options.flags & spawn::TRAP_EXIT != 0 {
        child.trap_exits(true);
    }
    if options.flags & spawn::LINK != 0 {
        kernel.link(parent, child.id);
    }
    match options.flags & spawn::MONITOR {
        0 => 0,
        _ => kernel.monitor(parent, child.id, options.monitor_tag),
    }
}

/// Whether the caller may spawn; if not, leaves a text in the buffer and logs the denial.
pub(super) fn may_spawn(ctx: &mut Ctx) -> bool {
    let process = ctx.process();
    let may = process.local.rights.may.contains(May::SPAWN);
    if !may {
        denial::log(process, "may not spawn", "", "");
        ctx.set_buffer(b"the process may not spawn: the configuration that it was spawned with has no `allow=spawn`");
    }
    may
}

/// The rights of a child for which the caller passes the configuration in `bytes`.
async fn configured(caller: &mut Caller<'_, Ctx>, bytes: Vec<u8>) -> wasmtime::Result<Outcome> {
    let narrowing = match configuration::begin(caller.data_mut(), bytes) {
        Ok(narrowing) => narrowing,
        Err(known) => return Ok(known),
    };
    let narrowed = if narrowing.opens_folders() {
        let _waits = match narrowing.pay_while_waiting() {
            Ok(paid) => paid,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let work = narrowing.work();
        let permit = blocking::permit(caller).await;
        blocking::work(caller, permit, work).await?
    } else {
        narrowing.work()()
    };
    Ok(narrowing.finish(caller.data_mut(), narrowed))
}

pub(super) fn write_spawned(
    caller: &mut Caller<'_, Ctx>,
    out: u32,
    handle: RawHandle,
    reference: u64,
) -> wasmtime::Result<()> {
    let spawned = Spawned {
        process: handle,
        reference,
    };
    guest_memory::write(caller, out, &spawned.encode())
}
