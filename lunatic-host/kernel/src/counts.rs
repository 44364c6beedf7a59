//! Counts the processes that were spawned and that have ended: numbers that only grow.
//!
//! Each worker counts in cache lines of its own, so counting is an uncontended addition.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exit::{ExitReason, KINDS};

/// Further workers share.
const SHARDS: usize = 32;

/// The number of processes that ended for each kind of reason, in the order of [`KINDS`].
pub type Ends = [u64; KINDS.len()];

#[repr(align(128))]
#[derive(Default)]
struct Shard {
    spawned: AtomicU64,
    ended: [AtomicU64; KINDS.len()],
}

pub(crate) struct Counts(Box<[Shard; SHARDS]>);

impl Default for Counts {
    fn default() -> Self {
        Self(Box::new(array::from_fn(|_| Shard::default())))
    }
}

impl Counts {
    /// Counts a new process. `worker` is the caller's number; any number will do.
    pub(crate) fn spawned(&self, worker: usize) {
        self.0[worker % SHARDS].spawned.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a process that has ended.
    pub(crate) fn ended(&self, worker: usize, reason: &ExitReason) {
        self.0[worker % SHARDS].ended[reason.kind()].fetch_add(1, Ordering::Relaxed);
    }

    /// The number of processes that were spawned, and of those that have ended. Neither ever decreases.
    pub(crate) fn read(&self) -> (u64, Ends) {
        // Ends first: otherwise there could be more ends than spawns.
        let ended = array::from_fn(|kind| self.sum(|shard| &shard.ended[kind]));
        (self.sum(|shard| &shard.spawned), ended)
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.0.iter().map(|shard| counter(shard).load(Ordering::Acquire)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_count_is_added_up() {
        let counts = Counts::default();
        for worker in 0..100 {
            counts.spawned(worker);
            counts.ended(worker, &ExitReason::Killed);
        }
        counts.ended(7, &ExitReason::Panic(String::new()));
        let (spawned, ended) = counts.read();
        let of = |name| ended[KINDS.iter().position(|kind| *kind == name).unwrap()];
        assert_eq!((spawned, of("killed"), of("panic"), of("normal")), (100, 100, 1, 0));
    }
}
