//! `lunatic::timer`.

use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::mail::Content;
use lunatic_kernel::post::TimedMail;
use lunatic_kernel::timers::TimerRefusal;
use lunatic_sys::codes::{CLOSED, FULL, INVALID, LIMIT, MESSAGE_LEN_MAX, OK};
use lunatic_sys::layout::RawHandle;
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::timer";
    linker.timed(namespace, "send_after", send_after)?;
    linker.timed(namespace, "cancel", cancel)?;
    linker.timed(namespace, "pause", pause)?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the guest passes them so")]
fn send_after(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    tag: u64,
    message: u32,
    len: u32,
    delay_ns: u64,
    interval_ns: u64,
    out: u32,
) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    guest_memory::slice(&mut caller, out, 8)?;
    let (content, ctx) = super::buffer::message(&mut caller, message, len)?;
    let Some(to) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    match set(ctx, to, tag, content, delay_ns, interval_ns) {
        Ok(timer) => {
            guest_memory::write(&mut caller, out, &timer.to_le_bytes())?;
            Ok(OK)
        }
        Err(code) => Ok(code),
    }
}

/// Sets a timer; an interval of 0 is none. Returns its number, or the code of a refusal.
pub(super) fn set(
    ctx: &mut Ctx,
    to: Id,
    tag: u64,
    content: Content<'_>,
    delay_ns: u64,
    interval_ns: u64,
) -> Result<u64, i32> {
    // A repeated message belongs to no request.
    let trace = content.trace().clone().filter(|_| interval_ns == 0);
    if content.len() > MESSAGE_LEN_MAX {
        ctx.set_buffer(super::channel::TOO_MUCH);
        return Err(LIMIT);
    }
    let mail = TimedMail {
        to,
        tag,
        body: content.into_queued(),
        interval: (interval_ns != 0).then(|| Duration::from_nanos(interval_ns)),
        parcel: None,
        trace,
    };
    let set = ctx
        .kernel
        .set_timer(ctx.process(), Duration::from_nanos(delay_ns), mail);
    set.map_err(|refusal| match refusal {
        TimerRefusal::Closed => CLOSED,
        TimerRefusal::TooMany => FULL,
        TimerRefusal::Limit => {
            ctx.set_buffer(super::channel::TOO_MUCH);
            LIMIT
        }
    })
}

fn cancel(caller: Caller<'_, Ctx>, timer: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let kernel = &caller.data().kernel;
    Ok(i32::from(kernel.cancel_timer(&caller.data().process().system, timer)))
}

fn pause(caller: Caller<'_, Ctx>) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let process = caller.data().process();
    if !process.system.is_main(process.id) {
        return Ok(INVALID);
    }
    process.system.time.pause();
    Ok(OK)
}
