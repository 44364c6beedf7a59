//! Having processes change, so many at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;

use super::Heard;
use super::order::{Order, Outcome};
use crate::module::Module;
use crate::wasm::{Kernel, Process};

/// So often it is looked at who has ended, and whether all is to stop.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// An order for many processes.
pub(super) struct Round<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) order: Arc<Order<Module>>,
    /// So many are asked to change at once: who waits for one that waits for its turn stands still for longer.
    pub(super) batch: usize,
    /// So long is waited for each.
    pub(super) patience: Duration,
    /// Whether to stop at once.
    pub(super) is_stopped: &'a dyn Fn() -> bool,
}

/// A process that was asked to change.
struct Asked<'a> {
    process: &'a Arc<Process>,
    since: Instant,
}

/// What became of a round.
pub(super) struct Done<'a> {
    /// It was stopped before all had changed. Those that were asked and had not begun do not change any more.
    pub(super) is_stopped: bool,
    /// Those that were waited for in vain. They change when they come to their point of change.
    pub(super) late: Vec<&'a Arc<Process>>,
}

impl Round<'_> {
    /// Asks all of the processes, and calls `note` with what becomes of each.
    pub(super) fn run<'a>(
        &self,
        processes: impl IntoIterator<Item = &'a Arc<Process>>,
        mut note: impl FnMut(Id, Outcome),
    ) -> Done<'a> {
        let mut to_ask = processes.into_iter();
        let mut asked: HashMap<Id, Asked<'a>> = HashMap::new();
        let (mut is_stopped, mut late) = (false, Vec::new());
        let mut looked = Instant::now();
        loop {
            let room = match is_stopped {
                true => 0,
                false => self.batch.max(1).saturating_sub(asked.len()),
            };
            for process in to_ask.by_ref().take(room) {
                place(self.kernel, process, &self.order);
                let since = Instant::now();
                asked.insert(process.id, Asked { process, since });
            }
            if asked.is_empty() {
                return Done { is_stopped, late };
            }
            // The others go on meanwhile, so nobody has to wait for the last one of a batch.
            let some = asked.len().div_ceil(2);
            for (id, outcome) in self.order.wait(some, Instant::now() + LOOK_EVERY) {
                if asked.remove(&id).is_some() {
                    note(id, outcome);
                }
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.give_up(&mut asked, &mut late, looked);
                if !is_stopped && (self.is_stopped)() {
                    is_stopped = true;
                    // Who has begun already comes soon.
                    asked.retain(|_, asked| !asked.process.local.code.withdraw(&self.order));
                }
            }
        }
    }

    /// Forgets those that have ended, and those that were waited for long enough.
    fn give_up<'a>(&self, asked: &mut HashMap<Id, Asked<'a>>, late: &mut Vec<&'a Arc<Process>>, now: Instant) {
        asked.retain(|id, asked| {
            let is_late = now.saturating_duration_since(asked.since) >= self.patience;
            let is_alive = self.kernel.is_alive(*id);
            if is_late && is_alive {
                late.push(asked.process);
            }
            is_alive && !is_late
        });
    }
}

/// Asks a process to change, if it offers a point of change.
pub(super) fn place(kernel: &Kernel, process: &Arc<Process>, order: &Arc<Order<Module>>) {
    let Some(offer) = process.local.code.place(order) else {
        return;
    };
    match offer.heard {
        Heard::Asks => {}
        Heard::Mail => kernel.tell_of_change(process),
        Heard::Interrupt => kernel.wake(process),
    }
}
