//! `lunatic::timer`: messages that come later.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime::{Caller, Linker};

use super::message::take_scratch;
use super::{fault, state};
use crate::channel::Message;
use crate::clock::TimedMail;
use crate::compat::Timer;
use crate::instance::Ctx;
use crate::process::id::Id;

/// From so many timers on, those that have fired are forgotten before a new one is made.
const PURGE_MIN: usize = 64;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::timer";
    linker.func_wrap(namespace, "send_after", send_after)?;
    linker.func_wrap(namespace, "cancel_timer", cancel_timer)?;
    Ok(())
}

fn send_after(mut caller: Caller<'_, Ctx>, process: u64, delay_ms: u64) -> wasmtime::Result<u64> {
    let parcel = Arc::new(Mutex::new(Some(take_scratch(&mut caller)?)));
    let timer = Timer {
        number: rand::random(),
        parcel: Arc::downgrade(&parcel),
    };
    let (shared, own) = (caller.data().shared.clone(), caller.data().process().clone());
    let to = shared.neighbour(&own, process);
    let mail = TimedMail {
        // A process that is not there now gets nothing later.
        to: to.as_ref().map_or(Id::from_raw(0), |to| to.id),
        tag: 0,
        body: Message::new(),
        interval: None,
        parcel: Some(parcel),
    };
    if shared.queued.charge(mail.size()).is_err() {
        return Err(fault("the messages of all processes take up all memory that they may"));
    }
    if let Some(to) = &to {
        let _ = to.relate(|relations| relations.timers.insert(timer.number));
    }
    let time = &own.system.time;
    let now = time.now();
    let due = now.checked_add(Duration::from_millis(delay_ms));
    time.clock(&shared.clock)
        .set_mail(due.unwrap_or(now + Duration::from_secs(1 << 32)), timer.number, mail);
    let state = state(&mut caller);
    if state.timers.len() >= state.purge_timers_at.max(PURGE_MIN) {
        state.timers.retain(|timer| timer.parcel.strong_count() > 0);
        state.purge_timers_at = state.timers.len() * 2;
    }
    Ok(state.timers.add("timer", timer)?)
}

fn cancel_timer(mut caller: Caller<'_, Ctx>, id: u64) -> i32 {
    let Ok(timer) = state(&mut caller).timers.remove("timer", id) else {
        return 0;
    };
    let ctx = caller.data();
    i32::from(ctx.shared.cancel_timer(&ctx.process().system, timer.number))
}
