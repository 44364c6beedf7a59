//! Facts about the heap of this process: whether it was used, and where allocations start.

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

/// Returns false only if the process has certainly not allocated yet. Costs a few loads and does not allocate.
///
/// The heap starts at the linker's symbol `__heap_base`, where a fresh memory is zero. Before libc's allocator gives
/// out the first byte, it puts the header of its first chunk there. If there is no room between `__heap_base` and the
/// end of the initial memory (`__heap_end`), the first allocation grows the memory instead. Therefore a memory that was
/// grown also counts as used.
///
/// If a program has its own allocator in a static array, its heap always counts as unused.
#[cfg(target_arch = "wasm32")]
#[inline]
pub(crate) fn heap_used() -> bool {
    /// How many words from `__heap_base` are read: one step of alignment (16 bytes) and the first header.
    const WORDS: usize = 4;

    let start = (&raw const __heap_base).addr().next_multiple_of(align_of::<u64>());
    let end = (&raw const __heap_end).addr();
    if core::arch::wasm32::memory_size::<0>() > end / PAGE_SIZE {
        return true;
    }
    let words = WORDS.min(end.saturating_sub(start) / size_of::<u64>());
    let first = ptr::with_exposed_provenance::<u64>(start);
    // SAFETY: the linker puts `__heap_base` at or below `__heap_end`, the end of the initial memory, and memory never
    // shrinks, so the words between them exist. They belong to the allocator and not to any Rust object, and a volatile
    // read makes no assumption about their contents.
    (0..words).any(|at| unsafe { first.add(at).read_volatile() } != 0)
}

/// Other targets have no such bound, and no processes that need it.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn heap_used() -> bool {
    true
}

/// The start of the heap of this process, and the end of its memory. For debug builds.
#[cfg(all(target_arch = "wasm32", debug_assertions))]
pub(crate) fn heap_bounds() -> (usize, usize) {
    let start = (&raw const __heap_base).addr().next_multiple_of(align_of::<usize>());
    let end = core::arch::wasm32::memory_size::<0>().saturating_mul(PAGE_SIZE);
    (start, end)
}

/// Whether libc's allocator seems to have given out an allocation that starts at this address and was not freed. For
/// debug builds: a guess that is nearly always right.
///
/// The allocator is dlmalloc. Allocations are aligned to 16 bytes. The word before an allocation holds the size of its
/// *chunk*; the lowest bits are flags: 1 means that the previous chunk is in use, 2 that this one is. The chunk begins
/// two words before the allocation, and the next chunk follows it.
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
        // SAFETY: `at` lies between the start of the heap and the end of the memory, and is aligned to a word. The word
        // may belong to any object or to the allocator; a volatile read makes no assumption about its contents.
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

/// Other targets have no processes whose heaps could be read.
#[cfg(all(not(target_arch = "wasm32"), debug_assertions))]
pub(crate) fn heap_bounds() -> (usize, usize) {
    (0, 0)
}

/// Other targets have no processes whose heaps could be read.
#[cfg(all(not(target_arch = "wasm32"), debug_assertions))]
pub(crate) fn starts_allocation(_: usize) -> bool {
    false
}
