//! `lunatic::process` and `lunatic::module`, the part about spawns that come with options and rights.

use std::sync::Arc;

use lunatic_kernel::SpawnLimit;
use lunatic_kernel::budget::Budget;
use lunatic_kernel::registry::NameRefusal;
use lunatic_kernel::shares::Group;
use lunatic_module::facts::RESERVED_PREFIX;
use lunatic_sys::codes::{
    BAD_CONFIG, BAD_MODULE, CAPTURE_LEN_MAX, CLOSED, CONFIG_LEN_MAX, DENIED, INVALID, LIMIT, NAME_TAKEN, OK, spawn,
};
use lunatic_sys::layout::{RawHandle, SPAWN_OPTIONS_SIZE, SPAWNED_SIZE, SpawnOptions, Spawned};
use wasmtime::{Caller, Linker};

use super::module::Modules;
use super::outputs::Outputs;
use crate::guest_memory;
use crate::instance::Ctx;
use crate::module::Module;
use crate::rights::config::{Config, ConfigError};
use crate::rights::{self, May, Rights, denial};
use crate::spawning::{child_rights, new_process, pay_for_rights};
use crate::wasm::{Captured, Entry, Kernel, Process};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap("lunatic::process", "spawn", spawn)?;
    linker.func_wrap("lunatic::module", "spawn_export", spawn_export)?;
    Ok(())
}

