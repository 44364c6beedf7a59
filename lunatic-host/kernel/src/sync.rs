//! The atomics and locks of what `tests/loom` models. There, a module with this name provides loom's versions, and the
//! host's files are compiled with it. So these files use only `crate::sync` for these things.

pub(crate) use std::sync::atomic;

pub(crate) use parking_lot::{Condvar, Mutex};

/// A cell with the interface of loom's.
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

/// Releases what others acquire by exchanges. Each exchange follows the value that it reads in the order of
/// modifications, so a plain store is enough.
#[inline]
pub(crate) fn clear(held: &atomic::AtomicBool) {
    held.store(false, atomic::Ordering::Release);
}

/// Called between two checks for an imminent action of another thread, after this many checks: first waits for some
/// nanoseconds, later yields to other threads, and finally sleeps.
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
