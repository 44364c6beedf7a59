//! What can be told of this process's heap: whether it was used, and where allocations start.

#[cfg(target_arch = "wasm32")]
use std::ptr;

/// The size of a page of wasm memory, in bytes.
#[cfg(target_arch = "wasm32")]
const PAGE_SIZE: usize = 65_536;

#[cfg(target_arch = "wasm32")]
unsafe extern "C" {
    static __heap_base: u64;
    static __heap_end: u64;
}

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

/// Where the heap of this process starts, and the end of its memory. For debug builds.
#[cfg(all(target_arch = "wasm32", debug_assertions))]
pub(crate) fn heap_bounds() -> (usize, usize) {
    let start = (&raw const __heap_base).addr().next_multiple_of(align_of::<usize>());
    let end = core::arch::wasm32::memory_size::<0>().saturating_mul(PAGE_SIZE);
    (start, end)
}

/// Whether libc's allocator seems to have given out an allocation that starts at this address and was not freed. For debug
/// builds: a guess that is nearly always right.
///
/// The allocator is dlmalloc. What it gives out is aligned to 16 bytes. The word before it holds the size of the *chunk*, of
/// which the lowest bits are flags: 1, the chunk before is in use; 2, this one is. The chunk begins two words before what is
/// given out, and the next chunk follows it.
#[cfg(all(target_arch = "wasm32", debug_assertions))]
pub(crate) fn starts_allocation(address: usize) -> bool {
    const ALIGNMENT: usize = 16;
    const HEADER: usize = 2 * size_of::<usize>();
    const FLAGS: usize = 7;
    const PREVIOUS_IN_USE: usize = 1;
    const IN_USE: usize = 2;

    let (start, end) = heap_bounds();
    if !address.is_multiple_of(ALIGNMENT) || address < start + HEADER || address >= end {
        return false;
    }
    let word = |at: usize| {
        // SAFETY: `at` is between the start of the heap and the end of the memory, aligned to a word. It may belong to any
        // object or to the allocator; a volatile read makes no assumption about what lies there.
        unsafe { ptr::with_exposed_provenance::<usize>(at).read_volatile() }
    };
    let head = word(address - size_of::<usize>());
    let size = head & !FLAGS;
    if head & IN_USE == 0 || size < ALIGNMENT || !size.is_multiple_of(ALIGNMENT) || size > end - address {
        return false;
    }
    let next_head = address - size_of::<usize>() + size;
    word(next_head) & PREVIOUS_IN_USE != 0
}

/// Other targets have no processes, whose heaps could be looked at.
#[cfg(all(not(target_arch = "wasm32"), debug_assertions))]
pub(crate) fn heap_bounds() -> (usize, usize) {
    (0, 0)
}

/// Other targets have no processes, whose heaps could be looked at.
#[cfg(all(not(target_arch = "wasm32"), debug_assertions))]
pub(crate) fn starts_allocation(_: usize) -> bool {
    false
}
