//! `lunatic::process`, the part about ends: exits, links, monitors, and spawns that begin with them.

use std::sync::Arc;

use lunatic_sys::codes::{
    BAD_CONFIG, BAD_MODULE, CAPTURE_LEN_MAX, CLOSED, CONFIG_LEN_MAX, DENIED, INVALID, LIMIT, NAME_TAKEN, OK,
    REASON_HEAD_LEN, REASON_TEXT_LEN_MAX, spawn,
};
use lunatic_sys::layout::{RawHandle, SPAWN_OPTIONS_SIZE, SPAWNED_SIZE};
use wasmtime::{Caller, Linker};

use super::process::{check_handle, write_handle};
use crate::ending::Exited;
use crate::guest_memory;
use crate::instance::Ctx;
use crate::module::Module;
use crate::module::facts::RESERVED_PREFIX;
use crate::process::exit::ExitReason;
use crate::process::registry::NameRefusal;
use crate::process::signals::Fate;
use crate::process::{Captured, Entry, Process};
use crate::rights::budget::Budget;
use crate::rights::config::Config;
use crate::rights::{May, Rights, denial};
use crate::shared::SpawnLimit;
use crate::wasi::context::CAPTURED_MAX;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::process";
    linker.func_wrap(namespace, "spawn", spawn)?;
    linker.func_wrap("lunatic::module", "spawn_export", spawn_export)?;
    linker.func_wrap(namespace, "exit", exit)?;
    linker.func_wrap(namespace, "exit_signal", exit_signal)?;
    linker.func_wrap(namespace, "link", link)?;
    linker.func_wrap(namespace, "unlink", unlink)?;
    linker.func_wrap(namespace, "monitor", monitor)?;
    linker.func_wrap(namespace, "demonitor", demonitor)?;
    linker.func_wrap(namespace, "trap_exit", trap_exit)?;
    linker.func_wrap(namespace, "parent", parent)?;
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
    guest_memory::slice(&mut caller, options, SPAWN_OPTIONS_SIZE as u32)?;
    guest_memory::slice(&mut caller, out, SPAWNED_SIZE as u32)?;
    let (bytes, ctx) = guest_memory::slice(&mut caller, captured, captured_len)?;
    if bytes.len() > CAPTURE_LEN_MAX {
        ctx.buffer = format!("a closure may capture at most {CAPTURE_LEN_MAX} bytes").into_bytes();
        return Ok(LIMIT);
    }
    let entry = Entry::Closure(entry, Captured::from_slice(bytes));
    let module = ctx.process().module.clone();
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
    let Some(id) = ctx.shared.module_keys.check(id, key) else {
        return Ok(INVALID);
    };
    let Some(module) = ctx.shared.modules.get(id).map(|module| Arc::clone(&module)) else {
        return Ok(CLOSED);
    };
    let name = String::from_utf8_lossy(&name).into_owned();
    // What the host adds to a module is the host's to call.
    if name.starts_with(RESERVED_PREFIX) || !module.has_entry(&ctx.shared, &name)? {
        ctx.buffer = format!("the module exports no function `{name}` that takes and returns nothing").into_bytes();
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
    guest_memory::slice(&mut caller, out, SPAWNED_SIZE as u32)?;
    let options = Options::read(guest_memory::slice(&mut caller, options, SPAWN_OPTIONS_SIZE as u32)?.0);
    let name = match options.name_len {
        0 => None,
        len => Some(super::registry::name(&mut caller, u32::try_from(options.name)?, len)?),
    };
    let ctx = caller.data_mut();
    if !may_spawn(ctx) || name.as_ref().is_some_and(|name| !super::registry::may_name(ctx, name)) {
        return Ok(DENIED);
    }
    let (shared, parent) = (ctx.shared.clone(), ctx.process().clone());
    let base = match options.config_len {
        0 => parent.rights.clone(),
        len => {
            let bytes = guest_memory::slice(&mut caller, u32::try_from(options.config)?, len)?
                .0
                .to_vec();
            match configured(caller.data_mut(), &parent, bytes) {
                Ok(rights) => rights,
                Err((code, text)) => {
                    caller.data_mut().buffer = text.into_bytes();
                    return Ok(code);
                }
            }
        }
    };
    let ctx = caller.data_mut();
    let captures = options.config_len != 0
        && (0..2).any(|stream| base.wasi.captured(stream).is_some())
        && !Arc::ptr_eq(&base.wasi, &parent.rights.wasi);
    if captures {
        if ctx.outputs.len() >= CAPTURES_MAX {
            ctx.buffer = format!("the process holds the output of {CAPTURES_MAX} children: take it").into_bytes();
            return Ok(LIMIT);
        }
        if let Err(exhausted) = ctx.limits.charge(CAPTURE_COST) {
            ctx.limits.out_of_memory = false;
            ctx.buffer = exhausted.into_bytes();
            return Ok(LIMIT);
        }
    }
    let rights = options.limit(base);
    let scope = rights.scope.clone();
    let make = || Ok::<_, SpawnRefusal>(shared.new_process(&parent, rights, module, entry)?);
    let made = match &name {
        Some(name) => scope.register(name, make),
        None => make(),
    };
    if captures && made.is_err() {
        ctx.limits.give_back(CAPTURE_COST);
    }
    let child = match made {
        Ok(child) => child,
        Err(SpawnRefusal::Limit(limit)) => {
            ctx.buffer = limit.to_string().into_bytes();
            return Ok(LIMIT);
        }
        Err(SpawnRefusal::Name(NameRefusal::Taken(holder))) => {
            let handle = shared.process_keys.handle(holder);
            write_spawned(&mut caller, out, handle, 0)?;
            return Ok(NAME_TAKEN);
        }
        Err(SpawnRefusal::Name(NameRefusal::Ended)) => unreachable!("a process that is in no queue has not ended"),
    };
    if options.flags & spawn::TRAP_EXIT != 0 {
        child.trap_exits(true);
    }
    if options.flags & spawn::LINK != 0 {
        shared.link(&parent, child.id);
    }
    let reference = match options.flags & spawn::MONITOR {
        0 => 0,
        _ => shared.monitor(&parent, child.id, options.monitor_tag),
    };
    if captures {
        ctx.outputs.push((child.id, child.rights.wasi.clone()));
    }
    let handle = shared.process_keys.handle(child.id);
    shared.scheduler.spawn(child);
    write_spawned(&mut caller, out, handle, reference)?;
    Ok(OK)
}

