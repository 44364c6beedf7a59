//! A quota: bytes that many may take from, and none may exceed.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// The quota has not so much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// What queued messages hold in all queues together.
#[derive(Debug)]
pub struct Quota {
    used: AtomicUsize,
    max: usize,
}

impl Quota {
    /// A quota of so many bytes.
    pub fn new(max: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            max,
        }
    }

    /// Takes so many bytes, if there are as many left.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there are not; then nothing is taken.
    pub fn charge(&self, bytes: usize) -> Result<(), Exhausted> {
        let grow = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.max);
        let charged = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow);
        charged.map(drop).map_err(|_| Exhausted)
    }

    /// Charges for what cannot be refused.
    pub fn charge_anyway(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was charged.
    pub fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The bytes that are taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}
