//! `lunatic::process`.

use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::connections::until_room;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::wait::{poll_until, sleep};
use lunatic_sys::codes::{CAPTURE_LEN_MAX, DENIED, FULL, INVALID, LIMIT, OK, TIMED_OUT};
use lunatic_sys::layout::RawHandle;
use wasmtime::{Caller, Linker};

use super::handle::{check_handle, write_handle};
use super::mailbox::take;
use super::pieces;
use super::wait::{show, wait};
use crate::ending::Exited;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::{self, Ctx};
use crate::spawning::new_process;
use crate::wasm::{Captured, Entry, Process};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::process";
    linker.timed(namespace, "spawn_closure", spawn_closure)?;
    linker.timed(namespace, "captured", captured)?;
    linker.timed(namespace, "captured_len", |caller: Caller<'_, Ctx>| {
        caller.data().captured.len() as u32
    })?;
    linker.timed(namespace, "next", instance::next)?;
    linker.timed(namespace, "this", this)?;
    linker.timed(namespace, "is_alive", is_alive)?;
    linker.timed(namespace, "kill_handle", kill_handle)?;
    linker.timed_async(namespace, "join", |caller, (id, key, timeout)| {
        Box::new(join(caller, id, key, timeout))
    })?;
    linker.timed_async(namespace, "sleep_ns", |caller, (ns,)| Box::new(sleep_ns(caller, ns)))?;
    linker.timed_async(namespace, "yield_now", |caller, ()| Box::new(yield_now(caller)))?;
    Ok(())
}

fn spawn_closure(
    mut caller: Caller<'_, Ctx>,
    entry: u32,
    captured: u32,
    captured_len: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    check_handle(&mut caller, out)?;
    let (bytes, ctx) = guest_memory::slice(&mut caller, captured, captured_len)?;
    if bytes.len() > CAPTURE_LEN_MAX {
        ctx.set_buffer(format!("a closure may capture at most {CAPTURE_LEN_MAX} bytes").into_bytes());
        return Ok(LIMIT);
    }
    let entry = Entry::Closure(entry, Captured::from_slice(bytes));
    if !super::spawn::may_spawn(ctx) {
        return Ok(DENIED);
    }
    let (kernel, parent) = (&ctx.kernel, ctx.process());
    let (rights, module) = (parent.local.rights.clone(), ctx.module.clone());
    match new_process(kernel, parent, rights, module, entry, ctx.current.trace().clone()) {
        Ok(child) => {
            let handle = kernel.process_address(child.id);
            kernel.begin(child);
            write_handle(&mut caller, out, handle)?;
            Ok(OK)
        }
        Err(limit) => {
            ctx.set_buffer(limit.to_string().into_bytes());
            Ok(LIMIT)
        }
    }
}

fn captured(mut caller: Caller<'_, Ctx>, to: u32, len: u32) -> wasmtime::Result<()> {
    let captured = caller.data().captured.clone();
    if captured.len() != len as usize {
        let text = format!(
            "the process was spawned with {} captured bytes, but asked for {len}",
            captured.len()
        );
        return Err(wasmtime::Error::msg(text));
    }
    guest_memory::write(&mut caller, to, &captured)
}

fn this(mut caller: Caller<'_, Ctx>, out: u32) -> wasmtime::Result<()> {
    let ctx = caller.data();
    let handle = ctx.kernel.process_address(ctx.process().id);
    write_handle(&mut caller, out, handle)
}

fn is_alive(mut caller: Caller<'_, Ctx>, id: u64, key: u64) -> i32 {
    let ctx = caller.data_mut();
    match ctx.process_of(id, key) {
        Some(id) => i32::from(ctx.kernel.may_be_alive(id)),
        None => INVALID,
    }
}

fn kill_handle(caller: Caller<'_, Ctx>, id: u64, key: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let ctx = caller.data();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    kill(ctx, id)
}

/// Kills a process. Returns the code.
pub(super) fn kill(ctx: &Ctx, id: Id) -> wasmtime::Result<i32> {
    if id == ctx.process().id {
        return Err(Exited(ExitReason::Killed).into());
    }
    if !id.is_here() {
        if !ctx.kernel.may_send(id) {
            return Ok(FULL);
        }
        return super::signal::follow(ctx.kernel.send_exit(ctx.process(), id, &ExitReason::Killed));
    }
    if let Some(process) = ctx.kernel.find(id) {
        ctx.kernel.kill(&process);
    }
    Ok(OK)
}

async fn join(mut caller: Caller<'_, Ctx>, id: u64, key: u64, timeout_ns: u64) -> wasmtime::Result<i32> {
    let ctx = caller.data_mut();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    let reason = match ctx.kernel.find(id) {
        None if !id.is_here() => match join_elsewhere(&mut caller, id, timeout_ns).await {
            Some(reason) => reason,
            None => return Ok(TIMED_OUT),
        },
        None => ctx.kernel.exit_reason(id),
        Some(process) => {
            let joined = Joined::new(process, ctx.process().clone());
            let waiting = wait(&mut caller, WaitFor::Join, id, timeout_ns);
            match show(&caller, poll_until(&waiting, |_| joined.poll())).await {
                Some(reason) => reason,
                None => return Ok(TIMED_OUT),
            }
        }
    };
    let (kind, bytes) = reason.to_bytes();
    caller.data_mut().set_buffer(bytes);
    Ok(kind)
}

/// Waits for the end of a process of another node, or for the loss of that node.
async fn join_elsewhere(caller: &mut Caller<'_, Ctx>, id: Id, mut timeout_ns: u64) -> Option<ExitReason> {
    let (kernel, process) = (caller.data().kernel.clone(), caller.data().process().clone());
    if !kernel.may_send(id) {
        let wait = wait(caller, WaitFor::Join, id, timeout_ns);
        while !kernel.may_send(id) {
            if !show(caller, until_room(&wait, id.peer())).await {
                return None;
            }
        }
        timeout_ns = wait.rest_ns();
    }
    let reference = kernel.monitor(&process, id, 0);
    let mail = take(caller, &[reference], timeout_ns).await;
    if mail.is_none() {
        kernel.demonitor(&process, reference, true);
    }
    ExitReason::from_bytes(&mail?.body)
}

/// Withdraws a joiner from the process, however the wait ends.
pub(super) struct Joined {
    process: Arc<Process>,
    joiner: Arc<Process>,
}

impl Joined {
    pub(super) fn new(process: Arc<Process>, joiner: Arc<Process>) -> Self {
        Self { process, joiner }
    }

    /// The reason, if the process has ended; otherwise its end will wake the joiner.
    pub(super) fn poll(&self) -> Option<ExitReason> {
        self.process.join(&self.joiner)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.process.unjoin(&self.joiner);
    }
}

async fn sleep_ns(mut caller: Caller<'_, Ctx>, ns: u64) {
    let waiting = wait(&mut caller, WaitFor::Sleep, Id::NONE, ns);
    show(&caller, sleep(&waiting)).await;
}

async fn yield_now(mut caller: Caller<'_, Ctx>) {
    pieces::yield_now(&mut caller).await;
}
