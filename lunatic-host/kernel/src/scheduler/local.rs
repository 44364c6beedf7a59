//! One worker's queues, and the order in which it takes from them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_deque::{Injector, Steal, Worker};

use super::{Remote, Unit};
use crate::environment::Environment;

/// So many hand-offs in a row, then the woken processes that wait longer have their turn.
const HAND_OFFS_MAX: u32 = 64;
/// Each so many picks the injector is looked at first, and each so many a fresh process.
const INJECTOR_TURN: u32 = 61;
const FRESH_TURN: u32 = 16;
/// Burners run at the latest after this time, whatever else is due.
const BURNER_WAIT_MAX: Duration = Duration::from_millis(10);
/// The clock is looked at each so many picks.
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
    /// A time slice has ended since the injector was looked at.
    slice_ended: bool,
    burner_ran: Instant,
    machine: Arc<dyn Environment>,
}

impl<P> Local<P> {
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
            slice_ended: false,
            burner_ran: machine.now(),
            machine,
        }
    }

    pub(super) fn remote(&self) -> Remote<P> {
        Remote {
            woken: self.woken.stealer(),
            fresh: self.fresh.stealer(),
            burners: self.burners.stealer(),
        }
    }

    /// Whether a process waits in the slot, where no other worker sees it.
    pub(super) fn has_handed_off(&self) -> bool {
        self.slot.is_some()
    }

    /// A process has used up its time slice: those that timers and input have woken since the last one go first. Whether
    /// something waits beside it, so that another worker could help.
    pub(super) fn slice_ended(&mut self) -> bool {
        self.slice_ended = true;
        !(self.woken.is_empty() && self.fresh.is_empty() && self.burners.is_empty())
    }

    /// Puts a woken process into the slot; the one that was there joins the others, and then there is work to steal.
    pub(super) fn hand_off(&mut self, process: Unit<P>) -> bool {
        let Some(former) = self.slot.replace(process) else {
            return false;
        };
        self.woken.push(former);
        true
    }

    /// The next process of this worker that is not a burner, or a burner whose turn it is.
    pub(super) fn next(&mut self, injector: &Injector<Unit<P>>) -> Option<Unit<P>> {
        self.picks = self.picks.wrapping_add(1);
        let picks = self.picks;
        let turn = |every: u32| picks.is_multiple_of(every);
        // Each of these turns keeps one queue from starving behind those that otherwise go first.
        if turn(BURNER_TURN) && !self.burners.is_empty() && self.burners_have_waited() {
            return self.next_burner();
        }
        if (turn(INJECTOR_TURN) || self.slice_ended)
            && let Some(process) = self.take_injected(injector)
        {
            return Some(process);
        }
        if turn(FRESH_TURN)
            && let Some(process) = self.fresh.pop()
        {
            return Some(process);
        }
        self.next_handed_off()
            .or_else(|| self.woken.pop())
            .or_else(|| self.take_injected(injector))
            // Hand-offs have had their share, but nothing else has waited.
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

    /// The next fresh process, if none that waited goes before it and it `fits`.
    pub(super) fn next_fresh(&mut self, fits: impl FnOnce(&P) -> bool) -> Option<Unit<P>> {
        if self.slot.is_some() || !self.woken.is_empty() {
            return None;
        }
        let process = self.fresh.pop()?;
        if fits(&process) {
            return Some(process);
        }
        // It was next, and stays that.
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
        self.slice_ended = false;
        loop {
            match injector.steal_batch_and_pop(&self.woken) {
                Steal::Success(process) => return Some(process),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }
}
