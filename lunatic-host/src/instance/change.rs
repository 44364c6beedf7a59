//! How a process goes over from one instance to another, of another version of its code, or stays where it is.
//!
//! The former instance asks for it in a host call, in which it waits ([`change`]). Its runner then makes an instance of the
//! other version, which begins *on trial* with the state that it was left. It [accepts](accept): the former instance is dropped
//! where it waits. Or it [refuses](refuse), ends, or takes too long: it is dropped, and the former goes on, told why. Kernel and
//! workers see one body all the while; mail, signals and kills meet the process as ever.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::Receipt;
use lunatic_kernel::wait::{Held, Wait};
use wasmtime::Caller;

use super::seat::{Left, Seat};
use super::{Ctx, Runner};
use crate::code::order::{Order, Outcome};
use crate::module::Module;
use crate::states::States;
use crate::trace::Current;
use crate::wasm::{Captured, Entry, Kernel, Process, Wasm};

/// What an instance leaves to the one that is to take its place.
pub(crate) struct Change {
    order: Arc<Order<Module>>,
    /// The function that the other version calls, in its table.
    entry: u32,
    /// The state; taken when the trial begins.
    state: Vec<u8>,
    /// A copy of the state, to come back with.
    copy: Option<Arc<[u8]>>,
    /// The process pays for the state until one of the instances has it alone.
    _paid: Receipt,
    /// What the host keeps with the process, while neither instance has it.
    states: States,
    /// The trace that it works for.
    current: Current,
    /// The instructions that it has left, if they are counted.
    fuel: Option<u64>,
    began: Instant,
    /// Wakes the process when the time of the trial is over.
    limit: Option<Wait<'static, Wasm>>,
    verdict: Option<Verdict>,
}

#[derive(Clone)]
enum Verdict {
    Accepted,
    Refused(String),
}

impl Left for Change {
    fn fuel(&self) -> Option<u64> {
        self.fuel
    }

    fn refuse(&mut self, why: String) {
        self.verdict.get_or_insert(Verdict::Refused(why));
    }
}

/// What was left to the instance in this seat.
fn take(seat: &Seat) -> Option<Box<Change>> {
    let left: Box<dyn Any> = seat.take_left()?;
    left.downcast().ok()
}

/// Calls `f` with what was left to the instance in this seat.
fn with<T>(seat: &Seat, f: impl FnOnce(&mut Change) -> T) -> Option<T> {
    seat.with_left(|left| (left as &mut dyn Any).downcast_mut().map(f))
        .flatten()
}

impl Change {
    /// The process is to go on in the order's version, at this function of its table.
    pub(crate) fn new(order: Arc<Order<Module>>, entry: u32, state: Vec<u8>, paid: Receipt) -> Box<Self> {
        Box::new(Self {
            order,
            entry,
            state,
            copy: None,
            _paid: paid,
            states: States::default(),
            current: Current::default(),
            fuel: None,
            began: Instant::now(),
            limit: None,
            verdict: None,
        })
    }

    /// Why the process stays where it is, if that is said.
    fn refusal(&self) -> Option<String> {
        if let Some(Verdict::Refused(why)) = &self.verdict {
            return Some(why.clone());
        }
        let is_late = self.limit.as_ref().is_some_and(Wait::is_late);
        is_late.then(|| format!("it did not accept the state within {:?}", self.order.time_limit))
    }
}

/// Leaves the process to another instance. Returns only if that does not take it: why; or nothing, if it was only a rehearsal.
pub(crate) async fn change(caller: &mut Caller<'_, Ctx>, mut change: Box<Change>) -> Option<String> {
    change.fuel = caller.get_fuel().ok();
    let ctx = caller.data_mut();
    change.states = std::mem::take(&mut ctx.states);
    change.current = std::mem::take(&mut ctx.current);
    let seat = ctx.seat.clone();
    let mut asked = Some(change);
    let change = poll_fn(|_| match asked.take() {
        Some(change) => {
            seat.ask_for_another(change);
            Poll::Pending
        }
        None => take(&seat).map_or(Poll::Pending, Poll::Ready),
    })
    .await;
    let bytes = caller.data().memory.map_or(0, |memory| memory.data_size(&caller));
    let ctx = caller.data_mut();
    ctx.states = change.states;
    ctx.current = change.current;
    ctx.process().local.set_memory(bytes);
    match change.verdict {
        Some(Verdict::Refused(why)) => Some(why),
        _ => None,
    }
}

