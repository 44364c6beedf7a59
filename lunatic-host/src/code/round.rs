//! Changes processes in batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;

use super::order::{Order, Outcome};
use super::{Heard, Offer};
use crate::module::Module;
use crate::wasm::{Kernel, Process};

/// How often to check which processes have ended, and whether to stop.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Per this many processes that were asked, the check takes place less often by [`LOOK_EVERY`], so that it costs the same.
const LOOKED_AT: usize = 1024;

/// How long a round that was stopped waits for processes that had begun to change. They cannot accept the version any
/// more, and usually report within a time slice.
const STOPPED: Duration = Duration::from_secs(1);

/// The smallest number of processes that are told to change at the same time, unless the configuration sets the number. A change takes
/// about 60 µs, so on two cores these delay a process that can run by about a millisecond. An estimate, not a measurement.
const BATCH_MIN: usize = 32;
/// The largest number of processes that are told to change at the same time, unless the configuration sets the number.
const BATCH_MAX: usize = 256;
/// For each group of this many processes that wait for a worker, one process is told to change.
const WAITING_PER_CHANGE: usize = 4;

/// An order for many processes.
pub(super) struct Round<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) order: Arc<Order<Module>>,
    /// How many processes are told to change at the same time. `None`: as many as the load suggests. Processes that only ask
    /// are not counted: they may reach their point of change much later, or never.
    pub(super) batch: Option<usize>,
    /// How long to wait for each.
    pub(super) patience: Duration,
    /// Whether to stop immediately.
    pub(super) is_stopped: &'a dyn Fn() -> bool,
}

/// A process that was asked to change.
struct Asked<'a> {
    process: &'a Arc<Process>,
    since: Instant,
    /// It was told, so it is expected to change soon.
    hears: bool,
}

/// The processes that were asked to change, and have not answered.
#[derive(Default)]
struct Pending<'a> {
    asked: HashMap<Id, Asked<'a>>,
    /// How many of them were told.
    told: usize,
}

impl<'a> Pending<'a> {
    fn insert(&mut self, process: &'a Arc<Process>, hears: bool) {
        let since = Instant::now();
        let asked = Asked { process, since, hears };
        if self.asked.insert(process.id, asked).is_none() && hears {
            self.told += 1;
        }
    }

    /// Removes a process; false if it is not pending.
    fn remove(&mut self, id: Id) -> bool {
        let removed = self.asked.remove(&id);
        self.told -= usize::from(removed.as_ref().is_some_and(|asked| asked.hears));
        removed.is_some()
    }

    fn retain(&mut self, mut keep: impl FnMut(&mut Asked<'a>) -> bool) {
        let told = &mut self.told;
        self.asked.retain(|_, asked| {
            let is_kept = keep(asked);
            *told -= usize::from(!is_kept && asked.hears);
            is_kept
        });
    }
}

/// The result of a round.
pub(super) struct Done<'a> {
    /// It was stopped before all had changed. Processes that had not accepted the version by then will not change.
    pub(super) is_stopped: bool,
    /// Processes that did not reach their point of change in time. Unless the round was stopped, they change when they
    /// do.
    pub(super) late: Vec<&'a Arc<Process>>,
}

