//! `lunatic::timer`: delayed messages.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use lunatic_host::Ctx;
use lunatic_kernel::channel::Message;
use lunatic_kernel::post::{Parcel, TimedMail};
use lunatic_kernel::timers::TimerRefusal;
use parking_lot::Mutex;
use wasmtime::{Caller, Linker};

use super::message::take_scratch;
use super::{fault, keep, state};
use crate::Timer;
use crate::environment::neighbour;

/// With this many timers, those that have fired are forgotten before a new one is made.
const PURGE_MIN: usize = 64;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::timer";
    linker.func_wrap(namespace, "send_after", send_after)?;
    linker.func_wrap(namespace, "cancel_timer", cancel_timer)?;
    Ok(())
}

fn send_after(mut caller: Caller<'_, Ctx>, process: u64, delay_ms: u64) -> wasmtime::Result<u64> {
    let letter: Box<dyn Any + Send> = Box::new(take_scratch(&mut caller)?);
    let parcel: Parcel = Arc::new(Mutex::new(Some(letter)));
    let ctx = caller.data();
    let (kernel, own) = (ctx.kernel(), ctx.process());
    let mut timer = Timer {
        number: 0,
        parcel: Arc::downgrade(&parcel),
    };
    // A process that does not exist now gets nothing later.
    if let Some(to) = neighbour(kernel, own, process) {
        let mail = TimedMail {
            to: to.id,
            tag: 0,
            body: Message::new(),
            interval: None,
            parcel: Some(parcel),
            trace: None,
        };
        match kernel.set_timer(own, Duration::from_millis(delay_ms), mail) {
            Ok(number) => timer.number = number,
            Err(TimerRefusal::Closed) => {}
            Err(TimerRefusal::TooMany) => return Err(fault("the receiver already has the largest number of timers")),
            Err(TimerRefusal::Limit) => {
                return Err(fault(
                    "the messages of all processes use all the memory that is allowed for them",
                ));
            }
        }
    }
    let state = state(&mut caller);
    if state.timers.len() >= state.purge_timers_at.max(PURGE_MIN) {
        state.timers.retain(|timer| timer.parcel.strong_count() > 0);
        // The next purge comes at twice the number, so each timer pays a constant share of the purges.
        state.purge_timers_at = state.timers.len() * 2;
    }
    keep(&mut caller, |state| &mut state.timers, "timer", timer)
}

fn cancel_timer(mut caller: Caller<'_, Ctx>, id: u64) -> i32 {
    let Ok(timer) = state(&mut caller).timers.remove("timer", id) else {
        return 0;
    };
    let ctx = caller.data();
    i32::from(ctx.kernel().cancel_timer(&ctx.process().system, timer.number))
}