/// Why nothing was spawned.
enum SpawnRefusal {
    Limit(SpawnLimit),
    Name(NameRefusal),
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

fn spawn(
    mut caller: Caller<'_, Ctx>,
    entry: u32,
    captured: u32,
    captured_len: u32,
    options: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    // Bad pointers are a trap whatever else is wrong with the call, and before anything is done.
    guest_memory::slice(&mut caller, options, SPAWN_OPTIONS_SIZE as u32)?;
    guest_memory::slice(&mut caller, out, SPAWNED_SIZE as u32)?;
    let (bytes, ctx) = guest_memory::slice(&mut caller, captured, captured_len)?;
    if bytes.len() > CAPTURE_LEN_MAX {
        ctx.set_buffer(format!("a closure may capture at most {CAPTURE_LEN_MAX} bytes").into_bytes());
        return Ok(LIMIT);
    }
    let entry = Entry::Closure(entry, Captured::from_slice(bytes));
    let module = ctx.module.clone();
    spawn_entry(caller, module, entry, options, out)
}

/// Spawns a process that calls an exported function of a module that was compiled at run time.
fn spawn_export(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    export: u32,
    export_len: u32,
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
    // What the host adds to a module is the host's to call.
    if name.starts_with(RESERVED_PREFIX) || !module.has_entry(&ctx.kernel.host, &name)? {
        ctx.set_buffer(format!("the module exports no function `{name}` that takes and returns nothing").into_bytes());
        return Ok(BAD_MODULE);
    }
    spawn_entry(caller, module, Entry::Export(name.into()), options, out)
}

fn spawn_entry(
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
    let (kernel, parent) = (ctx.kernel.clone(), ctx.process().clone());
    let base = match asked_rights(&mut caller, &parent, &options)? {
        Ok(rights) => rights,
        Err((code, text)) => {
            caller.data_mut().set_buffer(text);
            return Ok(code);
        }
    };
    let ctx = caller.data_mut();
    let captures = captures_output(&parent, &base, &options);
    // Charged before the spawn: there is no child whose output has no room.
    if captures && let Err(why) = Outputs::charge(ctx) {
        ctx.set_buffer(why);
        return Ok(LIMIT);
    }
    let rights = limited(base, &options);
    let trace = ctx.current.trace().clone();
    let make = |rights: Arc<Rights>| Ok(new_process(&kernel, &parent, rights, module, entry, trace)?);
    let child = match make_child(&parent, name.as_deref(), rights, make) {
        Ok(child) => child,
        Err(refusal) => {
            if captures {
                Outputs::give_back(ctx);
            }
            return refuse(&mut caller, refusal, out);
        }
    };
    let reference = relate(&kernel, &parent, &child, &options);
    if captures {
        Outputs::add(ctx, child.id, child.local.rights.wasi.clone());
    }
    // All is set up by now: the child may run, and end, before this returns.
    let handle = kernel.process_address(child.id);
    kernel.begin(child);
    write_spawned(&mut caller, out, handle, reference)?;
    Ok(OK)
}

/// The rights of the child before its limits: those of its parent, or of the configuration that comes with the options; or
/// the code of the refusal and why.
fn asked_rights(
    caller: &mut Caller<'_, Ctx>,
    parent: &Process,
    options: &SpawnOptions,
) -> wasmtime::Result<Result<Arc<Rights>, (i32, String)>> {
    if options.config_len == 0 {
        return Ok(Ok(parent.local.rights.clone()));
    }
    let (bytes, ctx) = guest_memory::slice(caller, u32::try_from(options.config)?, options.config_len)?;
    if bytes.len() > CONFIG_LEN_MAX {
        let text = format!("a configuration has at most {CONFIG_LEN_MAX} bytes");
        return Ok(Err((BAD_CONFIG, text)));
    }
    let bytes = bytes.to_vec();
    Ok(configured(ctx, parent, bytes))
}

/// Whether output of the child is kept for its parent. What the parent itself prints may be kept for another process: a
/// child that shares that keeps nothing of its own.
fn captures_output(parent: &Process, rights: &Rights, options: &SpawnOptions) -> bool {
    options.config_len != 0
        && (0..2).any(|stream| rights.wasi.captured(stream).is_some())
        && !Arc::ptr_eq(&rights.wasi, &parent.local.rights.wasi)
}

/// Makes the child, which is in no queue yet, under its name if it has one.
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

/// The code for a refusal. If another process has the name, that one is written where the child would have been.
fn refuse(caller: &mut Caller<'_, Ctx>, refusal: SpawnRefusal, out: u32) -> wasmtime::Result<i32> {
    match refusal {
        SpawnRefusal::Limit(limit) => {
            caller.data_mut().set_buffer(limit.to_string());
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

/// Sets up what parent and child are to each other, and returns the reference of the monitor, or 0. All of it is there
/// before the child runs, so neither can miss an end of the other.
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

/// Whether the caller may spawn; says so in the buffer and in the log if not.
pub(super) fn may_spawn(ctx: &mut Ctx) -> bool {
    let process = ctx.process();
    let may = process.local.rights.may.contains(May::SPAWN);
    if !may {
        denial::log(process, "may not spawn", "", "");
        ctx.set_buffer(b"the process may not spawn: its parent's configuration did not say `allow=spawn`");
    }
    may
}

/// A configuration as it was used, so that the next spawn with the same one neither reads it nor opens a folder.
#[derive(Default)]
struct LastConfig(Option<UsedConfig>);

/// What a byte of a configuration costs that is kept: an entry of some bytes may become a string or two.
const CONFIG_COST: usize = 16;

struct UsedConfig {
    bytes: Vec<u8>,
    config: Config,
    rights: Arc<Rights>,
}

/// The rights of a child for which the caller asks for the configuration in `bytes`; or the code of the refusal and why.
fn configured(ctx: &mut Ctx, parent: &Process, bytes: Vec<u8>) -> Result<Arc<Rights>, (i32, String)> {
    if !parent.local.rights.may.contains(May::CONFIGURE) {
        denial::log(parent, "may not configure a child", "", "");
        let text = "the process may not configure a child: its parent's configuration did not say `allow=configure`";
        return Err((DENIED, text.into()));
    }
    let kernel = ctx.kernel.clone();
    // The last configuration is compared as bytes: a supervisor or server spawns with the same one again and again.
    let LastConfig(last) = ctx.state(LastConfig::default);
    if let Some(used) = last.as_ref().filter(|used| used.bytes == bytes) {
        let Some(limits) = used.config.budget else {
            return Ok(used.rights.clone());
        };
        // The other rights can be shared, but each child has a budget of its own, and shares with nobody.
        let mut rights = Rights::clone(&used.rights);
        let budget = Budget::new(parent.local.rights.budget.clone(), rights::caps(limits), kernel.now());
        rights.budget = Some(budget.map_err(|error| (DENIED, error.to_string()))?);
        rights.group = Group::within(&parent.local.rights.group);
        return Ok(Arc::new(rights));
    }
    let bad = |error: ConfigError| (BAD_CONFIG, error.to_string());
    let config = Config::from_bytes(&bytes).map_err(bad)?;
    config.check_extensions(&kernel.host.extensions.names()).map_err(bad)?;
    let mut rights = child_rights(&kernel, parent, &config).map_err(|denied| {
        denial::log(parent, &format!("may not configure a child so: {denied}"), "", "");
        (DENIED, denied.to_string())
    })?;
    // Kept twice for the next spawn: as it was written, and as it was read, with a word or two for each entry.
    let kept = bytes.len() * CONFIG_COST;
    pay_for_rights(&mut rights, parent, kept).map_err(|exhausted| (LIMIT, exhausted.to_string()))?;
    let rights = Arc::new(rights);
    if config.captures() {
        // What one child prints is not to be mixed with what the next one does.
        return Ok(rights);
    }
    *last = Some(UsedConfig {
        bytes,
        config,
        rights: rights.clone(),
    });
    Ok(rights)
}

/// The rights, with the limits of these options.
fn limited(base: Arc<Rights>, options: &SpawnOptions) -> Arc<Rights> {
    let own_scope = options.flags & spawn::NEW_SCOPE != 0;
    if !own_scope && options.max_memory == 0 && options.mailbox_max == 0 {
        return base;
    }
    let mut rights = Rights::clone(&base);
    let least = |limit: &mut usize, asked: u64| {
        if asked != 0 {
            *limit = usize::try_from(asked).unwrap_or(usize::MAX).min(*limit);
        }
    };
    least(&mut rights.max_memory, options.max_memory);
    least(&mut rights.mailbox_max, options.mailbox_max);
    if own_scope {
        rights.scope = Arc::default();
    }
    Arc::new(rights)
}

fn write_spawned(caller: &mut Caller<'_, Ctx>, out: u32, handle: RawHandle, reference: u64) -> wasmtime::Result<()> {
    let spawned = Spawned {
        process: handle,
        reference,
    };
    guest_memory::write(caller, out, &spawned.encode())
}
