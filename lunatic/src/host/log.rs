//! The imports about records, and what has a process log from its beginning.

use lunatic_sys::log;

/// The most verbose level that is logged of a target, or of any if it is empty. A long target is cut.
pub(crate) fn level(target: &str) -> i32 {
    let target = &target[..target.floor_char_boundary(log::TARGET_LEN_MAX)];
    // SAFETY: `target` is readable for its length.
    unsafe { log::level(target.as_ptr(), target.len()) }
}

/// Logs a record. That one was dropped is counted by the host, and there is nobody else to tell.
pub(crate) fn record(record: &[u8]) {
    // SAFETY: `record` is readable for its length.
    let _ = unsafe { log::record(record.as_ptr(), record.len()) };
}

extern "C" fn install() {
    crate::log::install();
}

/// Constructors run at the beginning of each process, however it begins: so no program has to install anything.
#[cfg(target_arch = "wasm32")]
#[used]
// SAFETY: the linker takes functions without arguments and results from this section.
#[unsafe(link_section = ".init_array")]
static AT_THE_BEGINNING: extern "C" fn() = install;

/// Has the linker take this file, and with it the constructor, wherever it takes what calls this function.
#[cold]
pub(crate) fn keep() {
    static KEEP: extern "C" fn() = install;
    // SAFETY: `KEEP` is a static: initialised, aligned and never written.
    unsafe { (&raw const KEEP).read_volatile() };
}
