//! The queues of one worker, and the order in which it takes from them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crossbeam_deque::{Injector, Steal, Worker};

use super::{Remote, Runnable, Unit};
use crate::environment::Environment;

/// After this many hand-offs in a row, woken processes that have waited longer have a turn.
const HAND_OFFS_MAX: u32 = 64;
/// Once in this many picks, the injector comes first; likewise a fresh process.
const INJECTOR_TURN: u32 = 61;
const FRESH_TURN: u32 = 16;
/// Burners run after this time at the latest, whatever else is due.
const BURNER_WAIT_MAX: Duration = Duration::from_millis(10);
/// The clock is read once in this many picks.
const BURNER_TURN: u32 = 32;

pub(super) struct Local<P> {
    pub(super) scheduler: u64,
    pub(super) index: usize,
    pub(super) woken: Worker<Unit<P>>,
    pub(super) fresh: Worker<Unit<P>>,
    pub(super) burners: Worker<Unit<P>>,
    slot: Option<Unit<P>>,
    hand_offs: u32,
    picks: u32,
    /// The time slice in which the injector was last checked.
    injector_seen: u32,
    burner_ran: Instant,
    machine: Arc<dyn Environment>,
}

impl<P: Runnable> Local<P> {
    pub(super) fn new(scheduler: u64, index: usize, machine: Arc<dyn Environment>) -> Self {
        Self {
            scheduler,
            index,
            woken: Worker::new_fifo(),
            fresh: Worker::new_fifo(),
            burners: Worker::new_fifo(),
            slot: None,
            hand_offs: 0,
            picks: 0,
            injector_seen: 0,
            burner_ran: machine.now(),
            machine,
        }
    }

    pub(super) fn remote(&self) -> Remote<P> {
        Remote {
            woken: self.woken.stealer(),
            fresh: self.fresh.stealer(),
            burners: self.burners.stealer(),
            steals: AtomicU64::new(0),
        }
    }

    /// Whether a process waits in the slot, where no other worker sees it.
    pub(super) fn has_handed_off(&self) -> bool {
        self.slot.is_some()
    }

    /// Whether the queues contain anything, so that another worker could help.
    pub(super) fn has_queued(&self) -> bool {
        !(self.woken.is_empty() && self.fresh.is_empty() && self.burners.is_empty())
    }

    /// Puts a woken process into the slot; the former one joins the queue, and then there is work to steal.
    pub(super) fn hand_off(&mut self, process: Unit<P>) -> bool {
        process.expect_run(self.picks);
        let Some(former) = self.slot.replace(process) else {
            return false;
        };
        self.woken.push(former);
        true
    }

    /// The next process of this worker in this time slice.
    pub(super) fn next(&mut self, injector: &Injector<Unit<P>>, slice: u32) -> Option<Unit<P>> {
        let process = self.pick(injector, slice)?;
        process.set_picked(self.picks);
        Some(process)
    }

    fn pick(&mut self, injector: &Injector<Unit<P>>, slice: u32) -> Option<Unit<P>> {
        self.picks = self.picks.wrapping_add(1);
        let picks = self.picks;
        let turn = |every: u32| picks.is_multiple_of(every);
        // Each of these turns prevents one queue from starving.
        if turn(BURNER_TURN) && !self.burners.is_empty() && self.burners_have_waited() {
            return self.next_burner();
        }
        // Also once per time slice: other runs may be long even if no process is preempted, for example if each ends.
        if turn(INJECTOR_TURN) || self.injector_seen != slice {
            self.injector_seen = slice;
            if let Some(process) = self.take_injected(injector) {
                return Some(process);
            }
        }
        if turn(FRESH_TURN)
            && let Some(process) = self.fresh.pop()
        {
            return Some(process);
        }
        self.next_handed_off()
            .or_else(|| self.woken.pop())
            .or_else(|| self.take_injected(injector))
            // Hand-offs have had their share, but nothing else was waiting.
            .or_else(|| self.slot.take())
            .or_else(|| self.fresh.pop())
    }

    fn burners_have_waited(&self) -> bool {
        self.machine.now().saturating_duration_since(self.burner_ran) > BURNER_WAIT_MAX
    }

    pub(super) fn next_burner(&mut self) -> Option<Unit<P>> {
        let burner = self.burners.pop()?;
        self.burner_ran = self.machine.now();
        Some(burner)
    }

    /// The next fresh process, if no waiting process precedes it and it `fits`.
    pub(super) fn next_fresh(&mut self, fits: impl FnOnce(&P) -> bool) -> Option<Unit<P>> {
        if self.slot.is_some() || !self.woken.is_empty() {
            return None;
        }
        let process = self.fresh.pop()?;
        if fits(&process) {
            return Some(process);
        }
        // It was next, and stays next.
        self.slot = Some(process);
        None
    }

    fn next_handed_off(&mut self) -> Option<Unit<P>> {
        if self.hand_offs >= HAND_OFFS_MAX {
            self.hand_offs = 0;
            return None;
        }
        let process = self.slot.take();
        self.hand_offs = if process.is_some() { self.hand_offs + 1 } else { 0 };
        process
    }

    fn take_injected(&mut self, injector: &Injector<Unit<P>>) -> Option<Unit<P>> {
        loop {
            match injector.steal_batch_and_pop(&self.woken) {
                Steal::Success(process) => return Some(process),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }
}
