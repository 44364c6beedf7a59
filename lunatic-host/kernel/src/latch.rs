//! A lock for operations of some nanoseconds.
//!
//! A mutex takes one atomic exchange to lock, and another to unlock, which also checks whether a thread sleeps until
//! then. Nobody sleeps for a latch, so a plain store unlocks it. A message between two processes takes three locks, and
//! an exchange some 7 ns.
//!
//! A waiting thread spins for about a microsecond, then yields to other threads between two checks, and finally sleeps:
//! the holder may have been interrupted, or may have to grow a long queue. So a latch is for data of which nearly every
//! use is short.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{UnsafeCell, clear, relax};

/// A value that one thread at a time may use.
pub(crate) struct Latch<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `held` is true while a thread has a reference to the value, so only one has. The value moves between threads
// as if it were sent, so it must be `Send`, and no more.
unsafe impl<T: Send> Sync for Latch<T> {}

/// The value of a locked latch.
pub(crate) struct Held<'a, T> {
    latch: &'a Latch<T>,
    /// Makes it `Sync` only if the value is.
    value: PhantomData<&'a mut T>,
}

impl<T> Latch<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits until no other thread holds the latch. A thread that holds it must not lock it again.
    #[inline]
    pub(crate) fn lock(&self) -> Held<'_, T> {
        self.try_lock().unwrap_or_else(|| self.wait())
    }

    /// Returns the value, if no thread holds the latch.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Held<'_, T>> {
        let is_free = !self.held.swap(true, Ordering::Acquire);
        // A closure, because dropping a `Held` unlocks the latch.
        is_free.then(|| Held {
            latch: self,
            value: PhantomData,
        })
    }

    #[cold]
    fn wait(&self) -> Held<'_, T> {
        let mut looks = 0_u32;
        loop {
            relax(looks);
            looks = looks.saturating_add(1);
            if !self.held.load(Ordering::Relaxed)
                && let Some(held) = self.try_lock()
            {
                return held;
            }
        }
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this thread holds the latch, and the borrow of `self` prevents another reference meanwhile.
        self.latch.value.with_mut(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and nobody else has a reference.
        self.latch.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        clear(&self.latch.held);
    }
}

impl<T> fmt::Debug for Latch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn one_thread_at_a_time_has_the_value() {
        const EACH: usize = 20_000;
        let latch = Latch::new((0, 0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let mut pair = latch.lock();
                        pair.0 += 1;
                        pair.1 += 1;
                        assert_eq!(pair.0, pair.1);
                    }
                });
            }
        });
        assert_eq!(*latch.lock(), (4 * EACH, 4 * EACH));
    }

    #[test]
    fn who_finds_the_latch_held_leaves_it_held() {
        let latch = Latch::new(());
        let held = latch.lock();
        assert!(latch.try_lock().is_none() && latch.try_lock().is_none());
        drop(held);
        assert!(latch.try_lock().is_some());
    }

    #[test]
    fn a_panic_gives_the_latch_back() {
        let latch = Latch::new(1);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _held = latch.lock();
            panic!("this is a test");
        }));
        assert!(result.is_err());
        *latch.lock() += 1;
        assert_eq!(*latch.lock(), 2);
    }
}
