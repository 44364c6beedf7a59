//! A check of debug builds: does a closure capture a reference to this process's heap?
//!
//! It looks at aligned words of the closure and asks whether an allocation starts at that address. So it finds what
//! `Box::leak`, `String::leak` and `Vec::leak` return. It is a guess, in both directions, so it warns and stops nothing: any
//! number may happen to be such an address, and a correct program must not fail for it.
//!
//! What it misses: references into the middle of an allocation, or to a static that was filled at run time; and some words
//! that it does not look at, for the sake of the following.
//!
//! What it must not take for a reference: numbers, and padding, in which old addresses lie about on the stack. The words of
//! handles are random, so they are checked with the host before one is blamed. A whole word of padding is there only in
//! a type that is aligned to more than a word, and there it is the second of a pair, which is not looked at. A word
//! that ends in a zero byte may be a `false` with padding behind it. What remains are numbers that happen to be the address
//! of an allocation, and unused parts of enums.

#[cfg(debug_assertions)]
use std::io::{self, Write as _};
#[cfg(debug_assertions)]
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(debug_assertions)]
use lunatic_sys::layout::RawHandle;

#[cfg(debug_assertions)]
use crate::host;

/// Whether the calling process checks.
static IS_ON: AtomicBool = AtomicBool::new(true);

/// Whether spawns of the calling process look for references to its heap among what the closure captures, from now on;
/// returns whether they did before. On from the beginning of each process, until the first is found; and only in debug
/// builds: others never look.
///
/// [`Capture`](super::Capture) tells what such a reference would do. The check writes a warning to standard error. Switch it
/// off around a spawn that captures a number which only looks like an address.
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

/// Warns if a closure captures a reference to the heap, as far as that can be told. Does nothing in release builds.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn check<F>(_: &F) {}

/// Warns if a closure captures a reference to the heap, as far as that can be told. Does nothing in release builds.
#[cfg(debug_assertions)]
#[inline]
#[track_caller]
pub(crate) fn check<F>(entry: &F) {
    // What has no pointer in it needs no look.
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

/// Checks each `step`th word. The words must be readable, some of them may be padding.
#[cfg(debug_assertions)]
#[inline(never)]
#[track_caller]
fn check_words(words: *const usize, len: usize, step: usize) {
    if !IS_ON.load(Ordering::Relaxed) {
        return;
    }
    let word = |at: usize| {
        // SAFETY: the caller has so many words, aligned. One of them may be padding, of which nothing is known; a volatile
        // read takes what lies in memory, about which the compiler assumes nothing. It only makes the guess a worse one.
        unsafe { words.add(at).read_volatile() }
    };
    let (start, end) = host::heap_bounds();
    // No iterator: this is code without optimisation, and a closure may capture 16,384 words.
    let mut at = 0;
    while at < len {
        let address = word(at);
        let is_on_heap = address & 0xff != 0 && address > start && address < end;
        if is_on_heap && host::starts_allocation(address) && !is_of_handle(&word, len, at) {
            // One warning says it, and a loop that spawns would repeat it.
            IS_ON.store(false, Ordering::Relaxed);
            warn(address, Location::caller());
            return;
        }
        at += step;
    }
}

/// Says it on standard error, as one write, so that lines of other processes do not come between.
#[cfg(debug_assertions)]
#[cold]
fn warn(address: usize, spawn: &Location<'_>) {
    let text = format!(
        "warning: the closure that is spawned at {spawn} captures {address:#x}, the address of a value on this process's \
         heap. If that is a reference that was leaked (`Box::leak`), it leads nowhere: the new process has a memory of its \
         own. Send the value in a message, or make it inside the closure. If it is a number and no reference, all is well; \
         `lunatic::process::check_captures(false)` switches this check off\n"
    );
    // There is nobody to tell if standard error is gone.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Whether a word belongs to the id or the key of a process or a channel, which are numbers of 64 bits side by side.
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