/// Whether the caller may spawn; says so in the buffer and in the log if not.
pub(super) fn may_spawn(ctx: &mut Ctx) -> bool {
    let process = ctx.process();
    let may = process.rights.may.contains(May::SPAWN);
    if !may {
        denial::log(process, "may not spawn", "", "");
        ctx.buffer = b"the process may not spawn: its parent's configuration did not say `allow=spawn`".to_vec();
    }
    may
}

/// The output of so many children is kept for one process.
const CAPTURES_MAX: usize = 1024;
/// What that costs it of its budget, for each child.
pub(super) const CAPTURE_COST: usize = 2 * CAPTURED_MAX;

/// A configuration as it was used, so that the next spawn with the same one neither reads it nor opens a folder.
pub(crate) struct UsedConfig {
    bytes: Vec<u8>,
    config: Config,
    rights: Arc<Rights>,
}

/// The rights of a child for which the caller asks for the configuration in `bytes`; or the code of the refusal and why.
fn configured(ctx: &mut Ctx, parent: &Process, bytes: Vec<u8>) -> Result<Arc<Rights>, (i32, String)> {
    if !parent.rights.may.contains(May::CONFIGURE) {
        denial::log(parent, "may not configure a child", "", "");
        let text = "the process may not configure a child: its parent's configuration did not say `allow=configure`";
        return Err((DENIED, text.into()));
    }
    if let Some(used) = ctx.config.as_ref().filter(|used| used.bytes == bytes) {
        let Some(caps) = used.config.budget else {
            return Ok(used.rights.clone());
        };
        let mut rights = Rights::clone(&used.rights);
        rights.budget = Some(Budget::new(parent.rights.budget.clone(), caps));
        return Ok(Arc::new(rights));
    }
    if bytes.len() > CONFIG_LEN_MAX {
        return Err((
            BAD_CONFIG,
            format!("a configuration has at most {CONFIG_LEN_MAX} bytes"),
        ));
    }
    let config = Config::from_bytes(&bytes).map_err(|error| (BAD_CONFIG, error.to_string()))?;
    let has_stdin = parent.rights.wasi.has_stdin(parent.system.is_main(parent.id));
    let rights = parent.rights.narrowed(&config, has_stdin).map_err(|denied| {
        denial::log(parent, &format!("may not configure a child so: {denied}"), "", "");
        (DENIED, denied.to_string())
    })?;
    let rights = Arc::new(rights);
    if config.captures() {
        // What one child prints is not to be mixed with what the next one does.
        return Ok(rights);
    }
    ctx.config = Some(Box::new(UsedConfig {
        bytes,
        config,
        rights: rights.clone(),
    }));
    Ok(rights)
}

/// [`lunatic_sys::layout::SpawnOptions`] as the guest wrote it.
struct Options {
    flags: u32,
    name_len: u32,
    name: u64,
    max_memory: u64,
    mailbox_max: u64,
    monitor_tag: u64,
    config: u64,
    config_len: u32,
}

