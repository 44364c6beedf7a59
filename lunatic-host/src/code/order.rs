//! Orders ask processes to continue in another version, and collect the outcomes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use parking_lot::{Condvar, Mutex};

/// The most bytes of states that an upgrade keeps in total: 64 MiB.
const KEPT_MAX: usize = 64 << 20;

/// The room for copies of states, which all orders of an upgrade share.
pub(crate) struct Room(AtomicUsize);

impl Default for Room {
    fn default() -> Self {
        Self(AtomicUsize::new(KEPT_MAX))
    }
}

/// A copy of the state of a process. It takes up room until it is dropped.
pub(crate) struct StateCopy {
    bytes: Box<[u8]>,
    room: Arc<Room>,
}

impl StateCopy {
    /// `None` if there is no room for it.
    fn of(state: &[u8], room: &Arc<Room>) -> Option<Self> {
        let take = |left: usize| left.checked_sub(state.len());
        room.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Self {
            bytes: state.into(),
            room: room.clone(),
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for StateCopy {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Asks processes to continue in a version of their code when they reach their point of change.
pub(crate) struct Order<M> {
    /// The version.
    pub(crate) module: Arc<M>,
    /// How long an instance may take to read the state and accept it.
    pub(crate) time_limit: Duration,
    /// Only a test: the other version reads the state, and then the process continues unchanged.
    pub(crate) is_rehearsal: bool,
    /// Whether the SDK is asked to compare the messages of both versions, too. It is not if that was done in the rehearsal, and
    /// no process of that kind changes if they do not fit.
    pub(crate) describes: bool,
    /// Whether no process accepts the version any more. Locked while one does.
    revoked: Mutex<bool>,
    /// For processes that return to a version: the state with which they left it, in case that version cannot read
    /// their current state.
    fallbacks: Mutex<States>,
    /// The states with which processes left their former version, as far as there is room.
    kept: Mutex<States>,
    /// `None` if no states are kept.
    room: Option<Arc<Room>>,
    outcomes: Mutex<Outcomes>,
    came: Condvar,
}

#[derive(Default)]
struct Outcomes {
    came: HashMap<Id, Outcome>,
    /// The waiting thread is woken after this many outcomes. To wake it for each would cost more than the change of a
    /// process.
    awaited: usize,
}

/// States of processes.
pub(crate) type States = HashMap<Id, Arc<StateCopy>>;

/// The outcome of an order for one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The process runs the version; it was paused for this time.
    Changed { pause: Duration },
    /// The process continues as before, for this reason.
    Kept { why: String },
}

impl<M> Order<M> {
    pub(crate) fn new(module: Arc<M>, time_limit: Duration) -> Self {
        Self {
            module,
            time_limit,
            is_rehearsal: false,
            describes: false,
            revoked: Mutex::new(false),
            fallbacks: Mutex::default(),
            kept: Mutex::default(),
            room: None,
            outcomes: Mutex::default(),
            came: Condvar::new(),
        }
    }

    /// An order that changes nothing.
    pub(crate) fn rehearsal(module: Arc<M>, time_limit: Duration) -> Self {
        Self {
            is_rehearsal: true,
            describes: true,
            ..Self::new(module, time_limit)
        }
    }

    /// From now on, no process accepts the version: one that is on trial continues as before. The caller wakes those that
    /// wait in their trial.
    pub(crate) fn revoke(&self) {
        *self.revoked.lock() = true;
    }

    pub(crate) fn is_revoked(&self) -> bool {
        *self.revoked.lock()
    }

    /// Calls `accept`, which makes a process run the version, unless the order has been revoked: `None` if it has.
    pub(crate) fn unless_revoked<T>(&self, accept: impl FnOnce() -> T) -> Option<T> {
        let revoked = self.revoked.lock();
        (!*revoked).then(accept)
    }

    /// Compares the messages of both versions for each process.
    pub(crate) fn describing(self, describes: bool) -> Self {
        Self { describes, ..self }
    }

    /// Keeps the states with which processes leave their former version, as far as there is room.
    pub(crate) fn keeping(self, room: &Arc<Room>) -> Self {
        Self {
            room: Some(room.clone()),
            ..self
        }
    }

    /// Adds states with which returning processes can continue.
    pub(crate) fn with_fallbacks(self, fallbacks: States) -> Self {
        *self.fallbacks.lock() = fallbacks;
        self
    }

    /// Takes the state with which a process can continue if its own state is rejected.
    pub(crate) fn take_fallback(&self, process: Id) -> Option<Arc<StateCopy>> {
        self.fallbacks.lock().remove(&process)
    }

    /// Copies the state of a process that is about to change, if states are kept and there is room for it.
    pub(crate) fn copy(&self, state: &[u8]) -> Option<StateCopy> {
        StateCopy::of(state, self.room.as_ref()?)
    }

    /// Records the state with which a process has left its former version.
    pub(crate) fn keep(&self, process: Id, state: Option<StateCopy>) {
        if let Some(state) = state {
            self.kept.lock().insert(process, Arc::new(state));
        }
    }

    /// Takes the states with which processes have left their former version.
    pub(crate) fn take_kept(&self) -> States {
        std::mem::take(&mut *self.kept.lock())
    }

    /// Records that a process has reached its point of change.
    pub(crate) fn came(&self, process: Id, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock();
        outcomes.came.insert(process, outcome);
        if outcomes.came.len() >= outcomes.awaited {
            self.came.notify_all();
        }
    }

    /// Waits for this many more outcomes, but no longer than until `deadline`, and takes all that have arrived. Only
    /// one thread may wait.
    pub(crate) fn wait(&self, count: usize, deadline: Instant) -> HashMap<Id, Outcome> {
        let mut outcomes = self.outcomes.lock();
        outcomes.awaited = count;
        while outcomes.came.len() < count && !self.came.wait_until(&mut outcomes, deadline).timed_out() {}
        std::mem::take(&mut outcomes.came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_of_an_upgrade_share_the_room_for_states() {
        let room = Arc::default();
        let orders = [(); 2].map(|()| Order::new(Arc::new(()), Duration::ZERO).keeping(&room));
        let half = vec![0; KEPT_MAX / 2];
        // Two processes are about to change, each for an order of its own.
        let copies = [0, 1].map(|at| orders[at].copy(&half));
        assert!(copies.iter().all(Option::is_some));
        assert!(orders[0].copy(&[0]).is_none());
        let [one, other] = copies;
        // The one stays as it is, the other changes.
        drop(one);
        orders[1].keep(Id::NONE, other);
        assert!(orders[0].copy(&half[..KEPT_MAX / 4]).is_some());
        let again = orders[1].copy(&half);
        assert!(again.is_some() && orders[0].copy(&[0]).is_none());
        drop((again, orders[1].take_kept()));
        assert_eq!(room.0.load(Ordering::Relaxed), KEPT_MAX);
    }

    #[test]
    fn without_room_no_state_is_copied() {
        let order = Order::new(Arc::new(()), Duration::ZERO);
        assert!(order.copy(&[1]).is_none());
        let order = Order::rehearsal(Arc::new(()), Duration::ZERO);
        assert!(order.copy(&[1]).is_none());
    }
}