impl Round<'_> {
    /// Asks all of the processes, and calls `note` with the outcome of each.
    pub(super) fn run<'a>(
        &self,
        processes: impl IntoIterator<Item = &'a Arc<Process>>,
        mut note: impl FnMut(Id, Outcome),
    ) -> Done<'a> {
        let mut to_ask = processes.into_iter().peekable();
        let mut pending = Pending::default();
        let (mut is_stopped, mut late) = (false, Vec::new());
        let (mut looked, mut gave_up) = (Instant::now(), Instant::now());
        loop {
            if !is_stopped {
                self.ask(&mut to_ask, &mut pending);
            }
            if pending.asked.is_empty() {
                return Done { is_stopped, late };
            }
            // The others continue meanwhile, so nothing waits for the last process of a batch.
            let some = match pending.told {
                0 => pending.asked.len().div_ceil(2),
                told => told.div_ceil(2),
            };
            for (id, outcome) in self.order.wait(some, Instant::now() + LOOK_EVERY) {
                if pending.remove(id) {
                    note(id, outcome);
                }
            }
            if looked.elapsed() < LOOK_EVERY {
                continue;
            }
            looked = Instant::now();
            let pause = LOOK_EVERY * u32::try_from(pending.asked.len() / LOOKED_AT).unwrap_or(u32::MAX);
            if gave_up.elapsed() >= pause {
                gave_up = looked;
                let patience = if is_stopped { STOPPED } else { self.patience };
                self.give_up(&mut pending, &mut late, patience, looked);
            }
            if !is_stopped && (self.is_stopped)() {
                is_stopped = true;
                pending.retain(|asked| {
                    asked.since = looked;
                    !take_back(self.kernel, asked.process, &self.order)
                });
            }
        }
    }

    /// Asks processes for which there is room.
    fn ask<'a>(
        &self,
        to_ask: &mut std::iter::Peekable<impl Iterator<Item = &'a Arc<Process>>>,
        pending: &mut Pending<'a>,
    ) {
        let mut room = self.batch(pending.told).saturating_sub(pending.told);
        while let Some(process) = to_ask.peek() {
            let offer = process.local.code.offered();
            let hears = offer.is_some_and(|offer| offer.heard != Heard::Asks);
            if hears && room == 0 {
                return;
            }
            room -= usize::from(hears);
            place(self.kernel, process, &self.order);
            pending.insert(process, hears);
            to_ask.next();
        }
    }

    /// How many processes to tell at the same time, if `told` have been told and have not changed yet.
    fn batch(&self, told: usize) -> usize {
        self.batch
            .map_or_else(|| suggested(self.kernel.queues().len(), told), |batch| batch.max(1))
    }

    /// Removes processes that have ended or have withdrawn their point of change, and those that have been waited for long
    /// enough.
    fn give_up<'a>(
        &self,
        pending: &mut Pending<'a>,
        late: &mut Vec<&'a Arc<Process>>,
        patience: Duration,
        now: Instant,
    ) {
        pending.retain(|asked| {
            let is_late = now.saturating_duration_since(asked.since) >= patience;
            let can_change = can_change(self.kernel, asked.process);
            if is_late && can_change {
                late.push(asked.process);
            }
            can_change && !is_late
        });
    }
}

/// Whether a process lives and offers a point of change.
pub(super) fn can_change(kernel: &Kernel, process: &Process) -> bool {
    kernel.is_alive(process.id) && process.local.code.offered().is_some()
}

/// How many processes to tell at the same time, if `queued` processes wait for a worker. Up to `told` of them wait because they were told.
///
/// A process that was told changes when a worker takes it from a queue, and the processes behind it in the queue wait for that. On an idle
/// host, a small number delays no other process. On a busy host, the same number would spend its time in the queues, and the upgrade would
/// take several times as long. There, processes already wait for each other, and some more changes add little to that.
fn suggested(queued: usize, told: usize) -> usize {
    (queued.saturating_sub(told) / WAITING_PER_CHANGE).clamp(BATCH_MIN, BATCH_MAX)
}

/// Asks a process to change, if it offers a point of change. Returns the order that this one replaces.
pub(super) fn place(kernel: &Kernel, process: &Arc<Process>, order: &Arc<Order<Module>>) -> Option<Arc<Order<Module>>> {
    let (offer, former) = process.local.code.place(order)?;
    tell(kernel, process, offer);
    former
}

/// Puts an order back that a rehearsal has replaced.
pub(super) fn place_again(kernel: &Kernel, process: &Arc<Process>, order: Arc<Order<Module>>) {
    if let Some(offer) = process.local.code.place_again(order) {
        tell(kernel, process, offer);
    }
}

/// Tells a process that an order is pending.
fn tell(kernel: &Kernel, process: &Arc<Process>, offer: Offer) {
    match offer.heard {
        Heard::Asks => {}
        Heard::Mail => kernel.tell_of_change(process),
        Heard::Interrupt => kernel.wake(process),
    }
}

/// Takes an order back: afterwards, the process changes no more because of it. If the process has begun, the order is
/// revoked for all, and this returns false: it is about to report, or has changed before.
pub(super) fn take_back(kernel: &Kernel, process: &Arc<Process>, order: &Arc<Order<Module>>) -> bool {
    let is_withdrawn = process.local.code.withdraw(order);
    if !is_withdrawn {
        order.revoke();
        // It may wait in its trial.
        kernel.wake(process);
    }
    is_withdrawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_wait_for_a_worker_the_more_change_at_the_same_time() {
        for (queued, told, expected) in [
            (0, 0, BATCH_MIN),
            (32, 32, BATCH_MIN),
            (10, 16, BATCH_MIN),
            (416, 16, 100),
            (500, 100, 100),
            (100_000, 16, BATCH_MAX),
        ] {
            assert_eq!(suggested(queued, told), expected, "{queued} {told}");
        }
    }
}
