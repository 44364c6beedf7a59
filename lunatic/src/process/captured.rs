//! A check in debug builds: does a closure capture a reference to the heap of this process?
//!
//! The check reads the aligned words of the closure and asks for each whether an allocation starts at that address. So
//! it finds the references that `Box::leak`, `String::leak` and `Vec::leak` return. It is a guess that can fail in both
//! directions. It only warns, because any number may happen to be such an address, and a correct program must not fail
//! for that.
//!
//! False negatives: references into the middle of an allocation or to a static that was filled at run time; and the
//! words that are skipped to avoid the following.
//!
//! False positives to avoid: numbers, and padding, which can contain old addresses from the stack. The words of handles
//! are random, so the host checks whether a word belongs to a handle before the warning is given. A whole word can be
//! padding only in a type that is aligned to more than a word; there it is the second word of a pair, so second words
//! are skipped. A word that ends in a zero byte may be a `false` followed by padding. What remains are numbers that
//! happen to be the address of an allocation, and unused parts of enums.

#[cfg(debug_assertions)]
use std::io::{self, Write as _};
#[cfg(debug_assertions)]
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(debug_assertions)]
use lunatic_sys::layout::RawHandle;

#[cfg(debug_assertions)]
use crate::host;

/// Whether the check is on in the calling process.
static IS_ON: AtomicBool = AtomicBool::new(true);

/// Sets whether spawns of the calling process check what the closure captures for references to the heap. Returns the
/// previous setting.
///
/// In debug builds the check is on when a process starts, and switches itself off after the first warning, which goes
/// to standard error. In release builds there is no check. [`Capture`](super::Capture) explains what such a reference
/// would do. Switch the check off around a spawn that captures a number that is mistaken for an address.
///
/// # Examples
///
/// ```no_run
/// use lunatic::Process;
/// use lunatic::process::check_captures;
///
/// // It happens to be the address of a value on the heap.
/// let number = 1_179_664_u32;
/// let checked = check_captures(false);
/// Process::spawn(move || println!("{number}")).unwrap();
/// check_captures(checked);
/// ```
pub fn check_captures(on: bool) -> bool {
    IS_ON.swap(on, Ordering::Relaxed)
}

/// Warns if a closure seems to capture a reference to the heap. Does nothing in release builds.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn check<F>(_: &F) {}

/// Warns if a closure seems to capture a reference to the heap. Does nothing in release builds.
#[cfg(debug_assertions)]
#[inline]
#[track_caller]
pub(crate) fn check<F>(entry: &F) {
    // A closure smaller than a pointer, or aligned to less, has none.
    if align_of::<F>() < align_of::<usize>() || size_of::<F>() < size_of::<usize>() {
        return;
    }
    let words = size_of::<F>() / size_of::<usize>();
    let may_have_padding = align_of::<F>() > align_of::<usize>();
    check_words(
        std::ptr::from_ref(entry).cast(),
        words,
        if may_have_padding { 2 } else { 1 },
    );
}

/// Checks each `step`th word. All words must be readable; some may be padding.
#[cfg(debug_assertions)]
#[inline(never)]
#[track_caller]
fn check_words(words: *const usize, len: usize, step: usize) {
    if !IS_ON.load(Ordering::Relaxed) {
        return;
    }
    let word = |at: usize| {
        // SAFETY: the caller guarantees `len` aligned, readable words. A word may be uninitialised padding; a volatile
        // read takes the bytes in memory without the compiler assuming anything about them, and a wrong value only
        // makes the guess worse.
        unsafe { words.add(at).read_volatile() }
    };
    let (start, end) = host::heap_bounds();
    // No iterator: this code runs unoptimised, and a closure can capture 16,384 words.
    let mut at = 0;
    while at < len {
        let address = word(at);
        let is_on_heap = address & 0xff != 0 && address > start && address < end;
        if is_on_heap && host::starts_allocation(address) && !is_of_handle(&word, len, at) {
            // One warning is enough; a loop that spawns would repeat it.
            IS_ON.store(false, Ordering::Relaxed);
            warn(address, Location::caller());
            return;
        }
        at += step;
    }
}

/// Writes the warning to standard error in one write, so that no output of other processes gets in between.
#[cfg(debug_assertions)]
#[cold]
fn warn(address: usize, spawn: &Location<'_>) {
    let text = format!(
        "warning: the closure that is spawned at {spawn} captures {address:#x}, the address of a value on this process's \
         heap. If that is a reference that was leaked (`Box::leak`), it leads nowhere: the new process has a memory of its \
         own. Send the value in a message, or make it inside the closure. If it is a number and no reference, all is well; \
         `lunatic::process::check_captures(false)` switches this check off\n"
    );
    // If standard error is closed, the warning is lost.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Whether a word is part of the id or key of a process or channel handle: two 64-bit numbers side by side.
#[cfg(debug_assertions)]
fn is_of_handle(word: &impl Fn(usize) -> usize, len: usize, at: usize) -> bool {
    const NUMBER: usize = size_of::<u64>() / size_of::<usize>();

    let number = |at: usize| (0..NUMBER).fold(0, |number, half| number | (word(at + half) as u64) << (32 * half));
    let start = at / NUMBER * NUMBER;
    let is_handle = |start: usize| {
        start + 2 * NUMBER <= len && {
            let (id, key) = (number(start), number(start + NUMBER));
            host::is_handle(RawHandle { id, key })
        }
    };
    is_handle(start) || start.checked_sub(NUMBER).is_some_and(is_handle)
}