/// The instance on trial has read the state: the process is its own from here on. False if the caller is not on trial.
///
/// # Errors
///
/// In a rehearsal: the instance has done what it is for, and goes.
pub(crate) fn accept(ctx: &mut Ctx) -> wasmtime::Result<bool> {
    if !ctx.on_trial {
        return Ok(false);
    }
    let (seat, process) = (ctx.seat.clone(), ctx.process().clone());
    let is_rehearsal = with(&seat, |change| {
        change.limit = None;
        change.verdict = Some(Verdict::Accepted);
        if !change.order.is_rehearsal {
            ctx.states.append(&mut change.states);
            ctx.current = std::mem::take(&mut change.current);
            process.local.code.becomes(&change.order.module, change.entry);
        }
        change.order.is_rehearsal
    });
    if is_rehearsal == Some(true) {
        return Err(wasmtime::Error::msg("the rehearsal is over"));
    }
    ctx.on_trial = false;
    // What a process is spawned with is kept for as long as it lives. A state would be too much for that.
    ctx.captured = Captured::new();
    Ok(true)
}

/// The instance does not take the state.
pub(crate) fn refuse(ctx: &Ctx, why: String) {
    ctx.seat.with_left(|left| left.refuse(why));
}

impl Ctx {
    /// To be called before the process does something that others see, or takes what was sent to it.
    ///
    /// # Errors
    ///
    /// If the instance is on trial: if it does not take the state, all must be as before.
    pub(crate) fn acts(&self) -> wasmtime::Result<()> {
        if self.on_trial {
            return Err(wasmtime::Error::msg(
                "code that reads the state of another version may not send, receive, spawn or do anything else that others \
                 see, before it has accepted the state",
            ));
        }
        Ok(())
    }
}

impl Runner {
    /// Sees to it that the right one of two instances runs, if one asks for another or is on trial. True if that one is to be run
    /// at once.
    #[cold]
    pub(super) fn switch(&mut self, kernel: &Arc<Kernel>, process: &Arc<Process>) -> bool {
        if self.former.is_none() {
            let Some(change) = take(&self.seat) else {
                return false;
            };
            self.begin_trial(kernel, process, change);
            return true;
        }
        let verdict = with(&self.seat, |change| match change.refusal() {
            Some(why) => Some(Verdict::Refused(why)),
            None => change.verdict.clone(),
        });
        match verdict.flatten() {
            None => false,
            Some(Verdict::Accepted) if !self.is_rehearsal() => {
                self.finish(process);
                false
            }
            Some(verdict) => {
                self.go_back(kernel, process, verdict);
                true
            }
        }
    }

    fn begin_trial(&mut self, kernel: &Arc<Kernel>, process: &Arc<Process>, mut change: Box<Change>) {
        let module = change.order.module.clone();
        change.verdict = None;
        change.copy = change.order.copy(&change.state);
        let new = match process.local.rights.fuel {
            Some(_) => Self::metered(kernel, &module),
            None => Self::unmetered(kernel, &module),
        };
        let limit_ns = u64::try_from(change.order.time_limit.as_nanos()).unwrap_or(u64::MAX);
        let (held, owner) = (Held::Owned(kernel.clone()), Held::Owned(process.clone()));
        change.limit = Some(Wait::new(held, owner, WaitFor::Outside, Id::NONE, limit_ns));
        let entry = Entry::Closure(change.entry, Captured::from_vec(std::mem::take(&mut change.state)));
        new.seat.assign(process.clone(), entry);
        new.seat.put_left(change);
        process.excuse(kernel.slices());
        let former = std::mem::replace(self, new);
        self.former = Some(Box::new(former));
    }

    fn is_rehearsal(&self) -> bool {
        with(&self.seat, |change| change.order.is_rehearsal) == Some(true)
    }

    /// The former instance goes.
    fn finish(&mut self, process: &Process) {
        drop(self.former.take());
        if let Some(mut change) = take(&self.seat) {
            change.order.keep(process.id, change.copy.take());
            let pause = change.began.elapsed();
            change.order.came(process.id, Outcome::Changed { pause });
        }
    }

    /// The former instance takes its place again, or another one begins with what the process once came with.
    fn go_back(&mut self, kernel: &Arc<Kernel>, process: &Arc<Process>, verdict: Verdict) {
        let Some(former) = self.former.take() else { return };
        let Some(mut change) = take(&self.seat) else {
            return;
        };
        change.limit = None;
        if let (Verdict::Refused(_), Some(state)) = (&verdict, change.order.take_fallback(process.id)) {
            *self = *former;
            change.state = state.to_vec();
            return self.begin_trial(kernel, process, change);
        }
        change.verdict = Some(verdict.clone());
        let outcome = match verdict {
            Verdict::Accepted => Outcome::Changed {
                pause: change.began.elapsed(),
            },
            Verdict::Refused(why) => Outcome::Kept { why },
        };
        *self = *former;
        change.order.came(process.id, outcome);
        self.seat.put_left(change);
    }
}