impl Options {
    fn read(bytes: &[u8]) -> Self {
        let u32 = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64 = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Self {
            flags: u32(0),
            name_len: u32(4),
            name: u64(8),
            max_memory: u64(16),
            mailbox_max: u64(24),
            monitor_tag: u64(32),
            config: u64(40),
            config_len: u32(48),
        }
    }

    /// The rights, with the limits of these options.
    fn limit(&self, base: Arc<Rights>) -> Arc<Rights> {
        let own_scope = self.flags & spawn::NEW_SCOPE != 0;
        if !own_scope && self.max_memory == 0 && self.mailbox_max == 0 {
            return base;
        }
        let mut rights = Rights::clone(&base);
        let least = |limit: &mut usize, asked: u64| {
            if asked != 0 {
                *limit = usize::try_from(asked).unwrap_or(usize::MAX).min(*limit);
            }
        };
        least(&mut rights.max_memory, self.max_memory);
        least(&mut rights.mailbox_max, self.mailbox_max);
        if own_scope {
            rights.scope = Arc::default();
        }
        Arc::new(rights)
    }
}

fn write_spawned(caller: &mut Caller<'_, Ctx>, out: u32, handle: RawHandle, reference: u64) -> wasmtime::Result<()> {
    write_handle(caller, out, handle)?;
    let bytes = guest_memory::slice(caller, out, SPAWNED_SIZE as u32)?.0;
    bytes[16..].copy_from_slice(&reference.to_le_bytes());
    Ok(())
}

/// The reason that a guest wrote.
fn read_reason(caller: &mut Caller<'_, Ctx>, reason: u32, len: u32) -> wasmtime::Result<ExitReason> {
    let bytes = guest_memory::slice(caller, reason, len)?.0;
    if bytes.len() > REASON_HEAD_LEN + REASON_TEXT_LEN_MAX {
        let text = format!("the text of a reason has at most {REASON_TEXT_LEN_MAX} bytes");
        return Err(wasmtime::Error::msg(text));
    }
    ExitReason::from_bytes(bytes).ok_or_else(|| wasmtime::Error::msg("these are no reason bytes"))
}

/// What a signal to the caller itself does to it.
fn follow(fate: Fate) -> wasmtime::Result<i32> {
    match fate {
        Fate::Lives => Ok(OK),
        Fate::Ends(reason) => Err(Exited(reason).into()),
    }
}

fn exit(mut caller: Caller<'_, Ctx>, reason: u32, len: u32) -> wasmtime::Result<()> {
    let reason = read_reason(&mut caller, reason, len)?;
    Err(Exited(reason).into())
}

fn exit_signal(mut caller: Caller<'_, Ctx>, id: u64, key: u64, reason: u32, len: u32) -> wasmtime::Result<i32> {
    let reason = read_reason(&mut caller, reason, len)?;
    let ctx = caller.data();
    let Some(id) = ctx.shared.process_keys.check(id, key) else {
        return Ok(INVALID);
    };
    follow(ctx.shared.send_exit(ctx.process(), id, &reason))
}

fn link(caller: Caller<'_, Ctx>, id: u64, key: u64) -> wasmtime::Result<i32> {
    let ctx = caller.data();
    let Some(id) = ctx.shared.process_keys.check(id, key) else {
        return Ok(INVALID);
    };
    follow(ctx.shared.link(ctx.process(), id))
}

fn unlink(caller: Caller<'_, Ctx>, id: u64, key: u64) -> i32 {
    let ctx = caller.data();
    let Some(id) = ctx.shared.process_keys.check(id, key) else {
        return INVALID;
    };
    ctx.shared.unlink(ctx.process(), id);
    OK
}

fn monitor(mut caller: Caller<'_, Ctx>, id: u64, key: u64, tag: u64, out: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, out, 8)?;
    let ctx = caller.data();
    let Some(id) = ctx.shared.process_keys.check(id, key) else {
        return Ok(INVALID);
    };
    let reference = ctx.shared.monitor(ctx.process(), id, tag);
    guest_memory::write(&mut caller, out, &reference.to_le_bytes())?;
    Ok(OK)
}

fn demonitor(caller: Caller<'_, Ctx>, reference: u64, flush: i32) -> i32 {
    let ctx = caller.data();
    i32::from(ctx.shared.demonitor(ctx.process(), reference, flush != 0))
}

fn trap_exit(caller: Caller<'_, Ctx>, on: i32) -> i32 {
    i32::from(caller.data().process().trap_exits(on != 0))
}

fn parent(mut caller: Caller<'_, Ctx>, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let ctx = caller.data();
    let Some(parent) = ctx.process().parent else {
        return Ok(CLOSED);
    };
    let handle = ctx.shared.process_keys.handle(parent);
    write_handle(&mut caller, out, handle)?;
    Ok(OK)
}
