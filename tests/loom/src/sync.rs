//! Loom's atomics and locks under the names and with the interface of those that the host uses.

use std::ops::{Deref, DerefMut};

pub(crate) use loom::cell::UnsafeCell;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

/// Empty only while it waits.
pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

#[derive(Debug)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().expect("no model panics with a lock")))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("nobody looks while it waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("nobody looks while it waits")
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let inner = guard.0.take().expect("a guard waits once at a time");
        guard.0 = Some(self.0.wait(inner).expect("no model panics with a lock"));
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}

/// An exchange, as loom puts a plain store in no order with what others exchange at the same time.
pub(crate) fn clear(held: &atomic::AtomicBool) {
    held.swap(false, atomic::Ordering::Release);
}

/// Loom lets another thread run, as this one goes on for ever without it.
pub(crate) fn relax(_: u32) {
    loom::thread::yield_now();
}

/// Loom's atomics take `SeqCst` for `AcqRel`, and would show what cannot happen. Here a fence of that order, which loom
/// knows, follows each such access that may write, as in the code that compilers make of it for x86.
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{Ordering, fence};

    fn ordered<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
        let result = access();
        if order == Ordering::SeqCst {
            fence(order);
        }
        result
    }

    macro_rules! atomic {
        ($($name:ident: $value:ty),+) => {
            $(#[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.0.load(order)
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    ordered(order, || self.0.store(value, order));
                }

                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    ordered(order, || self.0.swap(value, order))
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    ordered(success, || self.0.compare_exchange(current, new, success, failure))
                }

                pub(crate) fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    update: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    ordered(set, || self.0.fetch_update(set, fetch, update))
                }
            })+
        };
    }

    atomic!(AtomicBool: bool, AtomicU8: u8, AtomicU64: u64, AtomicUsize: usize);

    macro_rules! number {
        ($($name:ident: $value:ty),+) => {
            $(impl $name {
                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    ordered(order, || self.0.fetch_add(value, order))
                }

                pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    ordered(order, || self.0.fetch_sub(value, order))
                }
            })+
        };
    }

    number!(AtomicU64: u64, AtomicUsize: usize);
}
