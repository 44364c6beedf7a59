//! Addresses that a waiting process needs first when it continues, so that they can be prefetched into the cache.
//!
//! A process that has waited while a thousand others ran finds none of its data in the cache, and no page in the TLB.
//! To receive a message, it needs some thirty cache lines on several pages, and reaches them one after another. Between
//! its wake-up and its run, the process that woke it continues for some hundred nanoseconds; in this time, all of these
//! lines can be loaded in parallel.
//!
//! An address may be stale, or lead to memory that is gone. Prefetching it affects only the cache.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The addresses; 0 means none.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The top frame of its stack, which is that of the host function in which it waits.
    stack: AtomicUsize,
    /// The wait, inside the future of the host function.
    wait: AtomicUsize,
    /// The address to which the guest wants the message to be written.
    message: AtomicUsize,
}

const LINE: usize = 64;
/// The size of the frames of the host function, of wasmtime and of the guest to which it returns.
const FRAMES: usize = 960;
/// The future of the host function begins before the wait, and ends after it.
const FUTURE: usize = 256;
const FUTURE_REST: usize = 128;
/// In most guests, the frames to which it returns lie after the room for the message.
const ROOM: usize = 512;

impl Places {
    pub(crate) fn set_stack(&self, address: usize) {
        self.stack.store(address, Ordering::Relaxed);
    }

    pub(crate) fn set_wait<T>(&self, wait: &T) {
        self.wait.store(std::ptr::from_ref(wait).addr(), Ordering::Relaxed);
    }

    pub(crate) fn set_message(&self, room: &[u8]) {
        self.message.store(room.as_ptr().addr(), Ordering::Relaxed);
    }

    /// Begins to prefetch them.
    pub(crate) fn fetch(&self) {
        let at = |place: &AtomicUsize| place.load(Ordering::Relaxed);
        let (stack, wait, message) = (at(&self.stack), at(&self.wait), at(&self.message));
        fetch(stack, FRAMES);
        fetch(message, LINE);
        fetch(message.wrapping_add(ROOM), 2 * LINE);
        fetch(wait.wrapping_sub(FUTURE), FUTURE + FUTURE_REST);
    }
}

/// Begins to prefetch this many bytes.
fn fetch(address: usize, len: usize) {
    (0..len).step_by(LINE).for_each(|at| prefetch(address.wrapping_add(at)));
}

#[inline]
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: this affects only the cache, whatever the address is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
