//! Orders: what asks processes to go on in another version, and what became of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use parking_lot::{Condvar, Mutex};

/// The states that an order keeps, in bytes, all together: 64 MiB.
const KEPT_MAX: usize = 64 << 20;

/// Asks processes to go on in a version of their code, when they come to their point of change.
pub(crate) struct Order<M> {
    /// The version.
    pub(crate) module: Arc<M>,
    /// How long an instance may take to read the state and to accept it.
    pub(crate) time_limit: Duration,
    /// The state is read by the other version, and then the process goes on as it is: nothing but a test.
    pub(crate) is_rehearsal: bool,
    /// For processes that come back to a version: what they left it with, if that version cannot read what they have become.
    fallbacks: Mutex<States>,
    /// What the processes left their former version with, as far as there is room for it.
    kept: Mutex<(States, usize)>,
    outcomes: Mutex<Outcomes>,
    came: Condvar,
}

#[derive(Default)]
struct Outcomes {
    came: HashMap<Id, Outcome>,
    /// Who waits is woken when there are so many. A thread that is woken for each costs more than the change of a process.
    awaited: usize,
}

/// States of processes.
pub(crate) type States = HashMap<Id, Arc<[u8]>>;

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The process runs the version; it stood still for this time.
    Changed { pause: Duration },
    /// It goes on as it was, for this reason.
    Kept { why: String },
}

impl<M> Order<M> {
    pub(crate) fn new(module: Arc<M>, time_limit: Duration) -> Self {
        Self {
            module,
            time_limit,
            is_rehearsal: false,
            fallbacks: Mutex::default(),
            kept: Mutex::default(),
            outcomes: Mutex::default(),
            came: Condvar::new(),
        }
    }

    /// An order that changes nothing.
    pub(crate) fn rehearsal(module: Arc<M>, time_limit: Duration) -> Self {
        Self {
            is_rehearsal: true,
            ..Self::new(module, time_limit)
        }
    }

    /// Processes that come back can go on with these.
    pub(crate) fn with_fallbacks(self, fallbacks: States) -> Self {
        *self.fallbacks.lock() = fallbacks;
        self
    }

    /// What a process can go on with if its own state is not taken; once.
    pub(crate) fn take_fallback(&self, process: Id) -> Option<Arc<[u8]>> {
        self.fallbacks.lock().remove(&process)
    }

    /// A copy of the state of a process that is about to change, if there is room for it.
    pub(crate) fn copy(&self, state: &[u8]) -> Option<Arc<[u8]>> {
        let has_room = !self.is_rehearsal && self.kept.lock().1 + state.len() <= KEPT_MAX;
        has_room.then(|| state.into())
    }

    /// A process has left its former version with this state.
    pub(crate) fn keep(&self, process: Id, state: Option<Arc<[u8]>>) {
        let Some(state) = state else { return };
        let mut kept = self.kept.lock();
        kept.1 += state.len();
        kept.0.insert(process, state);
    }

    /// What processes have left their former version with.
    pub(crate) fn take_kept(&self) -> States {
        std::mem::take(&mut *self.kept.lock()).0
    }

    /// A process has come to its point of change.
    pub(crate) fn came(&self, process: Id, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock();
        outcomes.came.insert(process, outcome);
        if outcomes.came.len() >= outcomes.awaited {
            self.came.notify_all();
        }
    }

    /// Waits until so many more have come, but not longer than until `deadline`, and takes all that have. For one thread.
    pub(crate) fn wait(&self, count: usize, deadline: Instant) -> HashMap<Id, Outcome> {
        let mut outcomes = self.outcomes.lock();
        outcomes.awaited = count;
        while outcomes.came.len() < count && !self.came.wait_until(&mut outcomes, deadline).timed_out() {}
        std::mem::take(&mut outcomes.came)
    }
}
