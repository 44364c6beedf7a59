//! The atomics and locks of what `tests/loom` models. There, a module of this name has loom's in their place, and the
//! host's files are compiled with it, so they name these things by `crate::sync` and nothing else.

pub(crate) use std::sync::atomic;

pub(crate) use parking_lot::{Condvar, Mutex};

/// The interface of loom's cell.
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Gives back what others ask for by exchanges. Of those, each follows in the order of changes on what it finds, so a plain store
/// is enough.
#[inline]
pub(crate) fn clear(held: &atomic::AtomicBool) {
    held.store(false, atomic::Ordering::Release);
}

/// To be called between two looks for what another thread is about to do, after so many looks: waits for some nanoseconds at
/// first, later lets other threads run, and at last sleeps.
pub(crate) fn relax(looks: u32) {
    const NEAR: u32 = 64;
    const SOON: u32 = 128;
    const SLEEP: std::time::Duration = std::time::Duration::from_micros(50);
    match looks {
        ..NEAR => std::hint::spin_loop(),
        NEAR..SOON => std::thread::yield_now(),
        SOON.. => std::thread::sleep(SLEEP),
    }
}
