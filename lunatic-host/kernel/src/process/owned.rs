//! A value that belongs to whoever has claimed the process that contains it.
//!
//! The [state](super::state) of a process determines the owner: the worker that moved it to Running, or the thread that
//! moved it to Freezing, until the owner moves it on. The atomic exchanges of these moves order the actions of one
//! owner before those of the next. So the value needs no lock, which would take four more exchanges each time a process
//! waits. The models in `tests/loom` have a value of this type in each process.

use crate::sync::UnsafeCell;

/// A value without a lock, for one owner at a time.
pub(crate) struct Owned<T>(UnsafeCell<T>);

// SAFETY: only one thread at a time accesses the value, as `with` requires. It moves between threads as if it were
// sent, so it must be `Send`, and no more.
unsafe impl<T: Send> Sync for Owned<T> {}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Calls `f` with the value.
    ///
    /// # Safety
    ///
    /// The caller owns the value: it has claimed the process, or prevented it from being woken, and has not moved it
    /// on; or no other thread has a reference to the process, or will use it. And `f` does not call this for the same
    /// value.
    pub(crate) unsafe fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the caller owns the value, so no other reference to it exists.
        self.0.with_mut(|value| f(unsafe { &mut *value }))
    }
}
