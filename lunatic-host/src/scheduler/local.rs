//! One worker's queues, and the order in which it takes from them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_deque::{Injector, Steal, Worker};

use super::{Remote, Unit};
use crate::module::Module;

/// So many hand-offs in a row, then the woken processes that wait longer have their turn.
const HAND_OFFS_MAX: u32 = 64;
/// Each so many picks the injector is looked at first, and each so many a fresh process.
const INJECTOR_TURN: u32 = 61;
const FRESH_TURN: u32 = 16;
/// Burners run at the latest after this time, whatever else is due.
const BURNER_WAIT_MAX: Duration = Duration::from_millis(10);
/// The clock is looked at each so many picks.
const BURNER_TURN: u32 = 32;

pub(super) struct Local {
    pub(super) scheduler: u64,
    pub(super) index: usize,
    pub(super) woken: Worker<Unit>,
    pub(super) fresh: Worker<Unit>,
    pub(super) burners: Worker<Unit>,
    slot: Option<Unit>,
    hand_offs: u32,
    picks: u32,
    burner_ran: Instant,
}

impl Local {
    pub(super) fn new(scheduler: u64, index: usize) -> Self {
        Self {
            scheduler,
            index,
            woken: Worker::new_fifo(),
            fresh: Worker::new_fifo(),
            burners: Worker::new_fifo(),
            slot: None,
            hand_offs: 0,
            picks: 0,
            burner_ran: Instant::now(),
        }
    }

    pub(super) fn remote(&self) -> Remote {
        Remote {
            woken: self.woken.stealer(),
            fresh: self.fresh.stealer(),
            burners: self.burners.stealer(),
        }
    }

    /// Whether something waits beside the one that has just used up its time slice, so that another worker could help.
    pub(super) fn has_more(&self) -> bool {
        !(self.woken.is_empty() && self.fresh.is_empty()) || self.burners.len() > 1
    }

    /// Whether a process waits in the slot, where no other worker sees it.
    pub(super) fn has_handed_off(&self) -> bool {
        self.slot.is_some()
    }

    /// Puts a woken process into the slot; the one that was there joins the others, and then there is work to steal.
    pub(super) fn hand_off(&mut self, process: Unit) -> bool {
        let Some(former) = self.slot.replace(process) else {
            return false;
        };
        self.woken.push(former);
        true
    }

    /// The next process of this worker that is not a burner, or a burner whose turn it is.
    pub(super) fn next(&mut self, injector: &Injector<Unit>) -> Option<Unit> {
        self.picks = self.picks.wrapping_add(1);
        let picks = self.picks;
        let turn = |every: u32| picks.is_multiple_of(every);
        if turn(BURNER_TURN) && !self.burners.is_empty() && self.burner_ran.elapsed() > BURNER_WAIT_MAX {
            return self.next_burner();
        }
        if turn(INJECTOR_TURN)
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
            .or_else(|| self.slot.take())
            .or_else(|| self.fresh.pop())
    }

    pub(super) fn next_burner(&mut self) -> Option<Unit> {
        let burner = self.burners.pop()?;
        self.burner_ran = Instant::now();
        Some(burner)
    }

    pub(super) fn next_fresh(&mut self, module: &Arc<Module>) -> Option<Unit> {
        if self.slot.is_some() || !self.woken.is_empty() {
            return None;
        }
        let process = self.fresh.pop()?;
        if Arc::ptr_eq(&process.module, module) && !process.is_killed() {
            return Some(process);
        }
        self.slot = Some(process);
        None
    }

    fn next_handed_off(&mut self) -> Option<Unit> {
        if self.hand_offs >= HAND_OFFS_MAX {
            self.hand_offs = 0;
            return None;
        }
        let process = self.slot.take();
        self.hand_offs = if process.is_some() { self.hand_offs + 1 } else { 0 };
        process
    }

    fn take_injected(&mut self, injector: &Injector<Unit>) -> Option<Unit> {
        loop {
            match injector.steal_batch_and_pop(&self.woken) {
                Steal::Success(process) => return Some(process),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }
}
