//! Places in memory that a waiting process needs first when it goes on, so that they can be fetched into the cache before it does.
//!
//! A process that has waited while a thousand others ran finds nothing of its own in the cache, and no page in the TLB. To receive
//! a message it needs some thirty cache lines on several pages, and meets them one after another. Between its wake-up and its run
//! the process that woke it runs on for some hundred nanoseconds: meanwhile all of these lines can be on their way at once.
//!
//! An address may be out of date, or of memory that is gone. To fetch from it has no effect but on the cache.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The addresses; 0 is none.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The top frame of its stack: that of the host function in which it waits.
    stack: AtomicUsize,
    /// The wait, in the future of the host function.
    wait: AtomicUsize,
    /// Where the guest wants the message.
    message: AtomicUsize,
}

const LINE: usize = 64;
/// The frames of the host function, of wasmtime and of the guest that are returned to.
const FRAMES: usize = 960;
/// The future of the host function begins before the wait, and ends behind it.
const FUTURE: usize = 256;
const FUTURE_REST: usize = 128;
/// The frames of the guest that are returned to lie behind the room for the message, in most guests.
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

    /// Begins to fetch them.
    pub(crate) fn fetch(&self) {
        let at = |place: &AtomicUsize| place.load(Ordering::Relaxed);
        let (stack, wait, message) = (at(&self.stack), at(&self.wait), at(&self.message));
        fetch(stack, FRAMES);
        fetch(message, LINE);
        fetch(message.wrapping_add(ROOM), 2 * LINE);
        fetch(wait.wrapping_sub(FUTURE), FUTURE + FUTURE_REST);
    }
}

/// Begins to fetch so many bytes.
fn fetch(address: usize, len: usize) {
    (0..len).step_by(LINE).for_each(|at| prefetch(address.wrapping_add(at)));
}

#[inline]
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it changes nothing but the cache, whatever the address is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
