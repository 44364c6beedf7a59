//! What remains to be done when a process has ended: others are notified, and its belongings are released.
//!
//! Usually these are a few steps, which the worker does that ended the process. But a process may have a hundred
//! thousand links, channels or messages. While a worker is busy with that, nothing else runs on it, and no time slice
//! interrupts it; so it is done [aside](crate::aside), at the expense of the process's budget.

use std::sync::Arc;

use crate::address::Id;
use crate::aside::{STEPS_MAX, steps_to_drop};
use crate::budget::{Budget, Payer};
use crate::channel::Closed;
use crate::events::Event;
use crate::exit::ExitReason;
use crate::host::{Host, Local};
use crate::kernel::Kernel;
use crate::process::Process;
use crate::relations::Relations;

/// What a process leaves.
struct Remains<H: Host> {
    process: Arc<Process<H>>,
    reason: ExitReason,
    relations: Option<Box<Relations>>,
    belongings: H::Belongings,
}

impl<H: Host> Remains<H> {
    /// The approximate number of steps for releasing all of it.
    fn steps(&self) -> usize {
        H::count(&self.belongings) + self.relations.as_ref().map_or(0, |relations| relations.count())
    }
}

/// The budget to whose part a process with this budget counts where parts are treated alike: the outermost one below that
/// of the system. Otherwise, a sandbox would have as many parts as it makes budgets.
pub(crate) fn part<'a>(budget: Option<&'a Arc<Budget>>, of_system: Option<&Arc<Budget>>) -> Option<&'a Arc<Budget>> {
    let is_systems = |budget| of_system.is_some_and(|system| Arc::ptr_eq(system, budget));
    let mut part = budget?;
    while let Some(around) = part.parent()
        && !is_systems(around)
    {
        part = around;
    }
    Some(part)
}

impl<H: Host> Kernel<H> {
    /// Ends a process whose body has released everything: records the reason, and notifies those who wait for it. Does
    /// nothing if the process has already ended.
    pub fn end(self: &Arc<Self>, process: &Arc<Process<H>>, reason: ExitReason) {
        let Some((relations, belongings)) = process.set_ending(reason.clone()) else {
            return;
        };
        // Before it leaves the table: whoever does not find it there asks here.
        let part = part(process.local.budget(), H::budget_of(&process.system.data));
        self.exits.remember(process.id, part, &reason);
        let remains = Remains {
            process: process.clone(),
            reason,
            relations,
            belongings,
        };
        if remains.steps() <= STEPS_MAX {
            return self.bury(remains);
        }
        let kernel = self.clone();
        self.aside.work(process.local.budget().cloned(), move || {
            kernel.bury(remains);
            // All others may wait by now, and for each other.
            kernel.scheduler.wake_spare();
        });
    }

    fn bury(&self, remains: Remains<H>) {
        let takes_long = remains.steps() > STEPS_MAX;
        let Remains {
            process,
            reason,
            mut relations,
            belongings,
        } = remains;
        // Before others are notified of the end: a successor may want the same port.
        self.host.ended(self, &process, belongings);
        // The end of the main process concerns more than its related processes.
        let is_main = process.system.is_main(process.id);
        if is_main {
            relations.get_or_insert_default();
        }
        if let Some(relations) = &mut relations {
            // Before anyone is notified: whoever looks a name up afterwards must not find the ended process.
            relations.names_fall(process.id);
            // Only what is gone is paid back: others fill that room at once.
            relations.drop_mail();
            relations.pay_back(process.purse());
            match is_main {
                true => self.tell_of_main_end(&process, relations, &reason),
                false => self.tell_of_end(&process, relations, &reason),
            }
        }
        // Nobody is notified of this, so nobody waits for it if it takes long. Otherwise it is done first, so that
        // whoever sees the end finds nothing left.
        if let Some(relations) = relations.take_if(|_| !takes_long) {
            self.let_go(&process, &relations);
        }
        let worker = self.scheduler.worker();
        self.processes.remove(worker, process.id);
        self.counts.ended(worker, &reason);
        if let Some(budget) = process.local.budget() {
            Self::give_process_back(budget);
        }
        self.events.tell(|| {
            let (id, reason) = (process.id, reason.clone());
            (process.system.main(), Event::Ended { id, reason })
        });
        self.end_system_after(&process, &reason);
        for joiner in process.set_ended() {
            self.scheduler.wake(&joiner);
        }
        if let Some(relations) = relations {
            self.let_go(&process, &relations);
        }
    }

    /// Closes a channel that was made by a process with this budget, and wakes all its waiters.
    pub fn close_channel(&self, id: Id, budget: Option<&Arc<Budget>>) {
        let Some(closed) = self.channels.close(self.scheduler.worker(), id) else {
            return;
        };
        let Closed {
            waiters,
            messages,
            traces,
            paid,
            outside,
        } = closed;
        waiters.for_each(|waiter| self.wake_waiter(Some(waiter)));
        // The payment last.
        self.drop_aside(
            messages.len() + steps_to_drop(outside),
            budget,
            (messages, traces, paid),
        );
    }

    /// Drops something with this many parts: immediately if there are few, otherwise on a thread, at the expense of the
    /// budget.
    pub fn drop_aside(&self, parts: usize, budget: Option<&Arc<Budget>>, value: impl Send + 'static) {
        if parts > STEPS_MAX {
            self.aside.work(budget.cloned(), move || drop(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::budget::Caps;

    #[test]
    fn a_sandbox_has_one_part_however_many_budgets_it_makes() {
        let within = |parent: Option<&Arc<Budget>>| {
            let made = Budget::new(parent.cloned(), Caps::default(), Instant::now());
            made.unwrap()
        };
        let system = within(None);
        let sandbox = within(Some(&system));
        let inner = within(Some(&within(Some(&sandbox))));
        for (budget, of_system, expected) in [
            (Some(&inner), Some(&system), Some(&sandbox)),
            (Some(&sandbox), Some(&system), Some(&sandbox)),
            (Some(&system), Some(&system), Some(&system)),
            // A system without a budget: the sandbox's is the outermost.
            (Some(&inner), None, Some(&system)),
            (None, Some(&system), None),
        ] {
            let part = part(budget, of_system).map(Arc::as_ptr);
            assert_eq!(part, expected.map(Arc::as_ptr));
        }
    }
}
