//! The states of a process, and who may change them.
//!
//! ```text
//!   spawn ──▶ Queued ──▶ Running ──▶ Ended
//!               ▲        │  ▲ │
//!          wake │  block ▼  │ └─ woken while it ran: queued again instead of blocked
//!               └────── Blocked ◀──▶ Freezing
//! ```
//!
//! Only `wake` moves Blocked to Queued, only the worker that took the process from a queue moves Queued to Running and
//! on from there. So a process is in at most one queue and on at most one worker at a time, and whoever moved it to
//! Running owns its task until it moves it on.
//!
//! What a process waits for is behind a lock that it takes before it blocks, and that others take before they wake it. So
//! whoever wakes it without effect, because it runs or is about to, has made visible what it will find.
//!
//! That it was killed is a word beside the state, behind no lock: a worker looks at it before it runs the process, and once
//! more after it has blocked it. The word, the wake-up that follows it and the blocking are sequentially consistent:
//! either the wake-up meets a blocked process, or the worker sees the word.

use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};

const BLOCKED: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const RUNNING_WOKEN: u8 = 3;
const ENDED: u8 = 4;
const FREEZING: u8 = 5;
const FREEZING_WOKEN: u8 = 6;

/// What a process does, as a snapshot shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for something.
    Blocked,
    /// It waits for a worker.
    Queued,
    /// A worker runs it.
    Running,
    /// It has ended.
    Ended,
}

pub(crate) struct State {
    state: AtomicU8,
    killed: AtomicBool,
}

impl State {
    /// The state of a process that is about to be queued for the first time.
    pub(crate) fn queued() -> Self {
        Self {
            state: AtomicU8::new(QUEUED),
            killed: AtomicBool::new(false),
        }
    }

    /// True if the caller must put the process into a queue now.
    pub(crate) fn wake(&self) -> bool {
        let next = |state| match state {
            BLOCKED => Some(QUEUED),
            RUNNING => Some(RUNNING_WOKEN),
            FREEZING => Some(FREEZING_WOKEN),
            _ => None,
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(BLOCKED)
    }

    /// The worker that took the process from a queue starts to run it.
    pub(crate) fn run(&self) {
        self.state.store(RUNNING, Ordering::Release);
    }

    /// The worker has put the task back. True if the process is blocked now, and the caller must look whether it has been
    /// killed; false if it was woken meanwhile and the caller must queue it.
    pub(crate) fn block(&self) -> bool {
        self.block_from(RUNNING)
    }

    /// Takes a blocked process out of reach of wake-ups, so that its memory can be frozen; false if it is not blocked.
    pub(crate) fn freeze(&self) -> bool {
        self.state
            .compare_exchange(BLOCKED, FREEZING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The process is blocked as before; false if it was woken meanwhile and the caller must queue it.
    pub(crate) fn block_again(&self) -> bool {
        self.block_from(FREEZING)
    }

    /// The worker has put the task back and will queue the process.
    pub(crate) fn queue(&self) {
        self.state.store(QUEUED, Ordering::Release);
    }

    /// The process runs no more.
    pub(crate) fn end(&self) {
        self.state.store(ENDED, Ordering::Release);
    }

    /// Asks the process to end. The caller wakes it, so that a worker sees that.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// It waits, nobody has woken it, and nobody freezes it.
    pub(crate) fn is_blocked(&self) -> bool {
        self.state.load(Ordering::Acquire) == BLOCKED
    }

    /// It waits, and nobody has woken it.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), BLOCKED | FREEZING)
    }

    /// What the process does.
    pub(crate) fn phase(&self) -> Phase {
        match self.state.load(Ordering::Acquire) {
            BLOCKED | FREEZING => Phase::Blocked,
            QUEUED | FREEZING_WOKEN => Phase::Queued,
            RUNNING | RUNNING_WOKEN => Phase::Running,
            _ => Phase::Ended,
        }
    }

    fn block_from(&self, state: u8) -> bool {
        let blocked = self
            .state
            .compare_exchange(state, BLOCKED, Ordering::SeqCst, Ordering::Acquire);
        if blocked.is_err() {
            self.state.store(QUEUED, Ordering::Release);
        }
        blocked.is_ok()
    }
}
