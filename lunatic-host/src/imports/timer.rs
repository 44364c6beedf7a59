//! `lunatic::timer`.

use std::time::Duration;

use lunatic_sys::codes::{CLOSED, INVALID, LIMIT, MESSAGE_LEN_MAX, OK};
use wasmtime::{Caller, Linker};

use crate::channel::Message;
use crate::clock::TimedMail;
use crate::guest_memory;
use crate::instance::Ctx;

/// An interval is at least as long as a time slice: a shorter one would keep the clock busy for its own sake.
const INTERVAL_MIN: Duration = crate::clock::TIME_SLICE;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::timer";
    linker.func_wrap(namespace, "send_after", send_after)?;
    linker.func_wrap(namespace, "cancel", cancel)?;
    linker.func_wrap(namespace, "pause", pause)?;
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
    guest_memory::slice(&mut caller, out, 8)?;
    let (bytes, ctx) = guest_memory::slice(&mut caller, message, len)?;
    let shared = &ctx.shared;
    let Some(to) = shared.process_keys.check(id, key) else {
        return Ok(INVALID);
    };
    let mail = TimedMail {
        to,
        tag,
        body: Message::from_slice(&bytes[..bytes.len().min(MESSAGE_LEN_MAX + 1)]),
        interval: (interval_ns != 0).then(|| Duration::from_nanos(interval_ns).max(INTERVAL_MIN)),
        parcel: None,
    };
    if mail.body.len() > MESSAGE_LEN_MAX || shared.queued.charge(mail.size()).is_err() {
        ctx.buffer = super::channel::TOO_MUCH.into();
        return Ok(LIMIT);
    }
    let timer: u64 = rand::random();
    let owned = shared
        .find(to)
        .and_then(|to| to.relate(|relations| relations.timers.insert(timer)).ok());
    if owned.is_none() {
        shared.queued.give_back(mail.size());
        return Ok(CLOSED);
    }
    // A time that is too far away to be told never comes; the farthest that can be told is as good.
    let time = &ctx.process().system.time;
    let now = time.now();
    let due = now.checked_add(Duration::from_nanos(delay_ns));
    time.clock(&shared.clock)
        .set_mail(due.unwrap_or(now + Duration::from_secs(1 << 32)), timer, mail);
    guest_memory::write(&mut caller, out, &timer.to_le_bytes())?;
    Ok(OK)
}

fn cancel(caller: Caller<'_, Ctx>, timer: u64) -> i32 {
    let shared = &caller.data().shared;
    i32::from(shared.cancel_timer(&caller.data().process().system, timer))
}

fn pause(caller: Caller<'_, Ctx>) -> i32 {
    let process = caller.data().process();
    if !process.system.is_main(process.id) {
        return INVALID;
    }
    process.system.time.pause();
    OK
}
