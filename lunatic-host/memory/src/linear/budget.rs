//! The limit of all linear memories together.
//!
//! Each memory is charged [`MEMORY_CHARGE`] bytes, its initial size beyond [`INITIAL_FREE`] bytes, and every byte by
//! which it grows. The first part of the initial size is not charged in full because hardly any of it is touched: an
//! ordinary Rust guest starts with 1.1 MB, of which it uses 16 KB. The charge is given back when the memory ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The basic charge of each memory in bytes, whatever its size: what a small guest holds while it is frozen.
pub(crate) const MEMORY_CHARGE: usize = 4 << 10;

/// The bytes of a memory's initial size that [`MEMORY_CHARGE`] covers.
pub(crate) const INITIAL_FREE: usize = 4 << 20;

/// A number of bytes that all memories share. Greedy processes exhaust this number, and not the machine.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// Returns a budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Takes `bytes`; returns false, and takes nothing, if less is left.
    pub(crate) fn try_add(&self, bytes: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        // The number protects no other memory, so no ordering is needed.
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }

    /// Gives back `bytes` that [`try_add`](Self::try_add) took.
    pub(crate) fn sub(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "more was given back than taken");
    }

    /// Returns the bytes that are taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// The charge of one memory to a budget; given back on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl Charge {
    /// Charges a new memory of `initial` bytes; `None` if the budget does not have enough left.
    pub(crate) fn new(budget: &Arc<MemoryBudget>, initial: usize) -> Option<Charge> {
        let mut charge = Charge {
            budget: budget.clone(),
            bytes: 0,
        };
        charge
            .try_add(MEMORY_CHARGE.saturating_add(initial.saturating_sub(INITIAL_FREE)))
            .then_some(charge)
    }

    /// Charges `bytes` of growth; returns false, and charges nothing, if the budget does not have enough left.
    pub(crate) fn try_add(&mut self, bytes: usize) -> bool {
        let taken = self.budget.try_add(bytes);
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// The limit of all memories together, in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.budget.limit()
    }

    /// Gives back the `bytes` of a growth that did not happen.
    pub(crate) fn sub(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.budget.sub(bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_is_charged_what_it_grows() {
        let check = |initial: usize, growth: usize, used: usize| {
            let budget = MemoryBudget::new(usize::MAX);
            let mut charge = Charge::new(&budget, initial).unwrap();
            assert!(charge.try_add(growth));
            assert_eq!(budget.used(), used, "{initial} grown by {growth}");
            drop(charge);
            assert_eq!(budget.used(), 0);
        };
        check(0, 0, MEMORY_CHARGE);
        check(INITIAL_FREE, 0, MEMORY_CHARGE);
        check(INITIAL_FREE + 5, 0, MEMORY_CHARGE + 5);
        check(1 << 20, 64 << 10, MEMORY_CHARGE + (64 << 10));
    }

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let budget = MemoryBudget::new(MEMORY_CHARGE + 100);
        let mut charge = Charge::new(&budget, 0).unwrap();
        assert!(Charge::new(&budget, 0).is_none());
        assert!(!charge.try_add(101));
        assert!(!charge.try_add(usize::MAX));
        assert!(charge.try_add(100));
        assert!(!charge.try_add(1));
        charge.sub(100);
        assert_eq!(budget.used(), MEMORY_CHARGE);
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let budget = MemoryBudget::new(1000);
        let taken = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| (0..1000).filter(|_| budget.try_add(3)).count()));
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!((taken, budget.used()), (333, 999));
    }
}
