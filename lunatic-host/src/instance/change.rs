//! How a process moves from one instance to another, of another version of its code, or stays where it is.
//!
//! The former instance requests this in a host call, in which it waits ([`change`]). Its runner then makes an instance
//! of the other version, which begins *on trial* with the state that the former instance has left to it. If it
//! [accepts](accept), the former instance is dropped in its wait. If it [refuses](refuse), ends, or takes too long, it
//! is dropped, and the former instance continues with the reason. The kernel and the workers see a single body all
//! along; mail, signals and kills reach the process as usual.

use std::any::Any;
use std::collections::HashSet;
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
use crate::code::order::{Order, Outcome, StateCopy};
use crate::module::Module;
use crate::states::States;
use crate::trace::Current;
use crate::wasm::{Captured, Entry, Kernel, Process, Wasm};

/// Why a process stays if its order was revoked during the trial.
const REVOKED: &str = "the upgrade was stopped before the process had accepted the state";

/// What an instance leaves to its successor.
pub(crate) struct Change {
    order: Arc<Order<Module>>,
    /// The process that is on trial. Once it has accepted, the instance may already run another.
    process: Id,
    /// The function that the other version calls, as an index into its table.
    entry: u32,
    /// The state; taken when the trial begins.
    state: Vec<u8>,
    /// A copy of the state, for a rollback.
    copy: Option<StateCopy>,
    /// The process pays for the state until only one of the instances has it.
    _paid: Receipt,
    /// The values that the host keeps for the process, while neither instance has them.
    states: States,
    /// The trace that the process works for.
    current: Current,
    /// The instructions that are left, if they are counted.
    fuel: Option<u64>,
    began: Instant,
    /// Wakes the process when the time of the trial is over.
    limit: Option<Wait<'static, Wasm>>,
    verdict: Option<Verdict>,
    /// What the instance has opened on trial.
    opened: Vec<Opened>,
}

/// Something that a process opens and that others cannot see yet. It closes if the instance that has opened it on trial
/// does not accept the state.
pub(crate) enum Opened {
    Channel(Id),
    Reference(u64),
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

    fn note_fuel(&mut self, left: u64) {
        self.fuel = Some(left);
    }

    fn refuse(&mut self, why: String) {
        self.verdict.get_or_insert(Verdict::Refused(why));
    }
}

/// Takes what was left to the instance in this seat.
fn take(seat: &Seat) -> Option<Box<Change>> {
    seat.take_left().and_then(downcast)
}

fn downcast(left: Box<dyn Left>) -> Option<Box<Change>> {
    let left: Box<dyn Any> = left;
    left.downcast().ok()
}

/// Calls `f` with what was left to the instance in this seat.
fn with<T>(seat: &Seat, f: impl FnOnce(&mut Change) -> T) -> Option<T> {
    seat.with_left(|left| (left as &mut dyn Any).downcast_mut().map(f))
        .flatten()
}

impl Change {
    /// The process is to continue in the version of the order, at this function of its table.
    pub(crate) fn new(order: Arc<Order<Module>>, process: Id, entry: u32, state: Vec<u8>, paid: Receipt) -> Box<Self> {
        Box::new(Self {
            order,
            process,
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
            opened: Vec::new(),
        })
    }

    /// What becomes of the trial, if that has been decided.
    fn verdict(&self) -> Option<Verdict> {
        if self.verdict.is_some() {
            return self.verdict.clone();
        }
        if self.limit.as_ref().is_some_and(Wait::is_late) {
            let why = format!("it did not accept the state within {:?}", self.order.time_limit);
            return Some(Verdict::Refused(why));
        }
        self.order.is_revoked().then(|| Verdict::Refused(REVOKED.into()))
    }
}

/// Leaves the process to another instance. Returns only if the other does not take it, with the reason; `None` after a
/// rehearsal.
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
    // The other instance has used some.
    if let Some(fuel) = change.fuel {
        let set = caller.set_fuel(fuel);
        set.expect("code that has counted its instructions counts them still");
    }
    match change.verdict {
        Some(Verdict::Refused(why)) => Some(why),
        _ => None,
    }
}

