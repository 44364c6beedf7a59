//! A quota: bytes that many may take from, and none may exceed.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// The quota has not so much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// What queued messages hold in all queues together.
#[derive(Debug)]
pub(crate) struct Quota {
    used: AtomicUsize,
    max: usize,
}

impl Quota {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            max,
        }
    }

    pub(crate) fn charge(&self, bytes: usize) -> Result<(), Exhausted> {
        let grow = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.max);
        let charged = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow);
        charged.map(drop).map_err(|_| Exhausted)
    }

    /// Charges for what cannot be refused.
    pub(crate) fn charge_anyway(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}
