//! The states of a process, and who may change them.
//!
//! ```text
//!   New ──▶ Queued ──▶ Running ──▶ Ended
//!             ▲ │      │  ▲ │
//!             │ │kill  ▼  │ └─ woken while it ran: queued again instead of blocked
//!        wake │ └─▶ Doomed ──▶ Running
//!             └────── Blocked ◀──▶ Freezing
//! ```
//!
//! Only `wake` moves Blocked to Queued; only a worker that took the process from a queue moves Queued to Running, and
//! on from there. So a process is on at most one worker at a time, and whoever moved it to Running owns its task until
//! it moves it on. A process is also in at most one queue, unless it is Doomed: killed while it was queued. Its turn
//! may be far away among many processes that compute, so it is queued once more, further ahead. The worker that takes
//! it first claims it; for the other worker, it has ended.
//!
//! What a process waits for is behind a lock that the process takes before it blocks, and that others take before they
//! wake it. So if a wake-up has no effect, because the process runs or is about to, the process will find what was made
//! visible.
//!
//! Whether it was killed is a word beside the state, without a lock: a worker checks it before it runs the process, and
//! again after it has blocked it. The word, the wake-up that follows it and the blocking are sequentially consistent:
//! either the wake-up meets a blocked process, or the worker sees the word.

use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};

const BLOCKED: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const RUNNING_WOKEN: u8 = 3;
const ENDED: u8 = 4;
const FREEZING: u8 = 5;
const FREEZING_WOKEN: u8 = 6;
const NEW: u8 = 7;
const DOOMED: u8 = 8;

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
    /// The state of a process that is in no queue yet.
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU8::new(NEW),
            killed: AtomicBool::new(false),
        }
    }

    /// Whether the caller must put the process into a queue now.
    pub(crate) fn wake(&self) -> bool {
        let next = |state| match state {
            BLOCKED => Some(QUEUED),
            RUNNING => Some(RUNNING_WOKEN),
            FREEZING => Some(FREEZING_WOKEN),
            _ => None,
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(BLOCKED)
    }

    /// Claims the process for a worker that took it from a queue; false if the worker must leave it alone, because
    /// another has claimed it.
    pub(crate) fn claim(&self) -> bool {
        let claim = |from| {
            self.state
                .compare_exchange(from, RUNNING, Ordering::AcqRel, Ordering::Acquire)
        };
        match claim(QUEUED) {
            Ok(_) => true,
            Err(DOOMED) => claim(DOOMED).is_ok(),
            Err(_) => false,
        }
    }

    /// For a process that was [killed](Self::kill) while it was queued: true if the caller must queue it once more.
    pub(crate) fn hurry(&self) -> bool {
        self.state
            .compare_exchange(QUEUED, DOOMED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Called when the worker has put the task back. True if the process is blocked now, and the caller must check
    /// whether it has been killed; false if it was woken meanwhile, and the caller must queue it.
    pub(crate) fn block(&self) -> bool {
        self.block_from(RUNNING)
    }

    /// Prevents a blocked process from being woken, so that its memory can be frozen; false if it is not blocked.
    pub(crate) fn freeze(&self) -> bool {
        self.state
            .compare_exchange(BLOCKED, FREEZING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Makes the process blocked as before; false if it was woken meanwhile and the caller must queue it.
    pub(crate) fn block_again(&self) -> bool {
        self.block_from(FREEZING)
    }

    /// Called before the process, which is new or whose task has been put back, is queued.
    pub(crate) fn queue(&self) {
        // An exchange, because loom does not order a plain store with concurrent exchanges of others.
        self.state.swap(QUEUED, Ordering::AcqRel);
    }

    /// Ends the process for everyone who still knows it, when no worker is left to run it; waits until it is not being
    /// frozen. False if it has ended.
    pub(crate) fn seize(&self) -> bool {
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state == ENDED {
                return false;
            }
            let is_free = !matches!(state, FREEZING | FREEZING_WOKEN);
            let seize = || {
                self.state
                    .compare_exchange(state, ENDED, Ordering::AcqRel, Ordering::Relaxed)
            };
            if is_free && seize().is_ok() {
                return true;
            }
            std::thread::yield_now();
        }
    }

    /// Ends the process, which does not run any more.
    pub(crate) fn end(&self) {
        self.state.store(ENDED, Ordering::Release);
    }

    /// Asks the process to end. The caller wakes it, so that a worker notices.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Whether it waits, has not been woken, and is not being frozen.
    pub(crate) fn is_blocked(&self) -> bool {
        self.state.load(Ordering::Acquire) == BLOCKED
    }

    /// Whether it waits and has not been woken.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), BLOCKED | FREEZING)
    }

    /// What the process does.
    pub(crate) fn phase(&self) -> Phase {
        match self.state.load(Ordering::Acquire) {
            BLOCKED | FREEZING => Phase::Blocked,
            NEW | QUEUED | DOOMED | FREEZING_WOKEN => Phase::Queued,
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