/// Records that the instance on trial has read the state: from now on the process is its own. False if the caller is
/// not on trial.
///
/// # Errors
///
/// In a rehearsal, and if the order has been revoked: the instance has served its purpose, and must end.
pub(crate) fn accept(ctx: &mut Ctx) -> wasmtime::Result<bool> {
    if !ctx.on_trial {
        return Ok(false);
    }
    let (seat, process) = (ctx.seat.clone(), ctx.process().clone());
    let over = with(&seat, |change| {
        let (order, entry) = (change.order.clone(), change.entry);
        let accepts = || {
            if !order.is_rehearsal {
                process.local.code.becomes(&order.module, entry);
            }
        };
        if order.unless_revoked(accepts).is_none() {
            change.verdict = Some(Verdict::Refused(REVOKED.into()));
            return Some(REVOKED);
        }
        change.limit = None;
        change.verdict = Some(Verdict::Accepted);
        if order.is_rehearsal {
            return Some("the rehearsal is over");
        }
        ctx.states.append(&mut change.states);
        ctx.current = std::mem::take(&mut change.current);
        None
    });
    if let Some(why) = over.flatten() {
        return Err(wasmtime::Error::msg(why));
    }
    ctx.on_trial = false;
    // The captured values of a process are kept for its whole life. A state would be too large for that.
    ctx.captured = Captured::new();
    Ok(true)
}

/// Records what an instance has opened, if it is on trial.
pub(crate) fn opens(ctx: &Ctx, what: Opened) {
    if ctx.on_trial {
        with(&ctx.seat, |change| change.opened.push(what));
    }
}

/// Closes what an instance has opened on trial.
fn close(kernel: &Kernel, process: &Process, opened: Vec<Opened>) {
    let mut channels = HashSet::new();
    for what in opened {
        match what {
            Opened::Channel(id) => _ = channels.insert(id),
            Opened::Reference(reference) => kernel.close_reference(process, reference),
        }
    }
    if !channels.is_empty() {
        process.with_belongings(|belongings| belongings.channels.retain(|id| !channels.contains(&*id)));
    }
    for id in channels {
        kernel.close_channel(id, process.local.rights.budget.as_ref());
    }
}

/// Records that the instance rejects the state.
pub(crate) fn refuse(ctx: &Ctx, why: String) {
    ctx.seat.with_left(|left| left.refuse(why));
}

impl Ctx {
    /// Must be called before the process does something that others can see, or takes something that was sent to it.
    ///
    /// # Errors
    ///
    /// If the instance is on trial: if it rejects the state, everything must be as before.
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
    /// Selects the instance to run if one requests another or is on trial. Returns true if it must run immediately.
    #[cold]
    pub(super) fn switch(&mut self, kernel: &Arc<Kernel>, process: &Arc<Process>) -> bool {
        if self.former.is_some() {
            match with(&self.seat, |change| change.verdict()).flatten() {
                None => return false,
                Some(Verdict::Accepted) if !self.is_rehearsal() => self.finish(),
                Some(verdict) => {
                    self.go_back(kernel, process, verdict);
                    return true;
                }
            }
        }
        // An instance can ask for the next one as soon as it has accepted the state, before its predecessor is gone.
        let Some(change) = self.seat.take_leaves().and_then(downcast) else {
            return false;
        };
        self.begin_trial(kernel, process, change);
        true
    }

    fn begin_trial(&mut self, kernel: &Arc<Kernel>, process: &Arc<Process>, mut change: Box<Change>) {
        let module = change.order.module.clone();
        change.verdict = None;
        change.copy = change.order.copy(&change.state);
        let new = match process.local.rights.fuel {
            Some(_) => Self::metered(kernel, &module),
            None => Self::unmetered(kernel, &module),
        };
        let limit = change.order.time_limit;
        let (held, owner) = (Held::Owned(kernel.clone()), Held::Owned(process.clone()));
        change.limit = Some(Wait::by_machine(held, owner, WaitFor::Outside, Id::NONE, limit));
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

    /// Drops the former instance.
    fn finish(&mut self) {
        drop(self.former.take());
        if let Some(mut change) = take(&self.seat) {
            change.order.keep(change.process, change.copy.take());
            let pause = change.began.elapsed();
            change.order.came(change.process, Outcome::Changed { pause });
        }
    }

    /// Puts the former instance back, or begins another one with the state that the process once came with.
    fn go_back(&mut self, kernel: &Arc<Kernel>, process: &Arc<Process>, verdict: Verdict) {
        let Some(former) = self.former.take() else { return };
        let Some(mut change) = take(&self.seat) else {
            return;
        };
        (change.limit, change.copy) = (None, None);
        close(kernel, process, std::mem::take(&mut change.opened));
        let fallback = match &verdict {
            Verdict::Refused(_) if !change.order.is_revoked() => change.order.take_fallback(process.id),
            _ => None,
        };
        if let Some(state) = fallback {
            *self = *former;
            change.state = state.bytes().to_vec();
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
