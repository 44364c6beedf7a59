//! Whether this process has used its heap.

#[cfg(target_arch = "wasm32")]
use std::ptr;

/// False if the process has certainly not allocated so far. Costs a few loads and allocates nothing.
///
/// The heap starts at the linker's symbol `__heap_base`, where a fresh memory is zero, and libc's allocator puts the
/// header of its first chunk there before it gives out the first byte. When there is no room between `__heap_base` and
/// the end of the initial memory (`__heap_end`), the first allocation grows the memory instead. Memory that was grown
/// therefore counts as used too.
///
/// A program with an allocator of its own that lives in a static array looks unused for ever.
#[cfg(target_arch = "wasm32")]
#[inline]
pub(crate) fn heap_used() -> bool {
    /// How many words from `__heap_base` are looked at: one step of alignment (16 bytes) and the first header.
    const WORDS: usize = 4;
    /// The size of a page of wasm memory, in bytes.
    const PAGE_SIZE: usize = 65_536;

    unsafe extern "C" {
        static __heap_base: u64;
        static __heap_end: u64;
    }

    let start = (&raw const __heap_base).addr().next_multiple_of(align_of::<u64>());
    let end = (&raw const __heap_end).addr();
    if core::arch::wasm32::memory_size::<0>() > end / PAGE_SIZE {
        return true;
    }
    let words = WORDS.min(end.saturating_sub(start) / size_of::<u64>());
    let first = ptr::with_exposed_provenance::<u64>(start);
    // SAFETY: the linker puts `__heap_base` at or below `__heap_end`, which is the end of the initial memory, and memory
    // never shrinks: the words between them exist. They belong to the allocator and not to any Rust object, and a
    // volatile read makes no assumption about what they hold.
    (0..words).any(|at| unsafe { first.add(at).read_volatile() } != 0)
}

/// Other targets have no such bound, and their processes no such need to know.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn heap_used() -> bool {
    true
}
